"""Hands work to whatever executor the caller has, and explains what comes back instead of a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from nvframe.errors import NvframeError, StorageError


def submitted(executor: Any, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Return the future of a call.

    Parameters
    ----------
    executor : object
        With `submit` of `concurrent.futures.Executor`.
    work : callable
        What to call.
    *arguments
        With what.

    Raises
    ------
    TypeError
        If the executor gives no futures of `concurrent.futures`.
    NvframeError
        If it broke down before.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(1) as pool:
    ...     submitted(pool, abs, -2).result()
    2
    """
    try:
        future = executor.submit(work, *arguments)
    except BrokenExecutor as error:
        raise broken(error) from error
    if not isinstance(future, Future):
        raise TypeError(
            f"executor must give futures of concurrent.futures, {type(executor).__name__} does not; "
            "for a Dask client pass client.get_executor(pure=False)"
        )
    return future


def broken(error: BrokenExecutor) -> NvframeError:
    """Return the error that says what to do where an executor broke down.

    Examples
    --------
    >>> print(broken(BrokenExecutor("killed")))
    the executor broke down (killed): a worker was killed, perhaps for lack of memory. What is stored stays: ...
    """
    return NvframeError(
        f"the executor broke down ({error}): a worker was killed, perhaps for lack of memory. What is stored "
        "stays: run the same call again, with a new executor and fewer workers"
    )


def of_one_task(error: BaseException) -> Exception:
    """Return the error of a task that was lost alone, or raise what concerns all tasks.

    Examples
    --------
    >>> of_one_task(MemoryError("in a worker"))
    MemoryError('in a worker')
    """
    if isinstance(error, BrokenExecutor):
        raise broken(error) from error
    if isinstance(error, StorageError | CancelledError) or not isinstance(error, Exception):
        raise error
    return error


@contextmanager
def own_threads(max_workers: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Yield threads of our own; what they have not begun when the block ends is dropped."""
    pool = ThreadPoolExecutor(max_workers, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

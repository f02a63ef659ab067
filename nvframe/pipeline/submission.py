"""Hands work to whatever executor the caller has, and explains what comes back instead of a result."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from nvframe.errors import NvframeError


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
    the executor broke down (killed): a worker was killed, perhaps for want of memory. What is stored stays: ...
    """
    return NvframeError(
        f"the executor broke down ({error}): a worker was killed, perhaps for want of memory. What is stored "
        "stays: run the same call again, with a new executor and fewer workers"
    )

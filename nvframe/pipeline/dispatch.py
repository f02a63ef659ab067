"""Hands tasks to workers: threads of our own, the caller's threads, or processes on this and other machines."""

from __future__ import annotations

import hashlib
import pickle
import platform
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nvframe.concurrency.executors import of_one_task, own_threads, submitted
from nvframe.errors import PluginError, StorageError
from nvframe.pipeline.task import Outcome, Task, WorkPlan, failure_of
from nvframe.pipeline.worker.process import process_image
from nvframe.storage.keys import STAGING

if TYPE_CHECKING:
    from nvframe.contracts import Storage

Submit = Callable[[Task], Future[Outcome]]


@contextmanager
def workers(plan: WorkPlan, executor: Executor | None, max_workers: int) -> Iterator[Submit]:
    """Yield a function that has one image brought to the state that `plan` wants.

    Parameters
    ----------
    plan : WorkPlan
        What is wanted.
    executor : Executor or None
        The caller's, which is left as it is; else threads, with BLAS pinned around them.
    max_workers : int
        Number of our own threads.

    Raises
    ------
    PluginError
        At the first task, if the workers are no threads of this process and the plan does not pickle.
    """
    if executor is None:
        pinned = _one_blas_thread() if plan.steps else nullcontext()
        with pinned, own_threads(max_workers, "nvframe") as pool:
            yield lambda task: pool.submit(process_image, plan, task)
    elif isinstance(executor, ThreadPoolExecutor):
        yield lambda task: executor.submit(process_image, plan, task)
    else:
        journey = _Journey(plan, executor)
        try:
            yield journey.submit
        finally:
            journey.end()


def lost(task: Task, error: BaseException) -> Outcome:
    """Return what became of an image whose worker gave no outcome, or raise what concerns all images."""
    failure = failure_of(of_one_task(error), "process", "executor", task.record)
    return Outcome(task.record, None, failures=(failure,))


def _one_blas_thread() -> Any:
    """Limit BLAS to one thread: many workers each with many threads only get in each other's way."""
    import scipy.ndimage  # noqa: F401 - loads numpy's and scipy's libraries, so that the limit finds them
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


class _Journey:
    """A plan on its way to workers in other processes: it lies in the storage that all of them must see."""

    def __init__(self, plan: WorkPlan, executor: Executor) -> None:
        self._plan = plan
        self._executor = executor
        self._ticket: tuple[bytes, str, str] | None = None

    def submit(self, task: Task) -> Future[Outcome]:
        return submitted(self._executor, _process_there, *self._deposited(), task)

    def _deposited(self) -> tuple[bytes, str, str]:
        """Return where workers find the plan: their storage, a key, and the sha256 to expect."""
        if self._ticket is None:
            storage = self._plan.storage
            packed = _packed(self._plan, type(self._executor).__name__)
            ticket = (_pickled(storage), f"{STAGING}/{uuid.uuid4().hex}", hashlib.sha256(packed).hexdigest())
            storage.put(ticket[1], packed)
            self._ticket = ticket
        return self._ticket

    def end(self) -> None:
        if self._ticket is not None:
            with suppress(OSError):
                self._plan.storage.delete(self._ticket[1])


def _packed(plan: WorkPlan, executor: str) -> bytes:
    try:
        return _pickled(plan)
    except Exception as error:
        what = next((name for name, part in _parts(plan) if not _pickles(part)), "the plan")
        raise PluginError(
            f"{what} cannot be sent to the workers of {executor}: {error}. Define it at the top of a module that "
            "they can import, or leave the executor out"
        ) from error


def _parts(plan: WorkPlan) -> Iterator[tuple[str, object]]:
    yield f"source {plan.source.name!r}", plan.source
    yield f"storage {plan.storage.url}", plan.storage
    for step in plan.steps:
        yield f"processor {step.name!r}", step.processor
    for annotator in plan.annotators:
        yield f"annotator {annotator.name!r}", annotator


def _pickles(part: object) -> bool:
    try:
        _pickled(part)
    except Exception:
        return False
    return True


def _pickled(value: object) -> bytes:
    """Return `value` pickled; functions of a script or a notebook too, where cloudpickle is installed."""
    try:
        import cloudpickle
    except ImportError:
        return pickle.dumps(value)
    packed: bytes = cloudpickle.dumps(value)
    return packed


def _process_there(storage: bytes, key: str, sha256: str, task: Task) -> Outcome:
    """Process one image in a worker's process."""
    return process_image(_plan_in(storage, key, sha256), task)


@lru_cache(maxsize=2)
def _plan_in(packed_storage: bytes, key: str, sha256: str) -> WorkPlan:
    """Return the plan, one for all tasks of a process: its connections stay open, its breaker remembers."""
    storage: Storage = pickle.loads(packed_storage)  # noqa: S301 - from the process that submits
    try:
        packed = storage.read(key)
    except FileNotFoundError as error:  # a directory of this machine may have the same name, and be another
        raise StorageError(
            f"the worker on {platform.node()} cannot see {storage.url}: use a directory that all workers "
            "share, or object storage such as s3://"
        ) from error
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise StorageError(f"{storage.url}/{key} was changed by somebody: refused to run it")
    plan: WorkPlan = pickle.loads(packed)  # noqa: S301 - the bytes that were submitted, by their sha256
    return plan

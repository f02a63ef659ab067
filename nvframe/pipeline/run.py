"""Runs a query: hands tasks to an executor, counts in order, stops where it must, tells observers."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nvframe.cache import layout
from nvframe.cache.listing import Cache
from nvframe.concurrency.window import Window
from nvframe.errors import NvframeError, PartialResultWarning, StorageError, warn_caller
from nvframe.pipeline import dispatch
from nvframe.pipeline.plan import Query
from nvframe.pipeline.selection.candidates import Candidate, Candidates, shown_metadata
from nvframe.pipeline.selection.reuse import Found
from nvframe.pipeline.task import Outcome, Task, WorkPlan
from nvframe.types import Failure, FetchEvent, ImageRecord, Metadata, json_bytes

log = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 100
MAX_FAILURES_IN_COLLECTION = 30

Observer = Callable[[FetchEvent], object]
Turn = Outcome | Failure


@dataclass(frozen=True, slots=True)
class Report:
    """How a fetch went.

    Attributes
    ----------
    images : int
        Images in the result.
    found_local : int
        Those whose files were stored already.
    failures : int
        Things that were lost.
    nbytes : int
        Bytes of images that came over the network.
    seconds : float
        From start to end.
    stopped_early : str
        Why the fetch ended before its time; empty if it did not.
    """

    images: int = 0
    found_local: int = 0
    failures: int = 0
    nbytes: int = 0
    seconds: float = 0.0
    stopped_early: str = ""


@dataclass(slots=True)
class RunResult:
    """What a run leaves: aligned lists, failures, and a report."""

    outcomes: list[Outcome] = field(default_factory=list)
    images_meta: list[dict[str, Any]] = field(default_factory=list)
    collections_meta: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    report: Report = field(default_factory=Report)


def run(
    query: Query,
    plan: WorkPlan,
    *,
    executor: Executor | None = None,
    max_workers: int = 8,
    observers: Sequence[Observer] = (),
    known: Sequence[tuple[ImageRecord, Metadata]] = (),
) -> RunResult:
    """Return what `query` finds, brought to the state that `plan` wants."""
    return _Run(query, plan, max_workers, observers, known).run(executor)


def find(query: Query, plan: WorkPlan) -> RunResult:
    """Return what `query` finds, as metadata only: nothing is downloaded or stored."""
    return _Run(query, plan, only_metadata=True).find()


class _Run:
    """The state of one run on the caller's thread."""

    def __init__(
        self,
        query: Query,
        plan: WorkPlan,
        max_workers: int = 8,
        observers: Sequence[Observer] = (),
        known: Sequence[tuple[ImageRecord, Metadata]] = (),
        only_metadata: bool = False,
    ) -> None:
        self._query = query
        self._plan = plan
        self._max_workers = max_workers
        self._observers = observers
        self._is_watched = bool(observers) or log.isEnabledFor(logging.DEBUG)
        self._cache = Cache(plan.storage)
        self._candidates = Candidates(query, plan, self._cache, known, max_workers, only_metadata)
        self._result = RunResult()
        self._started = time.monotonic()
        self._in_a_row = 0
        self._in_collection: defaultdict[str, int] = defaultdict(int)
        self._waiting_failures: Counter[str] = Counter()
        self._stopped_early = ""
        self._done = self._failed = self._nbytes = 0
        self._described: set[str] = set()
        self._shown_collections: dict[str, dict[str, Any]] = {}

    def run(self, executor: Executor | None) -> RunResult:
        self._tell(self._event("start"))
        try:
            with dispatch.workers(self._plan, executor, self._max_workers) as submit:
                self._take_all(submit)
        finally:
            self._cache.close()
            tidy = getattr(self._plan.storage, "tidy", None)
            if tidy is not None:
                tidy()
        return self._finished()

    def _take_all(self, submit: dispatch.Submit) -> None:
        window: Window[Candidate, Turn] = Window(
            partial(self._submit, submit),
            self._completed,
            self._query.max_images,
            2 * self._max_workers,
            lost=_lost,
            must_wait=self._may_stop_soon,
        )
        try:
            for turn in window.run(self._candidates):
                self._take(turn)
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        """Keep what still runs from starting further attempts: Ctrl-C, or a filter that raised, waits for it."""
        for each in (self._plan.source, *self._plan.annotators):
            abort = getattr(each, "abort", None)
            if callable(abort):
                abort()

    def find(self) -> RunResult:
        wanted = self._query.max_images
        try:
            for candidate in self._candidates if wanted != 0 else ():
                self._take(candidate if isinstance(candidate, Failure) else Outcome(candidate.record, None))
                if len(self._result.outcomes) == wanted:
                    break
        finally:
            self._cache.close()
        return self._finished()

    def _submit(self, submit: dispatch.Submit, candidate: Candidate) -> Future[Any] | Turn:
        if (isinstance(candidate, Outcome) and self._plan.offline) or isinstance(candidate, Failure):
            return candidate
        asset = candidate.asset if isinstance(candidate, Outcome) else candidate.assets.get(self._plan.role)
        if asset is None or self._cache.collection(candidate.record.collection_id) is None:
            self._describe_collection(candidate)
        if isinstance(candidate, Outcome):
            return candidate
        if asset is not None and not self._plan.annotators:
            return Outcome(candidate.record, asset)
        return submit(candidate)

    def _describe_collection(self, task: Found) -> None:
        """Put a collection's metadata before its first image, unless storage holds the same."""
        collection_id = task.record.collection_id
        if collection_id in self._described or self._plan.offline:
            return
        self._described.add(collection_id)
        metadata = self._candidates.collections[collection_id]
        relative = {**layout.portable(metadata), "relative_path": layout.collection_prefix(collection_id)}
        if self._cache.collection(collection_id) == relative:
            return
        key = layout.collection_key(collection_id)
        try:
            self._plan.storage.put(key, json_bytes(relative))
        except StorageError as error:
            url = f"{self._plan.storage.url}/{key}"
            lost = Failure.of(error, "store", "storage", collection_id=collection_id, url=url)
            self._result.failures.append(lost)

    def _completed(self, turn: Turn) -> bool:
        """Count in completion order, which is what progress shows; tell whether the image is stored."""
        if isinstance(turn, Failure):
            self._failed += 1
            self._tell_of(turn)
            return False
        is_stored = turn.asset is not None
        self._done += is_stored
        self._failed += not is_stored
        self._nbytes += turn.nbytes
        for failure in turn.failures:
            self._tell_of(failure)
        if turn.asset is None and turn.failures:
            self._waiting_failures[turn.record.collection_id] += 1
        elif turn.asset is not None and self._is_watched:
            log.debug("image %s is stored as %s", turn.record.id, turn.asset.key)
            self._tell(self._event("image", image_id=turn.record.id, nbytes=turn.nbytes))
        return is_stored

    def _tell_of(self, failure: Failure) -> None:
        log.info("%s", failure)
        self._tell(self._event("failure", image_id=failure.image_id, failure=failure))

    def _event(self, kind: Any, **about: Any) -> FetchEvent:
        return FetchEvent(kind, self._done, self._failed, self._query.max_images, **about)

    def _take(self, turn: Turn) -> None:
        """Count in order: this is what the result holds, and what the stop rules see."""
        result, plan = self._result, self._plan
        if isinstance(turn, Failure):
            result.failures.append(turn)
            return
        collection_id = turn.record.collection_id
        if turn.failures:
            result.failures.extend(turn.failures)
            if turn.asset is None:
                self._waiting_failures[collection_id] -= 1
                self._count_failure(collection_id)
                return
        self._in_a_row = self._in_collection[collection_id] = 0
        result.outcomes.append(turn)
        result.images_meta.append(shown_metadata(turn.record, turn.asset, plan, plan.storage.url))
        if collection_id not in self._shown_collections:
            self._shown_collections[collection_id] = self._shown_collection(collection_id)
        result.collections_meta.append(self._shown_collections[collection_id])

    def _shown_collection(self, collection_id: str) -> dict[str, Any]:
        """Return what ``collections_meta`` shows: one dict for all images of a collection, as nilearn's do."""
        relative = {"relative_path": layout.collection_prefix(collection_id)}
        collection = {**self._candidates.collections[collection_id], **relative}
        return layout.with_absolute_paths(collection, self._plan.storage.url)

    def _count_failure(self, collection_id: str) -> None:
        self._in_a_row += 1
        self._in_collection[collection_id] += 1
        if self._in_collection[collection_id] == MAX_FAILURES_IN_COLLECTION:
            self._candidates.give_up(collection_id)
            log.warning(
                "collection %s: gave up after %d failed images in a row",
                collection_id,
                MAX_FAILURES_IN_COLLECTION,
            )
        if self._in_a_row == MAX_CONSECUTIVE_FAILURES:
            self._candidates.stop()
            self._stopped_early = f"{self._in_a_row} images failed in a row"

    def _may_stop_soon(self) -> bool:
        """Tell whether a stop rule is likely to apply once the failures that wait for their turn have had it.

        While one image is slow to come, others could fail by the hundred before the rules see the first of them.
        """
        waiting = +self._waiting_failures
        return self._in_a_row + waiting.total() >= MAX_CONSECUTIVE_FAILURES or any(
            self._in_collection[each] + n >= MAX_FAILURES_IN_COLLECTION for each, n in waiting.items()
        )

    def _finished(self) -> RunResult:
        result = self._result
        result.failures.extend(self._lasting_damage())
        found_local = sum(each.asset is not None and not each.nbytes for each in result.outcomes)
        result.report = Report(
            images=len(result.outcomes),
            found_local=found_local,
            failures=len(result.failures),
            nbytes=self._nbytes,
            seconds=time.monotonic() - self._started,
            stopped_early=self._stopped_early,
        )
        for sentence in self._candidates.unknown_terms():
            warn_caller(sentence, UserWarning)
        log.info(
            "%d images, %d of them stored before; %d failures",
            len(result.outcomes),
            found_local,
            len(result.failures),
        )
        self._tell(self._event("finish"))
        return result

    def _lasting_damage(self) -> list[Failure]:
        """Return what of the damage found in storage this run did not mend."""
        if not self._cache.failures:
            return []
        mended = {each.record.id for each in self._result.outcomes if each.asset is not None}
        return [
            each
            for each in self._cache.failures
            if (each.image_id not in mended if each.image_id else each.collection_id not in self._described)
        ]

    def _tell(self, event: FetchEvent) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer of the fetch failed; the fetch goes on")


def _lost(candidate: Candidate, error: BaseException) -> Turn:
    if not isinstance(candidate, Task):
        raise error
    return dispatch.lost(candidate, error)


def warn_of_failures(failures: Sequence[Failure], report: Report, images: int) -> None:
    """Issue one PartialResultWarning for what was lost, and one for each annotator that failed."""
    lost = [failure for failure in failures if failure.stage != "annotate"]
    if lost:
        early = f"the fetch stopped early: {report.stopped_early}. " if report.stopped_early else ""
        more = f", and {len(lost) - 1} more in `failures`" if len(lost) > 1 else ""
        again = " Run the same call again to complete it." if any(each.retryable for each in lost) else ""
        warn_caller(f"{early}{lost[0]}{more}.{again}", PartialResultWarning)
    by_annotator: dict[str, list[Failure]] = {}
    for failure in failures:
        if failure.stage == "annotate":
            by_annotator.setdefault(failure.plugin, []).append(failure)
    for name, failed in by_annotator.items():
        warn_caller(
            f"{name}: no annotation for {len(failed)} of {images} images; the first: {failed[0].message}",
            PartialResultWarning,
        )


def raise_first(failures: Sequence[Failure]) -> None:
    """Raise the first failure in order, as the error it was."""
    from nvframe import errors

    for failure in failures:
        kind = getattr(errors, failure.error_type, NvframeError)
        raise (kind if issubclass(kind, NvframeError) else NvframeError)(str(failure))

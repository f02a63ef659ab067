"""What belongs to one call: its source, its storage, its observers, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvframe.cache import layout
from nvframe.console import observers_of
from nvframe.errors import OfflineWarning, warn_caller
from nvframe.options import current_options
from nvframe.pipeline import plan as planning
from nvframe.pipeline import run as running
from nvframe.pipeline.task import WorkPlan
from nvframe.pipeline.validate import checked_source
from nvframe.plugins import MetadataSourcePlugin
from nvframe.plugins.registry import default_registry
from nvframe.storage.overlay import OverlayStorage
from nvframe.storage.plugin import options_for
from nvframe.types import ImageRecord, Metadata

if TYPE_CHECKING:
    import os

    from nvframe.contracts import Storage

Found = tuple[running.RunResult, WorkPlan, Any]
"""What a Frame is made of: the result, the plan that made it, and the source as the caller named it."""


class Session:
    """What belongs to one call: its source, its storage, and the registry that found them."""

    def __init__(
        self,
        source: Any,
        data_dir: str | os.PathLike[str] | None,
        storage_options: Mapping[str, Any] | None,
        timeout: float,
    ) -> None:
        self.selector = source
        self.registry = default_registry()
        self.timeout = planning.checked_timeout(timeout)
        self.options = current_options()
        context = {"timeout": self.timeout} | ({"retry": self.options.retry} if self.options.retry else {})
        made, _, params = self.registry.build(MetadataSourcePlugin, source, **context)
        self.source = checked_source(made)
        dataset = layout.dataset_name(self.source.name, _told_apart_by(self.source, params))
        root = layout.dataset_root(data_dir, dataset)
        self.storage: Storage = self.registry.storage(root, options_for(root, storage_options))

    def fetch(
        self,
        query: planning.Query,
        work: planning.Work,
        known: Sequence[tuple[ImageRecord, Metadata]] = (),
    ) -> Found:
        """Return what `query` finds, stored and processed as `work` says."""
        query = self._offline_if_read_only(query)
        plan = planning.make_plan(
            self.source,
            self._layered_storage(),
            self.registry,
            processors=work.processors,
            annotators=work.annotators,
            keep_original=work.keep_original,
            offline=query.mode == "offline",
            retry=self.options.retry,
            timeout=self.timeout,
        )
        workers = planning.checked_workers(work.max_workers or self.options.max_workers)
        installed = self.registry.observers()
        with observers_of(self.options.progress if work.progress is None else work.progress) as own:
            try:
                result = running.run(
                    query,
                    plan,
                    executor=work.executor or self.options.executor,
                    max_workers=workers,
                    observers=[*installed, *own],
                    known=known,
                )
            finally:
                _close(self.source, *plan.annotators)
        self._report(result, work.on_error)
        return result, plan, self.selector

    def _layered_storage(self) -> Storage:
        if self.storage.writable:
            return self.storage
        import platformdirs

        place = Path(platformdirs.user_cache_dir("nvframe")) / "derived" / layout.digest(self.storage.url)
        return OverlayStorage(self.storage, self.registry.storage(str(place)))

    def _offline_if_read_only(self, query: planning.Query) -> planning.Query:
        if self.storage.writable or query.mode == "offline":
            return query
        warn_caller(
            f"you have no write access to {self.storage.url}: working offline with what it holds",
            OfflineWarning,
        )
        return replace(query, mode="offline")

    def _report(self, result: running.RunResult, on_error: str) -> None:
        if on_error == "warn":
            running.warn_of_failures(result.failures, result.report, len(result.outcomes))
        elif on_error == "raise":
            running.raise_first(result.failures)

    def find(self, query: planning.Query) -> Found:
        """Return what `query` finds, as metadata only."""
        plan = planning.make_plan(
            self.source, self.storage, self.registry, offline=query.mode == "offline", timeout=self.timeout
        )
        try:
            result = running.find(query, plan)
        finally:
            _close(self.source)
        self._report(result, "warn")
        return result, plan, self.selector


def _told_apart_by(source: Any, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what tells a source's images from those of another of its kind: its own account, if it gives one."""
    parameters = getattr(source, "parameters", None)
    return parameters() if callable(parameters) else params


def _close(*objects: Any) -> None:
    for each in objects:
        close = getattr(each, "close", None)
        if callable(close):
            close()

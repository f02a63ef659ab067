"""One image's annotations: those that are stored, and those to be made, beside its own download where they can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nvframe.cache import layout
from nvframe.errors import SourceError
from nvframe.pipeline.task import failure_of
from nvframe.types import Failure, json_bytes, json_object

if TYPE_CHECKING:
    from nvframe.contracts import Annotator
    from nvframe.pipeline.task import Task, WorkPlan
    from nvframe.types import Asset

Annotation = Mapping[str, Any]


class Annotating:
    """Has an image annotated; nothing is stored before the image is.

    Parameters
    ----------
    plan : WorkPlan
        Whose annotators are asked.
    task : Task
        Which image, and which of its annotations are stored.

    Attributes
    ----------
    img : nibabel.spatialimages.SpatialImage or None
        The wanted image where it is in memory; else it is read for an annotator that looks at it.
    """

    def __init__(self, plan: WorkPlan, task: Task) -> None:
        self._plan = plan
        self._task = task
        self._asked: dict[str, Future[Annotation]] = {}
        self.img: Any = None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Ask over the network for what is missing while the block brings the image: one wait instead of two."""
        missing = [each for each in self._plan.annotators if self._can_begin(each)]
        if not missing or self._plan.offline or self._plan.role in self._task.assets:
            yield
            return
        with ThreadPoolExecutor(len(missing), "nvframe-annotate") as pool:
            for each in missing:
                self._asked[each.name] = pool.submit(each.annotate, self._task.record, None)
            yield

    def _can_begin(self, annotator: Annotator) -> bool:
        return (
            annotator.needs_network
            and not annotator.needs_image
            and annotator.name not in self._task.annotated
        )

    def finished(self, asset: Asset) -> tuple[dict[str, Annotation | None], tuple[Failure, ...]]:
        """Return every annotator's annotation of the stored image; a failed one is None and reported."""
        annotations: dict[str, Annotation | None] = {}
        failures = []
        for annotator in self._plan.annotators:
            try:
                annotations[annotator.name] = self._annotation(annotator, asset)
            except (Exception, SystemExit) as error:  # a plugin's exit() is meant for a script of its own
                annotations[annotator.name] = None
                failures.append(failure_of(error, "annotate", annotator.name, self._task.record))
        return annotations, tuple(failures)

    def _annotation(self, annotator: Annotator, asset: Asset) -> Annotation:
        plan, record = self._plan, self._task.record
        name = plan.annotation_names(asset)[annotator.name]
        key = layout.annotation_key(record.collection_id, record.id, name)
        if annotator.name in self._task.annotated:
            try:
                return json_object(plan.storage.read(key))
            except (OSError, ValueError):
                if plan.offline:
                    raise
        made = self._made(annotator, asset)
        plan.storage.put(key, json_bytes(made))
        return made

    def _made(self, annotator: Annotator, asset: Asset) -> Annotation:
        if annotator.needs_network and self._plan.offline:
            raise SourceError("not stored, and the network is off")
        if annotator.name in self._asked:
            return self._asked[annotator.name].result()
        return annotator.annotate(self._task.record, self._image(asset) if annotator.needs_image else None)

    def _image(self, asset: Asset) -> Any:
        from nvframe.imaging import nifti

        if self.img is None:
            self.img = nifti.read(self._plan.storage.read(asset.key))
        return self.img

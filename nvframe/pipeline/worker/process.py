"""What one worker does to one image: fetch, verify, process, store, annotate. It never warns, prints or draws."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nvframe.cache import layout
from nvframe.errors import IntegrityError, ProcessingError, Skip, SourceError
from nvframe.pipeline.task import Outcome, Step, Task, WorkPlan, failure_of
from nvframe.pipeline.worker.annotate import Annotating
from nvframe.types import ORIGINAL, Asset, Failure, ImageRecord, Processed, Stage, json_bytes, parsed_json

if TYPE_CHECKING:
    from nvframe.imaging.nifti import ImageInfo

log = logging.getLogger(__name__)


class _Lost(Exception):  # noqa: N818 - carries a Failure up to process_image, never leaves this file
    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def process_image(plan: WorkPlan, task: Task) -> Outcome:
    """Bring one image to the state that `plan` wants; whatever goes wrong comes back as a Failure."""
    job = _Job(plan, task)
    annotating = Annotating(plan, task)
    try:
        with annotating.begun():
            asset = job.asset()
        annotating.img = job.img
        annotations, failures = annotating.finished(asset)
        job.finish()
    except _Lost as lost:
        job.finish_after_loss()
        return Outcome(task.record, None, failures=(lost.failure,), nbytes=job.received)
    return Outcome(task.record, asset, annotations, failures, job.received)


class _Job:
    """The state of one image on its way."""

    def __init__(self, plan: WorkPlan, task: Task) -> None:
        self.plan = plan
        self.record = task.record
        self.task = task
        self.assets = dict(task.assets)
        self.recorded = {**task.recorded, **task.assets}
        self.source_sha256 = ""
        self.pending: list[tuple[str, Asset, bytes]] = []
        self.received = 0
        self.changed = False
        self.img: Any = None

    @contextmanager
    def stage(self, stage: Stage, plugin: str) -> Iterator[None]:
        """Turn whatever goes wrong inside into a Failure of this image."""
        try:
            yield
        except _Lost:
            raise
        except (Exception, SystemExit) as error:  # a plugin's exit() is meant for a script of its own
            raise _Lost(failure_of(error, stage, plugin, self.record)) from error

    def asset(self) -> Asset:
        """Return the wanted asset, made from what is nearest."""
        wanted = self.assets.get(self.plan.role)
        if wanted is not None:
            return wanted
        try:
            self._process()
        finally:
            self._store_pending()  # what a failed step did not touch is worth keeping
        return self.assets[self.plan.role]

    def _original(self) -> tuple[bytes, bytes]:
        """Return the original as it was served and decompressed; from storage if it is there."""
        from nvframe.imaging import nifti

        stored = self.assets.get(ORIGINAL)
        if stored is not None:
            try:
                data = self.plan.storage.read(stored.key)
                return data, nifti.verify(data)[0]
            except (IntegrityError, OSError) as error:
                del self.assets[ORIGINAL], self.recorded[ORIGINAL]
                if self.plan.offline:
                    raise _Lost(failure_of(error, "verify", "cache", self.record)) from error
            except Exception as error:
                raise _Lost(failure_of(error, "open", "storage", self.record)) from error
        if self.plan.offline:
            offline = SourceError("not stored, and the network is off")
            raise _Lost(failure_of(offline, "download", self.record.source, self.record))
        return self._download()

    def _download(self) -> tuple[bytes, bytes]:
        from nvframe.imaging import nifti
        from nvframe.pipeline.worker.download import Download

        download = Download(self.plan.source, self.record, keep_raw=bool(self.plan.steps))
        try:
            whole = download.run(self.plan.retry)
        except IntegrityError as error:
            raise _Lost(failure_of(error, "verify", self.record.source, self.record)) from error
        except Exception as error:
            raise _Lost(failure_of(error, "download", self.record.source, self.record)) from error
        finally:
            self.received += download.received
        data, self.source_sha256 = whole.data, whole.sha256
        if not whole.is_packed:  # a bare .nii is stored under the name that all readers expect
            data = nifti.compress(whole.raw)
            self.source_sha256 = hashlib.sha256(data).hexdigest()
        if self.plan.keep_original or not self.plan.steps:
            self._hold(ORIGINAL, data, whole.info)
        return data, whole.raw

    def _process(self) -> None:
        from nvframe.imaging import nifti

        data, raw = self._original()
        if not self.plan.steps:
            return
        source = self.source_sha256 or hashlib.sha256(data).hexdigest()
        with self.stage("process", "nibabel"):
            img = nifti.from_bytes(raw)
        del data, raw  # many workers do this at once: let each hold no more than it still needs
        changes: dict[str, Any] = {}
        record = self.record
        for step in self.plan.steps:
            with self.stage("process", step.name):
                made = _apply(step, img, record)
                changes |= made.metadata
                record = replace(record, metadata={**record.metadata, **made.metadata})
                img = made.img
        with self.stage("process", self.plan.steps[-1].name):
            encoded = nifti.encode(img)
            info = _info_of(img)
            changes = parsed_json(json_bytes(changes))  # a sidecar holds JSON: say now what it cannot hold
        self.img = img
        self._hold(self.plan.role, encoded, info, (source, *self.plan.identities), changes)

    def _hold(
        self,
        role: str,
        data: bytes,
        info: ImageInfo,
        chain: tuple[str, ...] = (),
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """Have an asset ready to be stored: nothing that is stored changes before all of it is made."""
        key = layout.asset_key(self.record.collection_id, self.record.id, role)
        sha256 = hashlib.sha256(data).hexdigest() if role != ORIGINAL else self.source_sha256
        asset = Asset(key, len(data), info.shape, info.affine, info.dtype, sha256, chain, dict(changes or {}))
        self.pending.append((role, asset, data))

    def _store_pending(self) -> None:
        if not self.pending:
            return
        described = {asset.key for asset in self.recorded.values()}
        with self.stage("store", "storage"):
            if self.task.previous and described.intersection(asset.key for _, asset, _ in self.pending):
                # While a file that it describes changes, no sidecar may claim to describe it.
                self._delete(self._sidecar_key())
            self.changed = True
            for role, asset, data in self.pending:
                self.plan.storage.put(asset.key, data)
                self.assets[role] = asset
            if self.plan.role in self.assets:
                self._delete_outdated()

    def _delete_outdated(self) -> None:
        """Remove what an older original left: without a record it would later be taken for nilearn's."""
        if self.source_sha256:
            known = {asset.key for asset in self._described().values()}
            for key in {*self.task.stale, *(asset.key for asset in self.recorded.values())} - known:
                self._delete(key)

    def _delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self.plan.storage.delete(key)

    def _described(self) -> dict[str, Asset]:
        """Return the assets for the sidecar: what is new, and what still belongs to the same original."""
        kept = self.recorded
        if self.source_sha256:
            kept = {role: asset for role, asset in kept.items() if _source_of(asset) == self.source_sha256}
        return {**kept, **self.assets}

    def _sidecar_key(self) -> str:
        return layout.sidecar_key(self.record.collection_id, self.record.id)

    def finish(self) -> None:
        """Put the sidecar, last, so that it describes what is there."""
        if not self.changed:
            return
        paths = self.plan.paths(self.record, self.assets.get(self.plan.role))
        with self.stage("store", "storage"):
            body = layout.sidecar_json({**self.record.metadata, **paths}, self._described())
            self.plan.storage.put(self._sidecar_key(), body)

    def finish_after_loss(self) -> None:
        """Describe what is stored all the same, such as the original when a step failed."""
        with suppress(_Lost):
            self.finish()


def _source_of(asset: Asset) -> str:
    return asset.chain[0] if asset.chain else asset.sha256


def _apply(step: Step, img: Any, record: ImageRecord) -> Processed:
    """Return what one processor makes of an image; one that it does not apply to passes as it is."""
    try:
        made = step.processor(img, record)
    except Skip as reason:
        log.info("image %s: %s does not apply: %s", record.id, step.name, reason)
        made = img
    processed = made if isinstance(made, Processed) else Processed(made)
    if not (hasattr(processed.img, "dataobj") and hasattr(processed.img, "affine")):
        what = "None" if processed.img is None else f"{type(processed.img).__name__!r}"
        raise ProcessingError(f"the processor returned {what} instead of an image")
    if 0 in processed.img.shape:
        raise ProcessingError(
            f"the processor returned an image without voxels: its shape is {processed.img.shape}"
        )
    return processed


def _info_of(img: Any) -> ImageInfo:
    from nvframe.imaging.nifti import ImageInfo

    affine = tuple(tuple(float(x) for x in row) for row in img.affine)
    return ImageInfo(tuple(int(n) for n in img.shape), affine, str(img.get_data_dtype()))

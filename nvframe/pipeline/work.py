"""What one worker does to one image: fetch, verify, process, store, annotate. It never warns, prints or draws."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from nvframe import layout
from nvframe.errors import IntegrityError, ProcessingError, Skip, SourceError
from nvframe.http import Retry
from nvframe.types import ORIGINAL, Asset, Failure, ImageRecord, Processed, Stage, json_bytes, parsed_json

if TYPE_CHECKING:
    from nvframe.contracts import Annotator, MetadataSource, Storage
    from nvframe.imaging.nifti import ImageInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One processor of a chain.

    Attributes
    ----------
    name : str
        For people and failures.
    identity : str
        Name, distribution, version and parameters: equal identities make equal results.
    processor : callable
        See `nvframe.contracts.ImageProcessor`.
    plain : bool
        Whether it is a built-in with its default parameters.
    """

    name: str
    identity: str
    processor: Any
    plain: bool = False


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """All that a worker needs; it pickles, so that any executor can take it.

    Attributes
    ----------
    source : MetadataSource
        Opens images.
    storage : Storage
        Rooted at the dataset's directory.
    steps : tuple of Step
        Processors in the caller's order; empty asks for the original.
    annotators : tuple of Annotator
        In the caller's order.
    annotator_identities : tuple of str
        Aligned with `annotators`: name, version and parameters; "" for a built-in with its defaults.
    role : str
        Of the asset that is wanted.
    keep_original : bool
        Whether the original is stored beside a processed asset.
    offline : bool
        Whether the network is off.
    retry : Retry
        For downloads.
    """

    source: MetadataSource
    storage: Storage
    steps: tuple[Step, ...] = ()
    annotators: tuple[Annotator, ...] = ()
    annotator_identities: tuple[str, ...] = ()
    role: str = ORIGINAL
    keep_original: bool = True
    offline: bool = False
    retry: Retry = field(default_factory=Retry)

    @property
    def identities(self) -> tuple[str, ...]:
        """The chain without the source's sha256."""
        return tuple(step.identity for step in self.steps)

    def annotation_names(self, asset: Asset | None) -> dict[str, str]:
        """Return the file name of each annotator's annotation, with ``{id}`` in it, by annotator.

        A built-in's defaults have nilearn's plain name. Any other name carries a digest of what the annotation
        depends on, the asset's bytes among it where the annotator looks at them.
        """
        names = {}
        for annotator, identity in zip(self.annotators, self.annotator_identities, strict=True):
            seen = asset.sha256 if annotator.needs_image and asset else ""
            stem, _, ending = annotator.sidecar_name.rpartition(".")
            told_apart = f"{stem}_{layout.digest([identity, seen])}.{ending}"
            names[annotator.name] = told_apart if identity or seen else annotator.sidecar_name
        return names

    def paths(self, record: ImageRecord, asset: Asset | None) -> dict[str, str]:
        """Return the path keys of an image's sidecar."""
        if not self.annotators:
            return layout.image_paths(record.collection_id, record.id)
        names = self.annotation_names(asset)
        pairs = [(annotator.metadata_key, names[annotator.name]) for annotator in self.annotators]
        return layout.image_paths(record.collection_id, record.id, pairs)


@dataclass(frozen=True, slots=True)
class Task:
    """One image to bring to the state that a plan wants.

    Attributes
    ----------
    record : ImageRecord
        Which image; its metadata are normalised.
    assets : Mapping
        What is stored and of use for the plan, by role.
    annotated : frozenset of str
        Names of the annotators whose annotation is stored.
    previous : bool
        Whether a sidecar is stored already.
    recorded : Mapping
        All that the sidecar describes, by role.
    stale : tuple of str
        Keys of files without a record, which may come from an older original: removed once a new one is stored.
    """

    record: ImageRecord
    assets: Mapping[str, Asset] = field(default_factory=dict, hash=False)
    annotated: frozenset[str] = frozenset()
    previous: bool = False
    recorded: Mapping[str, Asset] = field(default_factory=dict, hash=False)
    stale: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What became of one image.

    A tuple, because a query over what is stored makes thousands, and does little else with them.

    Attributes
    ----------
    record : ImageRecord
        Which image.
    asset : Asset or None
        The wanted asset; None if it was lost.
    annotations : Mapping
        By annotator; None for one that failed.
    failures : tuple of Failure
        The first one says why `asset` is None.
    nbytes : int
        Bytes that the image brought over the network.
    """

    record: ImageRecord
    asset: Asset | None
    annotations: Mapping[str, Mapping[str, Any] | None] = {}
    failures: tuple[Failure, ...] = ()
    nbytes: int = 0


class _Lost(Exception):  # noqa: N818 - carries a Failure up to process_image, never leaves this file
    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def process_image(plan: WorkPlan, task: Task) -> Outcome:
    """Bring one image to the state that `plan` wants; whatever goes wrong comes back as a Failure."""
    job = _Job(plan, task)
    try:
        asset = job.asset()
        annotations, failures = job.annotate(asset)
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
        data, raw = self._original()
        try:
            self._process(data, raw)
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
        from nvframe.pipeline.download import Download

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

    def _process(self, data: bytes, raw: bytes) -> None:
        from nvframe.imaging import nifti

        if not self.plan.steps:
            return

        changes: dict[str, Any] = {}
        record = self.record
        with self.stage("process", "nibabel"):
            img = nifti.from_bytes(raw)
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
        source = self.source_sha256 or hashlib.sha256(data).hexdigest()
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

    def annotate(self, asset: Asset) -> tuple[dict[str, Mapping[str, Any] | None], tuple[Failure, ...]]:
        """Return every annotator's annotation, stored or new; a failed one is None and reported."""
        annotations: dict[str, Mapping[str, Any] | None] = {}
        failures = []
        for annotator in self.plan.annotators:
            try:
                annotations[annotator.name] = self._annotation(annotator, asset)
            except _Lost as lost:
                annotations[annotator.name] = None
                failures.append(lost.failure)
        return annotations, tuple(failures)

    def _annotation(self, annotator: Annotator, asset: Asset) -> Mapping[str, Any]:
        storage, record = self.plan.storage, self.record
        name = self.plan.annotation_names(asset)[annotator.name]
        key = layout.annotation_key(record.collection_id, record.id, name)
        with self.stage("annotate", annotator.name):
            if annotator.name in self.task.annotated:
                try:
                    return _json_object(storage.read(key))
                except (OSError, ValueError):
                    if self.plan.offline:
                        raise
            if annotator.needs_network and self.plan.offline:
                raise SourceError("not stored, and the network is off")
            img = self._image(asset) if annotator.needs_image else None
            made = annotator.annotate(record, img)
            storage.put(key, json_bytes(made))
            return made

    def _image(self, asset: Asset) -> Any:
        from nvframe.imaging import nifti

        if self.img is None:
            self.img = nifti.read(self.plan.storage.read(asset.key))
        return self.img

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


def _json_object(data: bytes) -> Mapping[str, Any]:
    value = parsed_json(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - damage, not a wrong argument
    return value


def failure_of(error: BaseException, stage: Stage, plugin: str, record: ImageRecord) -> Failure:
    """Return the Failure of an image; strings only."""
    from nvframe.http import without_secrets

    return Failure.of(
        error,
        stage,
        plugin,
        image_id=record.id,
        collection_id=record.collection_id,
        url=without_secrets(record.url),
    )

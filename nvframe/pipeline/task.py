"""What goes to a worker, and what comes back; all of it pickles, so that any executor can take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nvframe.cache import layout
from nvframe.cache.stored_image import RecordedAsset, StoredImage
from nvframe.http.retry import Retry
from nvframe.types import ORIGINAL, Asset, Failure, ImageRecord, Stage
from nvframe.urls import without_secrets

if TYPE_CHECKING:
    from nvframe.contracts import Annotator, MetadataSource, Storage


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

    def paths(self, record: ImageRecord | StoredImage, asset: Asset | None) -> dict[str, str]:
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

    A tuple, because a query over what is stored makes thousands, and does little else with them. What is stored
    stays as storage shows it: see `nvframe.cache.stored_image`.

    Attributes
    ----------
    record : ImageRecord or StoredImage
        Which image.
    asset : Asset, RecordedAsset or None
        The wanted asset; None if it was lost.
    annotations : Mapping
        By annotator; None for one that failed.
    failures : tuple of Failure
        The first one says why `asset` is None.
    nbytes : int
        Bytes that the image brought over the network.
    """

    record: ImageRecord | StoredImage
    asset: Asset | RecordedAsset | None
    annotations: Mapping[str, Mapping[str, Any] | None] = {}
    failures: tuple[Failure, ...] = ()
    nbytes: int = 0


def failure_of(error: BaseException, stage: Stage, plugin: str, record: ImageRecord) -> Failure:
    """Return the Failure of an image; strings only."""
    return Failure.of(
        error,
        stage,
        plugin,
        image_id=record.id,
        collection_id=record.collection_id,
        url=without_secrets(record.url),
    )

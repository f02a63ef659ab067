"""What a plugin's objects must be able to do: six small protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, runtime_checkable

from nvframe.types import (
    ByteStream,
    CollectionRecord,
    Entry,
    Failure,
    ImageRecord,
    Metadata,
    Processed,
)


@runtime_checkable
class MetadataSource(Protocol):
    """Says which collections and images exist, and opens an image's bytes.

    The core pulls at most one page ahead of what it uses, re-applies every term and filter, verifies
    the bytes and retries; a source only has to answer. It must pickle: workers open images.

    An image that is stored is known by its metadata alone. They must hold ``id``, ``collection_id`` and ``file`` (the
    record's url), and ``file_size`` and ``modify_date`` where the record has a size and a date of change.

    It may have a method ``parameters()`` that returns, as JSON values, what tells its images from those of another
    of its kind, such as an address, and never a credential: their directory is named by it. Without one the
    caller's parameters are taken.

    Attributes
    ----------
    name : str
        The name it is registered under; part of the place where its images are stored.
    description : str
        About the repository, for people; goes into the Bunch.
    server_terms : frozenset of str
        Collection terms that the server is known to filter by itself.
    """

    name: str
    description: str
    server_terms: frozenset[str]

    def default_terms(self) -> tuple[Metadata, Metadata]:
        """Return (collection terms, image terms) that apply where a query names none and no ids."""
        ...

    def collections(self, terms: Metadata) -> Iterable[CollectionRecord | Failure]:
        """Yield collections lazily, in the server's order; `terms` may narrow what the server sends."""
        ...

    def images(self, collection: CollectionRecord | None) -> Iterable[ImageRecord | Failure]:
        """Yield a collection's images lazily, in a stable order.

        ``None`` asks for a listing of all images, in any order, which is worth having where it takes few requests;
        raise NotImplementedError where there is none.
        """
        ...

    def get_collection(self, collection_id: str) -> CollectionRecord:
        """Return one collection, or raise SourceError or DownloadError."""
        ...

    def get_image(self, image_id: str) -> ImageRecord:
        """Return one image's record, or raise SourceError or DownloadError."""
        ...

    def open_image(
        self, record: ImageRecord, start: int = 0, validator: str | None = None
    ) -> AbstractContextManager[ByteStream]:
        """Open the bytes from `start` on, if `validator` still names the same bytes; else from 0."""
        ...


@runtime_checkable
class Filter(Protocol):
    """Keeps or drops collections or images; a fresh instance serves each fetch.

    Called on the caller's thread, in order, on metadata whose null strings are already ``None``.

    Attributes
    ----------
    level : str
        ``collection`` or ``image``.
    terms : Mapping
        Terms a source may push down to its server; the filter itself must still hold without.
    """

    level: Literal["collection", "image"]
    terms: Metadata

    def __call__(self, metadata: Metadata) -> bool:
        """Return whether to keep what `metadata` describes."""
        ...


@runtime_checkable
class Storage(Protocol):
    """A place for files, rooted: keys are relative POSIX paths and cannot leave it."""

    @property
    def url(self) -> str:
        """The root, without credentials; a plain path for local storage."""
        ...

    @property
    def writable(self) -> bool:
        """Whether `put` can work."""
        ...

    def list(self, prefix: str = "") -> Iterable[Entry]:
        """Yield every object below `prefix`; none where nothing is there."""
        ...

    def read(self, key: str) -> bytes:
        """Return the whole object; FileNotFoundError if there is none."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open the object, seekable, for reading; FileNotFoundError if there is none."""
        ...

    def put(self, key: str, data: Path | bytes) -> None:
        """Store an object all-or-nothing: a reader sees the old bytes or all of the new."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; where there is none, FileNotFoundError or silence: S3 does not tell."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Return the file behind `key` where storage is a local file system, else None."""
        ...


class ImageProcessor(Protocol):
    """Turns one image into another; any function with this signature will do.

    The input is read-only. Raise ``nvframe.errors.Skip(reason)`` for an image it does not apply to.
    An optional attribute ``version`` becomes part of the stored result's identity.
    """

    def __call__(self, img: Any, record: ImageRecord) -> Any | Processed:
        """Return the new nibabel image, or `Processed(img, metadata)`."""
        ...


@runtime_checkable
class Annotator(Protocol):
    """Adds knowledge to an image: words, terms, weights.

    Attributes
    ----------
    name : str
        The name it is registered under.
    needs_network : bool
        Whether `annotate` asks a server; such annotators rest in offline mode, and are else asked, where they need
        no image, while the image is on its way.
    needs_image : bool
        Whether `annotate` reads the image's voxels.
    sidecar_name : str
        File name of the stored annotation with one ``{id}`` in it.
    metadata_key : str
        Prefix of the keys that point at the stored file, as ``<metadata_key>_relative_path``.
    """

    name: str
    needs_network: bool
    needs_image: bool
    sidecar_name: str
    metadata_key: str

    def annotate(self, record: ImageRecord, img: Any = None) -> Mapping[str, Any]:
        """Return a JSON object about one image, or raise AnnotationError or DownloadError."""
        ...

    def collate(
        self, annotations: Sequence[Mapping[str, Any] | None]
    ) -> Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]:
        """Return ``{name: (dims, array, attrs)}`` over all images; row i is image i, None is a failure."""
        ...


class FrameView(Protocol):
    """What a result format may ask of a Frame: aligned lists and lazily opened images."""

    @property
    def images(self) -> list[str]:
        """Paths or URLs of the assets."""
        ...

    @property
    def images_meta(self) -> list[dict[str, Any]]:
        """Metadata of each image."""
        ...

    @property
    def collections_meta(self) -> list[dict[str, Any]]:
        """Metadata of each image's collection."""
        ...

    @property
    def failures(self) -> list[Failure]:
        """What was lost; a format adds what it cannot open."""
        ...

    @property
    def source(self) -> str:
        """Name of the metadata source."""
        ...

    @property
    def description(self) -> str:
        """About the source, for people."""
        ...

    @property
    def annotations(self) -> dict[str, list[Mapping[str, Any] | None]]:
        """Annotations by annotator name, each aligned with `images`."""
        ...

    @property
    def annotators(self) -> Sequence[Annotator]:
        """The annotators of the fetch, for `collate`."""
        ...

    @property
    def assets(self) -> Sequence[Any]:
        """The stored `Asset` behind each of `images`; None where it was never described."""
        ...

    @property
    def storage(self) -> Storage:
        """Where the assets are."""
        ...

    def load(self, index: int) -> Any:
        """Return one image as a nibabel image, held in memory."""
        ...


@runtime_checkable
class ResultFormat(Protocol):
    """Builds what the caller gets; a writing format takes `url` and `overwrite` and returns the url."""

    def build(self, frame_view: FrameView, **params: Any) -> Any:
        """Return the result for `frame_view`."""
        ...

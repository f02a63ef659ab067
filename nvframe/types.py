"""The plain values that cross rooms: frozen, slotted, picklable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from nvframe.errors import DownloadError, SourceError

Metadata = Mapping[str, Any]
"""What a repository says about one image or collection; values are JSON values."""

Stage = Literal["list", "filter", "download", "verify", "process", "store", "annotate", "open"]
"""Where on its way an image was lost."""

ORIGINAL = "original"
"""Role of the file as the source served it."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def parsed_json(data: bytes) -> Any:
    """Return the value of a JSON document; ValueError if it is invalid.

    NaN and Infinity are not JSON, but Python writes them: so does nilearn into its caches, and so may a server.

    Examples
    --------
    >>> parsed_json(b'{"score": NaN, "id": 11}')
    {'score': nan, 'id': 11}
    """
    import orjson

    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if b"NaN" in data or b"Infinity" in data:
            with suppress(ValueError, RecursionError):
                return json.loads(data)
        raise


def json_object(data: bytes) -> dict[str, Any]:
    """Return the object that a JSON document is; ValueError if it is invalid.

    Examples
    --------
    >>> json_object(b"[]")
    Traceback (most recent call last):
    ValueError: not a JSON object
    """
    value = parsed_json(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - damage, not a wrong argument
    return value


def json_bytes(value: Any) -> bytes:
    """Return a value as the JSON that Python and nilearn write: NaN stays NaN, and no integer is too large."""
    import orjson

    return json.dumps(value, default=lambda odd: orjson.loads(orjson.dumps(odd))).encode()


def checked_id(value: object) -> str:
    """Return `value` as an id that is safe inside a key, or raise.

    Parameters
    ----------
    value : object
        An id as a server or a user gave it: ``str``, ``int`` or a numpy integer.

    Returns
    -------
    str
        One to 128 characters of ``[A-Za-z0-9._-]``, never only dots.

    Raises
    ------
    SourceError
        If `value` could leave its directory or is not an id at all.

    Examples
    --------
    >>> checked_id(10426)
    '10426'
    >>> checked_id("../../x")
    Traceback (most recent call last):
    ...
    nvframe.errors.SourceError: '../../x' is not a valid id: ids are 1 to 128 of A-Z a-z 0-9 . _ -
    """
    if type(value) is str and value.isalnum() and value.isascii() and len(value) <= 128:
        return value  # nearly every id, and one is checked for every key that is made
    text = str(value)
    if isinstance(value, bool) or not _ID.fullmatch(text) or set(text) == {"."}:
        raise SourceError(f"{value!r:.160} is not a valid id: ids are 1 to 128 of A-Z a-z 0-9 . _ -")
    return text


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """One collection as its source describes it.

    Attributes
    ----------
    source : str
        Name of the metadata source.
    id : str
        Id within the source, valid by `checked_id`.
    metadata : Mapping
        The source's own fields.
    """

    source: str
    id: str
    metadata: Metadata = field(hash=False)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image as its source describes it, before anything is downloaded.

    Attributes
    ----------
    source : str
        Name of the metadata source.
    id, collection_id : str
        Ids within the source, valid by `checked_id`.
    url : str
        Where the bytes are.
    metadata : Mapping
        The source's own fields. What is stored shows the values above and below in it too, as ``id``,
        ``collection_id``, ``file``, ``file_size`` and ``modify_date``: where a source leaves one out, it is added.
    size : int or None
        Size in bytes that the source states, if any.
    modified : str or None
        ISO 8601 date of the last change, if any: by it ``mode="update"`` tells what to fetch again.
    """

    source: str
    id: str
    collection_id: str
    url: str
    metadata: Metadata = field(hash=False)
    size: int | None = None
    modified: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that was lost, and why; strings only, so that it travels anywhere.

    Attributes
    ----------
    stage : str
        ``list``, ``filter``, ``download``, ``verify``, ``process``, ``store``, ``annotate`` or ``open``.
    plugin : str
        Name of the source, processor, annotator or storage that failed.
    image_id, collection_id : str or None
        What was lost; both ``None`` for a list page.
    url : str
        What was being read, without credentials.
    error_type, message : str
        Class name and text of the error.
    retryable : bool
        Whether the same call may succeed later.
    """

    stage: Stage
    plugin: str
    image_id: str | None
    collection_id: str | None
    url: str
    error_type: str
    message: str
    retryable: bool = False

    @classmethod
    def of(
        cls,
        error: BaseException,
        stage: Stage,
        plugin: str,
        *,
        image_id: str | None = None,
        collection_id: str | None = None,
        url: str = "",
    ) -> Failure:
        """Return what an error cost: its class, what it says, and whether it is worth another attempt.

        Parameters
        ----------
        error : BaseException
            What happened.
        stage, plugin, image_id, collection_id, url
            As for the class.

        Examples
        --------
        >>> print(Failure.of(DownloadError("404 Not Found"), "download", "neurovault", image_id="11"))
        image 11: download failed in neurovault: 404 Not Found
        """
        kind = type(error).__name__
        retryable = isinstance(error, DownloadError) and error.retryable
        return cls(stage, plugin, image_id, collection_id, url, kind, str(error) or kind, retryable)

    def __str__(self) -> str:
        if self.image_id is not None:
            what = f"image {self.image_id}"
        else:
            what = f"collection {self.collection_id}" if self.collection_id is not None else "a list page"
        return f"{what}: {self.stage} failed in {self.plugin}: {self.message}"


class Entry(NamedTuple):
    """One stored object in a listing; `version` changes whenever its bytes may have.

    A tuple, because there are two for each stored image and it is made in half the time.
    """

    key: str
    size: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ByteStream:
    """An open response body.

    Attributes
    ----------
    size : int or None
        Bytes of the whole file, if the server says so.
    validator : str or None
        Strong ETag, else Last-Modified: equal validators mean equal bytes.
    chunks : Iterator of bytes
        The body from `start` on.
    start : int
        Offset of the first byte in `chunks`: 0 where the server did not resume.
    checksum : str or None
        Of the whole file as the source states it, such as ``md5:<hex digits>``: what differs is refused. A name
        that `hashlib` does not know is passed over.
    """

    size: int | None
    validator: str | None
    chunks: Iterator[bytes]
    start: int = 0
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """One stored file of an image, as its sidecar records it.

    Attributes
    ----------
    key : str
        Path below the storage root.
    size : int
        Bytes.
    shape : tuple of int
        Voxels along each axis.
    affine : tuple of tuple of float
        4 × 4, voxel indices to mm.
    dtype : str
        numpy name of the type on disk.
    sha256 : str
        Hex digest of the stored bytes.
    chain : tuple of str
        Identity of what made it: empty for the original, else the source's sha256 and one line per processor.
    metadata : Mapping
        Keys that the processors changed, such as ``map_type``.
    """

    key: str
    size: int
    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    dtype: str
    sha256: str
    chain: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that a sidecar holds."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Asset:
        """Build an asset from a sidecar's JSON object; a malformed one raises KeyError, TypeError or ValueError."""
        return cls(
            key=str(data["key"]),
            size=int(data["size"]),
            shape=tuple(map(int, data["shape"])),
            affine=tuple(tuple(map(float, row)) for row in data["affine"]),
            dtype=str(data["dtype"]),
            sha256=str(data["sha256"]),
            chain=tuple(map(str, data["chain"])),
            metadata=dict(data.get("metadata", {})),
        )


@dataclass(frozen=True, slots=True)
class Processed:
    """What a processor returns when it changes metadata too.

    Attributes
    ----------
    img : nibabel.spatialimages.SpatialImage
        The new image.
    metadata : Mapping
        Keys that replace the record's, such as ``map_type``.
    """

    img: Any
    metadata: Metadata = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class FetchEvent:
    """What an observer and a progress callback are told.

    Attributes
    ----------
    kind : str
        ``start``, ``image``, ``failure`` or ``finish``.
    done, failed : int
        Images finished and lost so far.
    wanted : int or None
        The limit, ``None`` for all.
    image_id : str or None
        The image that this event is about.
    nbytes : int
        Bytes that this image brought over the network.
    failure : Failure or None
        With ``failure``.
    """

    kind: Literal["start", "image", "failure", "finish"]
    done: int = 0
    failed: int = 0
    wanted: int | None = None
    image_id: str | None = None
    nbytes: int = 0
    failure: Failure | None = None

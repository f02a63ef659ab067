"""What a mirror has to show: prebuilt records, their order, and the files behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol, get_args
from urllib.parse import quote, unquote, urlsplit

import orjson

from nvframe.mirror.stored import StoredFile
from nvframe.types import Metadata, checked_id

Kind = Literal["collections", "images", "atlases", "nidm_results"]
"""The four kinds of records in NeuroVault's API; result packs are never stored, so that list is empty."""

KINDS: tuple[Kind, ...] = get_args(Kind)

BASE = "\x00nvframe-mirror\x00"
"""Stands for the mirror's own address in prebuilt records: NeuroVault's database cannot hold a NUL."""

_BASE_JSON = orjson.dumps(BASE)[1:-1]
_LOCAL_KEYS = ("relative_path", "absolute_path")


class Catalogue(Protocol):
    """What the app asks; `StoredCatalogue` is ours, anything else with these methods will do."""

    def page(
        self, kind: Kind, collection_id: str | None, limit: int, offset: int
    ) -> tuple[int, Sequence[str]] | None:
        """Return how many there are and the ids of one page; None for an unknown collection."""
        ...

    def record(self, kind: Kind, record_id: str) -> bytes | None:
        """Return one record as JSON with `BASE` for the server's address."""
        ...

    def media(self, key: str) -> StoredFile | None:
        """Return the file at this path below ``/media/``."""
        ...

    def words(self, image_id: str) -> StoredFile | None:
        """Return the stored Neurosynth answer for an image."""
        ...


class StoredCatalogue:
    """A catalogue filled once from storage, ordered by id.

    Records are serialised when they are added: an answer only joins bytes and puts the address in.
    Media are found by looking their exact key up in a table, so no key can lead anywhere else.

    Examples
    --------
    >>> catalogue = StoredCatalogue()
    >>> catalogue.add_collection({"id": 7, "name": "an example"})
    >>> catalogue.add_image({"id": 12, "collection_id": 7, "file": None})
    >>> catalogue.add_image({"id": 9, "collection_id": 7, "file": None})
    >>> catalogue.page("images", "7", limit=100, offset=0)
    (2, ['9', '12'])
    >>> with_base(catalogue.record("collections", "7"), "http://localhost:8000")
    b'{"id":7,"name":"an example","url":"http://localhost:8000/collections/7/"}'
    """

    def __init__(self) -> None:
        self._records: dict[Kind, dict[str, bytes]] = {kind: {} for kind in KINDS}
        self._members: dict[str, dict[Kind, list[str]]] = {}
        self._media: dict[str, StoredFile] = {}
        self._words: dict[str, StoredFile] = {}
        self._sorted: dict[tuple[Kind, str | None], list[str]] = {}

    def add_media(self, key: str, stored: StoredFile) -> None:
        """Serve a file as ``/media/<key>``."""
        self._media[key] = stored

    def add_words(self, image_id: str, stored: StoredFile) -> None:
        """Serve a stored Neurosynth answer for an image."""
        self._words[image_id] = stored

    def add_collection(self, metadata: Metadata) -> None:
        """Add a collection's metadata; KeyError, TypeError or SourceError if it is invalid."""
        collection_id = checked_id(metadata["id"])
        urls = {"url": f"{BASE}/collections/{collection_id}/"}
        if metadata.get("download_url"):
            urls["download_url"] = f"{BASE}/collections/{collection_id}/download"
        self._records["collections"][collection_id] = orjson.dumps(public(metadata) | urls)
        self._members.setdefault(collection_id, {kind: [] for kind in KINDS})
        self._sorted.clear()

    def add_image(self, metadata: Metadata, media_key: str | None = None) -> None:
        """Add an image's metadata, after its collection and the media it names.

        Parameters
        ----------
        metadata : Mapping
            Fields as NeuroVault or a sidecar has them.
        media_key : str, optional
            Where its file is below ``/media/``; by default where its `file` URL says.
        """
        image_id, collection_id = checked_id(metadata["id"]), checked_id(metadata["collection_id"])
        members = self._members[collection_id]
        served = {name: self._served_url(value) for name, value in public(metadata).items()}
        served["url"] = f"{BASE}/images/{image_id}/"
        served["collection"] = f"{BASE}/collections/{collection_id}/"
        key = media_key or media_key_of(metadata.get("file"))
        if key is not None:
            served["file"] = f"{BASE}/media/{quote(key)}"
        if key in self._media:
            served["file_size"] = self._media[key].size
        record = orjson.dumps(served)
        for kind in _kinds_of(metadata):
            if image_id not in self._records[kind]:
                members[kind].append(image_id)
            self._records[kind][image_id] = record
        self._sorted.clear()

    def _served_url(self, value: Any) -> Any:
        """Return a link to a file that is served here as our own; any other value as it is."""
        key = media_key_of(value)
        return f"{BASE}/media/{quote(key)}" if key in self._media and key is not None else value

    def page(
        self, kind: Kind, collection_id: str | None, limit: int, offset: int
    ) -> tuple[int, list[str]] | None:
        """Return how many there are and the ids of one page; None for an unknown collection."""
        if collection_id is not None and collection_id not in self._members:
            return None
        where = (kind, collection_id)
        if where not in self._sorted:
            ids = self._records[kind] if collection_id is None else self._members[collection_id][kind]
            self._sorted[where] = sorted(ids, key=_numerically)
        ids = self._sorted[where]
        return len(ids), ids[offset : offset + limit]

    def record(self, kind: Kind, record_id: str) -> bytes | None:
        """Return one record as JSON with `BASE` for the server's address."""
        return self._records[kind].get(record_id)

    def media(self, key: str) -> StoredFile | None:
        """Return the file at this path below ``/media/``."""
        return self._media.get(key)

    def words(self, image_id: str) -> StoredFile | None:
        """Return the stored Neurosynth answer for an image."""
        return self._words.get(image_id)


def public(metadata: Metadata) -> dict[str, Any]:
    """Return `metadata` without what only a local cache adds to it.

    Examples
    --------
    >>> public({"id": 1, "relative_path": "collection_1/image_1.nii.gz", "nvframe": {"schema": 1}})
    {'id': 1}
    """
    return {k: v for k, v in metadata.items() if k != "nvframe" and not k.endswith(_LOCAL_KEYS)}


def with_base(body: bytes, base: str) -> bytes:
    """Return prebuilt JSON with the mirror's address put in."""
    return body.replace(_BASE_JSON, orjson.dumps(base)[1:-1])


def media_key_of(url: object) -> str | None:
    """Return the key below ``/media/`` that a URL names, or None.

    Examples
    --------
    >>> media_key_of("http://neurovault.org/media/images/8/a%20map.nii.gz")
    'images/8/a map.nii.gz'
    >>> media_key_of("http://neurovault.org/media/../etc/passwd") is None
    True
    """
    if not isinstance(url, str) or "/media/" not in url:
        return None
    try:
        path = unquote(urlsplit(url).path)
    except ValueError:
        return None
    key = path.partition("/media/")[2]
    clean = bool(key) and key == str(PurePosixPath(key)) and not {"..", "."} & set(key.split("/"))
    return key if clean and not key.startswith("/") else None


def _kinds_of(metadata: Mapping[str, Any]) -> tuple[Kind, ...]:
    return ("images", "atlases") if metadata.get("image_type") == "atlas" else ("images",)


def _numerically(record_id: str) -> tuple[int, int, str]:
    """Order ids as numbers, and after them those that are none."""
    return (0, int(record_id), "") if record_id.isdecimal() else (1, 0, record_id)

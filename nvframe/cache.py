"""What storage already holds: a listing, and the sidecars it shows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nvframe import layout
from nvframe.errors import IntegrityError
from nvframe.filters import normalise
from nvframe.types import ORIGINAL, Asset, Entry, Failure, parsed_json

if TYPE_CHECKING:
    from nvframe.contracts import Storage

# What else lies in a directory that people use, such as "collection_1 (copy)", is none of ours.
_COLLECTION = re.compile(r"collection_([A-Za-z0-9._-]{1,128})")
_SIDECAR = re.compile(r"collection_[^/]+/image_([A-Za-z0-9._-]{1,128})_metadata\.json")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image as its sidecar and the listing show it.

    Attributes
    ----------
    image_id, collection_id : str
        Whose.
    metadata : dict
        Normalised; path keys included, the ``nvframe`` key not.
    assets : dict
        Recorded assets that the listing shows with the recorded size, by role.
    """

    image_id: str
    collection_id: str
    metadata: dict[str, Any] = field(hash=False)
    assets: dict[str, Asset] = field(hash=False)


class Cache:
    """Reads a dataset's directory; each collection is listed once, however often it is asked about.

    Parameters
    ----------
    storage : Storage
        Rooted at the dataset's directory.

    Attributes
    ----------
    failures : list of Failure
        Sidecars that could not be read.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.failures: list[Failure] = []
        self._listings: dict[str, dict[str, Entry]] = {}
        self._collections: dict[str, dict[str, Any] | None] = {}
        self._complete = False

    def collection_ids(self) -> list[str]:
        """Return the ids of all stored collections, in numeric order where they are numbers."""
        if not self._complete:
            self._list_root()
        return sorted(self._listings, key=natural)

    def _list_root(self) -> None:
        self._listings.clear()
        for entry in self.storage.list():
            head, separator, _ = entry.key.partition("/")
            match = _COLLECTION.fullmatch(head)
            if separator and match:
                self._listings.setdefault(match[1], {})[entry.key] = entry
        self._complete = True

    def entries(self, collection_id: str) -> dict[str, Entry]:
        """Return the collection's files by key."""
        if collection_id not in self._listings and not self._complete:
            prefix = layout.collection_prefix(collection_id)
            self._listings[collection_id] = {entry.key: entry for entry in self.storage.list(prefix)}
        return self._listings.get(collection_id, {})

    def collection(self, collection_id: str) -> dict[str, Any] | None:
        """Return a stored collection's normalised metadata; None where there is none that can be read."""
        if collection_id not in self._collections:
            key = layout.collection_key(collection_id)
            present = key in self.entries(collection_id)
            self._collections[collection_id] = self._read(key, collection_id, None) if present else None
        return self._collections[collection_id]

    def images(self, collection_id: str) -> Iterator[StoredImage]:
        """Yield a collection's stored images in the order of their ids."""
        found = (_SIDECAR.fullmatch(key) for key in self.entries(collection_id))
        for image_id in sorted((match[1] for match in found if match), key=natural):
            stored = self.image(collection_id, image_id)
            if stored is not None:
                yield stored

    def find(self, image_id: str) -> StoredImage | None:
        """Return a stored image whose collection is not known; lists the root."""
        for collection_id in self.collection_ids():
            if layout.sidecar_key(collection_id, image_id) in self.entries(collection_id):
                return self.image(collection_id, image_id)
        return None

    def image(self, collection_id: str, image_id: str) -> StoredImage | None:
        """Return a stored image, or None; an unreadable sidecar is noted in `failures`."""
        entries = self.entries(collection_id)
        key = layout.sidecar_key(collection_id, image_id)
        if key not in entries:
            return None
        sidecar = self._read(key, collection_id, image_id)
        if sidecar is None:
            return None
        recorded = layout.assets_of(sidecar)
        present = {role: asset for role, asset in recorded.items() if _is_present(asset, entries)}
        metadata = layout.rerooted(sidecar, collection_id)
        return StoredImage(image_id, collection_id, metadata, present)

    def has_annotation(self, collection_id: str, image_id: str, sidecar_name: str) -> bool:
        """Tell whether an annotation of an image is stored."""
        return layout.annotation_key(collection_id, image_id, sidecar_name) in self.entries(collection_id)

    def asset(self, stored: StoredImage, role: str) -> Asset | None:
        """Return the asset of `role`, describing one that nilearn left, or None.

        A file without a record is read once and checked like a download, so that rubbish in an old cache
        is not served.
        """
        asset = stored.assets.get(role)
        if asset is not None or role not in (ORIGINAL, layout.RESAMPLED):
            return asset
        key = layout.asset_key(stored.collection_id, stored.image_id, role)
        if key not in self.entries(stored.collection_id):
            return None
        try:
            return describe(key, self.storage.read(key))
        except (IntegrityError, OSError) as error:
            self._note(key, stored.collection_id, stored.image_id, error)
            return None

    def _read(self, key: str, collection_id: str, image_id: str | None) -> dict[str, Any] | None:
        try:
            value = parsed_json(self.storage.read(key))
            if not isinstance(value, dict):
                raise IntegrityError("not a JSON object")
            return normalise(value)
        except (ValueError, OSError, IntegrityError) as error:
            self._note(key, collection_id, image_id, error)
            return None

    def _note(self, key: str, collection_id: str, image_id: str | None, error: Exception) -> None:
        message = f"{key} is damaged ({error}); it is fetched again unless offline"
        failure = Failure(
            "list",
            "cache",
            image_id,
            collection_id,
            f"{self.storage.url}/{key}",
            type(error).__name__,
            message,
        )
        if failure not in self.failures:
            self.failures.append(failure)


def describe(key: str, data: bytes, chain: tuple[str, ...] = ()) -> Asset:
    """Return the Asset of stored bytes, checking them; IntegrityError if they are no NIfTI image."""
    from nvframe.imaging import nifti

    _, info = nifti.verify(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return Asset(key, len(data), info.shape, info.affine, info.dtype, sha256, chain)


def natural(identifier: str) -> tuple[bool, int, str]:
    """Return a sort key: numbers by value before other ids by text."""
    number = identifier.isdecimal()
    return (not number, int(identifier) if number else 0, identifier)


def _is_present(asset: Asset, entries: dict[str, Entry]) -> bool:
    entry = entries.get(asset.key)
    return entry is not None and entry.size == asset.size

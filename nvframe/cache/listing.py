"""What storage already holds: a listing, and the sidecars it shows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from nvframe.cache import layout
from nvframe.cache.index import Index, is_settled
from nvframe.cache.index_rows import Block, Known
from nvframe.cache.read_bodies import ReadAhead
from nvframe.cache.stored_image import RecordedAsset, StoredImage
from nvframe.errors import IntegrityError
from nvframe.filters import normalise
from nvframe.options import current_options
from nvframe.types import ORIGINAL, Asset, Entry, Failure, parsed_json

if TYPE_CHECKING:
    from nvframe.contracts import Storage

# What else lies in a directory that people use, such as "collection_1 (copy)", is not ours.
_COLLECTION = re.compile(r"collection_([A-Za-z0-9._-]{1,128})")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


_READS_AT_ONCE = 8
_BODIES_AT_ONCE = 16  # collections of which the index is asked in one question
_READS_AHEAD = 32  # a query that stops at a limit has read so many sidecars too many


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
        self._sidecars: dict[str, dict[str, Entry]] = {}
        self._collections: dict[str, dict[str, Any] | None] = {}
        options = current_options()
        self._index = Index(storage, options.index)
        self._ahead = ReadAhead(storage, options.max_workers or _READS_AT_ONCE)
        self._blocks: dict[str, Block] = {}
        self._bodies: dict[str, bytes] = {}
        self._ahead_of_use: dict[str, bytes | None] = {}
        self._ids: dict[str, int] | None = None  # and their place in the order
        self._where: dict[str, str] | None = None

    def collection_ids(self) -> list[str]:
        """Return the ids of all stored collections, in numeric order where they are numbers."""
        if self._ids is None:
            directories = getattr(self.storage, "directories", None)
            if directories is None:
                self._list_root()
                found = list(self._listings)
            else:  # a collection that the query does not come to need not be listed
                found = [match[1] for match in map(_COLLECTION.fullmatch, directories()) if match]
            self._ids = {each: place for place, each in enumerate(in_order(found))}
        return list(self._ids)

    def _list_root(self) -> None:
        self._listings.clear()
        self._sidecars.clear()
        inside, listing = "", dict[str, Entry]()
        for entry in self.storage.list():
            key = entry.key
            if not (inside and key.startswith(inside)):
                head, separator, _ = key.partition("/")
                match = _COLLECTION.fullmatch(head)
                if not (separator and match):
                    continue
                inside, listing = f"{head}/", self._listings.setdefault(match[1], {})
            listing[key] = entry

    def entries(self, collection_id: str) -> dict[str, Entry]:
        """Return the collection's files by key."""
        if collection_id not in self._listings and (self._ids is None or collection_id in self._ids):
            prefix = layout.collection_prefix(collection_id)
            self._listings[collection_id] = {entry.key: entry for entry in self.storage.list(prefix)}
        return self._listings.get(collection_id, {})

    def collection(self, collection_id: str) -> dict[str, Any] | None:
        """Return a stored collection's normalised metadata; None where there is none that can be read."""
        if collection_id not in self._collections:
            entry = self.entries(collection_id).get(layout.collection_key(collection_id))
            found = self._collection(collection_id, entry) if entry is not None else None
            self._collections[collection_id] = found
        return self._collections[collection_id]

    def _collection(self, collection_id: str, entry: Entry) -> dict[str, Any] | None:
        block = self._block(collection_id)
        metadata = block.collection(entry)
        if metadata is None:
            metadata, settled = self._read(entry, collection_id, None)
            if metadata is not None and settled:
                block.note_collection(entry, metadata)
        return metadata

    def images(self, collection_id: str) -> Iterator[StoredImage]:
        """Yield a collection's stored images in the order of their ids."""
        sidecars = self._image_sidecars(collection_id)
        listed, block = self.entries(collection_id), self._block(collection_id)
        block.changed |= block.knows_more_than(sidecars)
        for image_id in self._read_ahead(in_order(sidecars), sidecars, block):
            entry = sidecars[image_id]
            known = block.image(image_id, entry, listed) or self._read_image(collection_id, image_id, entry)
            if known is not None:
                metadata, assets = known
                yield StoredImage(image_id, collection_id, metadata, assets)
        self._put_away(collection_id)

    def _read_ahead(self, image_ids: list[str], sidecars: Mapping[str, Entry], block: Block) -> Iterable[str]:
        """Return image ids; where reading takes a round trip, the unknown ones of the next few are begun at once."""
        if self.storage.local_path(layout.COLLECTION_FILE) is not None:
            return image_ids
        return self._announced(image_ids, sidecars, block)

    def _announced(self, image_ids: list[str], sidecars: Mapping[str, Entry], block: Block) -> Iterator[str]:
        for start in range(0, len(image_ids), _READS_AHEAD):
            next_few = image_ids[start : start + _READS_AHEAD]
            unknown = [sidecars[each].key for each in next_few if not block.knows(each, sidecars[each])]
            if len(unknown) > 1:
                self._ahead.announce(unknown)
            yield from next_few

    def find(self, image_id: str) -> StoredImage | None:
        """Return a stored image whose collection is not known; lists the root."""
        if self._where is None:
            self._where = {}
            for collection_id in reversed(self.collection_ids()):  # the first of two wins
                self._where |= dict.fromkeys(self._image_sidecars(collection_id), collection_id)
        found = self._where.get(image_id)
        return None if found is None else self.image(found, image_id)

    def image(self, collection_id: str, image_id: str) -> StoredImage | None:
        """Return a stored image, or None; an unreadable sidecar is noted in `failures`."""
        listed = self.entries(collection_id)
        entry = listed.get(layout.sidecar_key(collection_id, image_id))
        if entry is None:
            return None
        block = self._block(collection_id)
        known = block.image(image_id, entry, listed) or self._read_image(collection_id, image_id, entry)
        return None if known is None else StoredImage(image_id, collection_id, *known)

    def _read_image(self, collection_id: str, image_id: str, entry: Entry) -> Known | None:
        sidecar, settled = self._read(entry, collection_id, image_id)
        if sidecar is None:
            return None
        recorded = layout.assets_of(sidecar)
        metadata = layout.rerooted(sidecar, collection_id) | layout.image_paths(collection_id, image_id)
        if settled:
            self._block(collection_id).note_image(image_id, entry, metadata, recorded)
        listed = self.entries(collection_id)
        return metadata, {role: asset for role, asset in recorded.items() if _is_present(asset, listed)}

    def _image_sidecars(self, collection_id: str) -> dict[str, Entry]:
        """Return the entries of a collection's sidecars by image."""
        if collection_id not in self._sidecars:
            head, tail = f"{layout.collection_prefix(collection_id)}/image_", "_metadata.json"
            start, end = len(head), -len(tail)
            self._sidecars[collection_id] = {
                image_id: entry
                for key, entry in self.entries(collection_id).items()
                if key.endswith(tail) and key.startswith(head) and _ID.fullmatch(image_id := key[start:end])
            }
        return self._sidecars[collection_id]

    def _block(self, collection_id: str) -> Block:
        block = self._blocks.get(collection_id)
        if block is None:
            known = self._bodies.get(collection_id) or self._loaded(collection_id)
            block = self._blocks[collection_id] = Block(known)
        return block

    def _loaded(self, collection_id: str) -> bytes | None:
        """Return what the index has of a collection; the ones after it are likely to be wanted next."""
        if collection_id not in self._ahead_of_use:
            ids = self._ids or {}
            start = ids.get(collection_id, len(ids)) + 1
            wanted = [collection_id, *islice(ids, start, start + _BODIES_AT_ONCE - 1)]
            self._ahead_of_use = dict.fromkeys(wanted) | self._index.load(wanted)
        return self._ahead_of_use.pop(collection_id)

    def _put_away(self, collection_id: str) -> None:
        """Hold what is to be saved as bytes, and nothing else: there may be a hundred thousand images."""
        block = self._blocks.pop(collection_id, None)
        if block is not None and block.changed and self.entries(collection_id):
            sidecars = self._image_sidecars(collection_id)
            self._bodies[collection_id] = block.to_bytes(self.entries(collection_id), sidecars)

    def close(self) -> None:
        """Keep in the index what had to be read, so that the next call need not."""
        for collection_id in list(self._blocks):
            self._put_away(collection_id)
        vanished = self._vanished() if self._ids is not None else set()
        if self._bodies or vanished:
            self._index.save(self._bodies, vanished)
        self._index.close()
        self._ahead.close()

    def _vanished(self) -> set[str]:
        """Return the collections that the index knows and storage has no more."""
        there = set(self._ids or ()) - {each for each, listing in self._listings.items() if not listing}
        return self._index.collection_ids() - there

    def has_annotation(self, collection_id: str, image_id: str, sidecar_name: str) -> bool:
        """Tell whether an annotation of an image is stored."""
        return layout.annotation_key(collection_id, image_id, sidecar_name) in self.entries(collection_id)

    def asset(self, stored: StoredImage, role: str) -> Asset | RecordedAsset | None:
        """Return the asset of `role`, describing one that nilearn left, or None.

        A file without a record is read once and checked like a download, so that rubbish in an old cache
        is not served.
        """
        asset = stored.assets.get(role)
        if asset is not None or role not in (ORIGINAL, layout.RESAMPLED):
            return asset
        key = layout.asset_key(stored.collection_id, stored.id, role)
        return self._described(stored, key) if key in self.entries(stored.collection_id) else None

    def _described(self, stored: StoredImage, key: str) -> Asset | None:
        entry, block = self.entries(stored.collection_id)[key], self._block(stored.collection_id)
        asset = block.file(entry)
        if asset is None:
            try:
                asset = describe(key, self.storage.read(key))
            except (IntegrityError, OSError) as error:
                self._note(key, stored.collection_id, stored.id, error)
                return None
            if is_settled(entry):
                block.note_file(entry, asset)
        return asset

    def _read(
        self, entry: Entry, collection_id: str, image_id: str | None
    ) -> tuple[dict[str, Any] | None, bool]:
        """Return a sidecar's normalised fields, if it can be read, and whether the index may keep them."""
        try:
            data = self._ahead.read(entry.key)
            value = parsed_json(data)
            if not isinstance(value, dict):
                raise IntegrityError("not a JSON object")
        except (ValueError, OSError, IntegrityError) as error:
            self._note(entry.key, collection_id, image_id, error)
            return None, False
        # Values that Python writes and JSON has not would not come back from the index.
        plain = b"NaN" not in data and b"Infinity" not in data
        return normalise(value), plain and is_settled(entry)

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


def in_order(identifiers: Collection[str]) -> list[str]:
    """Return ids sorted: numbers by value before other ids by text.

    Examples
    --------
    >>> in_order(["b", "10", "9", "a"])
    ['9', '10', 'a', 'b']
    """
    if "".join(identifiers).isdecimal():  # nearly always, and it takes a third of the time
        return sorted(identifiers, key=int)
    return sorted(identifiers, key=lambda each: (0, int(each), "") if each.isdecimal() else (1, 0, each))


def _is_present(asset: Asset, listed: Mapping[str, Entry]) -> bool:
    entry = listed.get(asset.key)
    return entry is not None and entry.size == asset.size

"""What is known of one collection's files, as one body of bytes for the index.

Metadata of a collection's images agree in most fields: what is common is written once, as a template, and an image
comes back as one merge of two dicts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson

from nvframe.cache.stored_image import Fields, Form, RecordedAsset, Template
from nvframe.types import Asset, Entry, Metadata

log = logging.getLogger(__name__)

Known = tuple[Metadata, Mapping[str, Asset | RecordedAsset]]


class Block:
    """What is known of one collection: each answer counts only for the (size, version) it was noted with.

    Parameters
    ----------
    body : bytes, optional
        What `to_bytes` returned; None, or anything else, for a block that knows nothing.

    Attributes
    ----------
    changed : bool
        Whether there is something new to keep.

    Examples
    --------
    >>> sidecar = Entry("collection_1/image_7_metadata.json", 9, "v1")
    >>> block = Block()
    >>> block.note_image("7", sidecar, {"id": 7}, {})
    >>> block = Block(block.to_bytes({sidecar.key: sidecar}, {"7": sidecar}))
    >>> block.image("7", sidecar, {})
    ({'id': 7}, {})
    >>> block.image("7", Entry(sidecar.key, 9, "v2"), {}) is None
    True
    """

    def __init__(self, body: bytes | None = None) -> None:
        self.changed = False
        self._body = body
        self._noted: dict[tuple[str, str], bytes] = {}
        try:
            document = orjson.loads(body or b"{}")
            self._templates = [Template(*template) for template in document.get("templates", ())]
            self._forms = [Form.of(row) for row in document.get("forms", ())]
            self._collection: list[Any] | None = document.get("collection")
            self._images = {row[0]: row for row in document.get("images", ())}
            self._files = {row[0]: row for row in document.get("files", ())}
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            log.debug("a block of the index cannot be read: %s", error)
            self._body, self._collection = None, None
            self._templates, self._forms, self._images, self._files = [], [], {}, {}

    # What is known.

    def collection(self, entry: Entry) -> dict[str, Any] | None:
        """Return the collection's metadata, if they were noted of what the listing shows."""
        row = self._collection
        return dict(row[2]) if row is not None and row[1] == entry.version and row[0] == entry.size else None

    def image(self, image_id: str, entry: Entry, listed: Mapping[str, Entry]) -> Known | None:
        """Return an image's metadata and the assets that are `listed`; None if its sidecar is not `entry`'s."""
        row = self._images.get(image_id)
        if row is None or row[2] != entry.version or row[1] != entry.size:
            return None  # as `knows` tells, at less cost
        present = {}
        for asset in row[5]:
            file = listed.get(asset[1])
            if file is not None and file.size == asset[2]:
                present[asset[0]] = RecordedAsset(asset, self._forms[asset[3]])
        return Fields(self._templates[row[3]], row[4]), present

    def knows(self, image_id: str, entry: Entry) -> bool:
        """Tell whether an image's sidecar is as it was."""
        return _is_of(self._images.get(image_id), entry)

    def file(self, entry: Entry) -> Asset | None:
        """Return the description of a file that no sidecar describes."""
        row = self._files.get(entry.key)
        return self._asset(row[3]) if row is not None and _is_of(row, entry) else None

    def _asset(self, row: list[Any]) -> Asset:
        return RecordedAsset(row, self._forms[row[3]]).whole()

    def knows_more_than(self, sidecars: Mapping[str, Entry]) -> bool:
        """Tell whether there are images that have no sidecar any more."""
        return not self._images.keys() <= sidecars.keys()

    # What is new. It is written down at once: what callers get is theirs to change.

    def note_collection(self, entry: Entry, metadata: Mapping[str, Any]) -> None:
        """Keep a collection's metadata."""
        self._write_down("collection", "", [entry.size, entry.version, metadata])

    def note_image(
        self, image_id: str, entry: Entry, metadata: Mapping[str, Any], assets: Mapping[str, Asset]
    ) -> None:
        """Keep what a sidecar says."""
        self._write_down("image", image_id, [image_id, entry.size, entry.version, metadata, assets])

    def note_file(self, entry: Entry, asset: Asset) -> None:
        """Keep the description of a file."""
        self._write_down("file", entry.key, [entry.key, entry.size, entry.version, asset])

    def _write_down(self, kind: str, name: str, row: list[Any]) -> None:
        with suppress(TypeError):  # an integer that is too large: such a file is read each time
            self._noted[kind, name] = orjson.dumps(row)
            self.changed = True

    def to_bytes(self, listed: Mapping[str, Entry], sidecars: Mapping[str, Entry]) -> bytes:
        """Return all that is known of what is still `listed` as it was; `sidecars` are the images', by id."""
        kept = Block(self._body)  # as it was read: what was handed out since may have been changed
        writer = _Writer(kept._collection)
        for row in kept._images.values():
            if _is_of(row, sidecars.get(row[0])):
                assets = {asset[0]: _plain(kept._asset(asset)) for asset in row[5]}
                writer.images[row[0]] = [*row[:3], kept._templates[row[3]].fields | row[4], assets]
        for row in kept._files.values():
            if _is_of(row, listed.get(row[0])):
                writer.files[row[0]] = [*row[:3], _plain(kept._asset(row[3]))]
        writer.add(self._noted)
        return writer.written()


class _Writer:
    """Rows with whole metadata and assets, and the tables in which their common parts are written once."""

    def __init__(self, collection: list[Any] | None) -> None:
        self.collection = collection
        self.images: dict[str, list[Any]] = {}
        self.files: dict[str, list[Any]] = {}
        self._templates: list[tuple[dict[str, Any], list[str]]] = []
        self._forms: dict[bytes, int] = {}

    def add(self, noted: Mapping[tuple[str, str], bytes]) -> None:
        for (kind, name), data in noted.items():
            row = orjson.loads(data)
            if kind == "collection":
                self.collection = row
            elif kind == "image" and all(map(_is_whole, row[4].values())):
                self.images[name] = row
            elif kind == "file" and _is_whole(row[3]):
                self.files[name] = row

    def written(self) -> bytes:
        files = [[*row[:3], self._asset_row("", row[3])] for row in self.files.values()]
        images = [row for group in self._alike() for row in self._image_rows(group)]
        document = {
            "collection": self.collection,
            "images": images,
            "files": files,
            "templates": self._templates,
            "forms": [orjson.Fragment(form) for form in self._forms],
        }
        return orjson.dumps(document)

    def _alike(self) -> Iterable[list[list[Any]]]:
        """Group the images whose metadata have the same fields in the same order."""
        groups: dict[tuple[str, ...], list[list[Any]]] = {}
        for row in self.images.values():
            groups.setdefault(tuple(row[3]), []).append(row)
        return groups.values()

    def _image_rows(self, group: list[list[Any]]) -> Iterator[list[Any]]:
        fields = list(group[0][3])
        columns = zip(*(row[3].values() for row in group), strict=True)
        own = [name for name, column in zip(fields, columns, strict=True) if not _is_common(column)]
        # The template has every field, so that a merge keeps their order.
        self._templates.append(({**group[0][3], **dict.fromkeys(own)}, own))
        number = len(self._templates) - 1
        for image_id, size, version, metadata, assets in group:
            rows = [self._asset_row(role, asset) for role, asset in assets.items()]
            yield [image_id, size, version, number, {name: metadata[name] for name in own}, rows]

    def _asset_row(self, role: str, asset: dict[str, Any]) -> list[Any]:
        source, *steps = asset["chain"] or [None]
        form = [asset["shape"], asset["affine"], asset["dtype"], steps, asset["metadata"]]
        number = self._forms.setdefault(orjson.dumps(form), len(self._forms))
        return [role, asset["key"], asset["size"], number, asset["sha256"], source]


def _plain(asset: Asset) -> dict[str, Any]:
    return dict(orjson.loads(orjson.dumps(asset)))


def _is_whole(asset: dict[str, Any]) -> bool:
    """Tell whether an affine came through as numbers: NaN is not JSON, and such a file is read each time."""
    return not any(None in row for row in asset["affine"])


def _is_common(column: tuple[Any, ...]) -> bool:
    """Tell whether images share a value; a list is never shared, because who gets one may change it."""
    first = column[0]
    if isinstance(first, list | dict):
        return False
    return column.count(first) == len(column) == [type(value) for value in column].count(type(first))


def _is_of(row: list[Any] | None, entry: Entry | None) -> bool:
    return row is not None and entry is not None and row[2] == entry.version and row[1] == entry.size

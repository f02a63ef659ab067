"""An image as storage shows it: what is asked for is built when it is asked for, since most of it never is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from nvframe.types import Asset, Entry, Metadata


class Template:
    """What the metadata of many images have in common; it has every field, so that a merge keeps their order."""

    __slots__ = ("fields", "path_keys")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.path_keys = _path_keys(fields)


class Fields(Mapping[str, Any]):
    """Metadata in two parts: what an image has in common with others, and what is its own.

    Examples
    --------
    >>> fields = Fields(Template({"map_type": "T map", "id": None}), {"id": 7})
    >>> fields.get("id"), fields.get("map_type"), fields.get("age"), as_dict(fields)
    (7, 'T map', None, {'map_type': 'T map', 'id': 7})
    """

    __slots__ = ("_own", "_template")

    def __init__(self, template: Template, own: dict[str, Any]) -> None:
        self._template = template
        self._own = own

    def __getitem__(self, key: str) -> Any:
        return self._own[key] if key in self._own else self._template.fields[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field, or `default`."""
        return self._own[key] if key in self._own else self._template.fields.get(key, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._template.fields)

    def __len__(self) -> int:
        return len(self._template.fields)

    def __repr__(self) -> str:
        return repr(self.merged())

    def merged(self) -> dict[str, Any]:
        """Return the fields as a dict that is the caller's own."""
        return self._template.fields | self._own

    @property
    def path_keys(self) -> dict[str, None]:
        """The fields that may hold relative paths, in their order."""
        return self._template.path_keys


def as_dict(metadata: Metadata) -> dict[str, Any]:
    """Return a copy of metadata, however they are held."""
    return metadata.merged() if isinstance(metadata, Fields) else dict(metadata)


def path_keys(metadata: Metadata) -> dict[str, None]:
    """Return the fields of metadata that may hold relative paths, in their order."""
    return metadata.path_keys if isinstance(metadata, Fields) else _path_keys(metadata)


def _path_keys(metadata: Metadata) -> dict[str, None]:
    return dict.fromkeys(key for key in metadata if "relative_path" in key)


class Forms:
    """What many assets have in common: shape, affine, dtype, processing steps, changed metadata."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[list[Any]] = ()) -> None:
        self._rows = [
            (tuple(shape), tuple(map(tuple, affine)), dtype, tuple(steps), metadata)
            for shape, affine, dtype, steps, metadata in rows
        ]

    def asset(self, row: list[Any]) -> Asset:
        """Return the asset that a row stands for: role, key, size, number of the form, sha256, source's sha256."""
        _, key, size, number, sha256, source = row
        shape, affine, dtype, steps, metadata = self._rows[number]
        chain = steps if source is None else (source, *steps)
        return Asset(key, size, shape, affine, dtype, sha256, chain, deepcopy(metadata) if metadata else {})


class RecordedAssets(Mapping[str, Asset]):
    """The assets that a sidecar records and a listing shows with the recorded size, by role."""

    __slots__ = ("_built", "_forms", "_listed", "_rows")

    def __init__(self, rows: list[list[Any]], forms: Forms, listed: Mapping[str, Entry]) -> None:
        self._rows = rows
        self._forms = forms
        self._listed = listed
        self._built: dict[str, Asset | None] = {}

    def get(self, role: str, default: Any = None) -> Any:
        """Return the asset of `role`, or `default`."""
        if role not in self._built:
            self._built[role] = self._find(role)
        asset = self._built[role]
        return default if asset is None else asset

    def _find(self, role: str) -> Asset | None:
        for row in self._rows:
            if row[0] == role:
                entry = self._listed.get(row[1])
                return self._forms.asset(row) if entry is not None and entry.size == row[2] else None
        return None

    def __getitem__(self, role: str) -> Asset:
        asset: Asset | None = self.get(role)
        if asset is None:
            raise KeyError(role)
        return asset

    def __iter__(self) -> Iterator[str]:
        return (row[0] for row in self._rows if self.get(row[0]) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # a worker needs this image's assets alone

    def __repr__(self) -> str:
        return repr(dict(self))


class StoredImage:
    """An image as its sidecar and the listing show it.

    Attributes
    ----------
    image_id, collection_id : str
        Whose.
    fields : Mapping
        Normalised metadata; path keys included, the ``nvframe`` key not.
    assets : Mapping
        Recorded assets that the listing shows with the recorded size, by role.
    """

    __slots__ = ("assets", "collection_id", "fields", "image_id")

    def __init__(
        self, image_id: str, collection_id: str, fields: Metadata, assets: Mapping[str, Asset]
    ) -> None:
        self.image_id = image_id
        self.collection_id = collection_id
        self.fields = fields
        self.assets = assets

    @property
    def metadata(self) -> dict[str, Any]:
        """The fields, as a dict that is the caller's own."""
        return as_dict(self.fields)

"""An image as storage shows it: what is asked for is built when it is asked for, since most of it never is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, NamedTuple

from nvframe.types import Asset, ImageRecord, Metadata


class Template:
    """What the metadata of many images have in common; it has every field, so that a merge keeps their order.

    Parameters
    ----------
    fields : dict
        The common values; those that are each image's own are there too, as None.
    own : collection of str
        The fields that are each image's own.
    """

    __slots__ = ("_own", "_terms", "_undecided", "fields", "path_keys")

    def __init__(self, fields: dict[str, Any], own: Collection[str]) -> None:
        self.fields = fields
        self.path_keys = _path_keys(tuple(fields))
        self._own = frozenset(own)
        self._terms: Metadata | None = None
        self._undecided: Metadata | None = None

    def undecided(self, terms: Metadata) -> Metadata | None:
        """Return the terms that every image has to be asked about; None if none of the images can match.

        Examples
        --------
        >>> template = Template({"map_type": "T map", "id": None}, own=["id"])
        >>> template.undecided({"map_type": "T map", "id": 7}), template.undecided({"map_type": "Z map"})
        ({'id': 7}, None)
        """
        if self._terms is not terms:
            self._terms, self._undecided = terms, self._asked(terms)
        return self._undecided

    def _asked(self, terms: Metadata) -> Metadata | None:
        try:
            if _differs({key: term for key, term in terms.items() if key not in self._own}, self.fields):
                return None
        except Exception:  # a term that cannot be compared is reported of an image
            return terms
        return {key: term for key, term in terms.items() if key in self._own}


def _differs(terms: Metadata, fields: Metadata) -> bool:
    # The term stands on the left: its own comparison decides, as in nilearn.
    for key, term in terms.items():  # noqa: SIM110 - a generator costs as much as the comparisons
        if term != fields.get(key):
            return True
    return False


class Fields(Mapping[str, Any]):
    """Metadata in two parts: what an image has in common with others, and what is its own.

    Examples
    --------
    >>> fields = Fields(Template({"map_type": "T map", "id": None}, own=["id"]), {"id": 7})
    >>> fields.get("id"), fields.get("map_type"), fields.get("age"), as_dict(fields)
    (7, 'T map', None, {'map_type': 'T map', 'id': 7})
    """

    __slots__ = ("own", "template")

    def __init__(self, template: Template, own: dict[str, Any]) -> None:
        self.template = template
        self.own = own

    def __getitem__(self, key: str) -> Any:
        return self.own[key] if key in self.own else self.template.fields[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field, or `default`."""
        return self.own[key] if key in self.own else self.template.fields.get(key, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self.template.fields)

    def __len__(self) -> int:
        return len(self.template.fields)

    def __repr__(self) -> str:
        return repr(as_dict(self))

    def match(self, terms: Metadata) -> bool:
        """Tell whether they match `terms`; the images of one template agree about most."""
        undecided = self.template.undecided(terms)
        return undecided is not None and not _differs(undecided, self if undecided is terms else self.own)


def as_dict(metadata: Metadata) -> dict[str, Any]:
    """Return a copy of metadata, however they are held."""
    return metadata.template.fields | metadata.own if isinstance(metadata, Fields) else dict(metadata)


def path_keys(metadata: Metadata) -> Mapping[str, str]:
    """Return the fields of metadata that may hold relative paths, in their order, with those of absolute ones."""
    return metadata.template.path_keys if isinstance(metadata, Fields) else _path_keys(tuple(metadata))


@lru_cache(maxsize=256)  # the images of a collection have the same fields
def _path_keys(fields: tuple[str, ...]) -> Mapping[str, str]:
    return {key: key.replace("relative_path", "absolute_path") for key in fields if "relative_path" in key}


class Form(NamedTuple):
    """What many assets have in common; the chain's first link, the source, is each asset's own."""

    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    dtype: str
    steps: tuple[str, ...]
    metadata: dict[str, Any]

    @classmethod
    def of(cls, row: list[Any]) -> Form:
        """Return the form that a row of JSON values stands for."""
        shape, affine, dtype, steps, metadata = row
        return cls(tuple(shape), tuple(map(tuple, affine)), dtype, tuple(steps), metadata)


class RecordedAsset:
    """A stored file as the index has it: not made an Asset before somebody asks for more than its key.

    Attributes
    ----------
    key : str
        Path below the storage root.
    """

    __slots__ = ("_form", "_row", "key")

    def __init__(self, row: list[Any], form: Form) -> None:
        self.key: str = row[1]  # after the role; then the size, the form's number, sha256 and the source's
        self._row = row
        self._form = form

    @property
    def metadata(self) -> dict[str, Any]:
        """Keys that the processors changed."""
        changed = self._form.metadata
        return deepcopy(changed) if changed else {}

    def whole(self) -> Asset:
        """Return all that the sidecar records."""
        _, key, size, _, sha256, source = self._row
        shape, affine, dtype, steps, _ = self._form
        chain = steps if source is None else (source, *steps)
        return Asset(key, size, shape, affine, dtype, sha256, chain, self.metadata)


def as_asset(asset: Asset | RecordedAsset) -> Asset:
    """Return an asset, however it is held."""
    return asset.whole() if isinstance(asset, RecordedAsset) else asset


def as_assets(assets: Mapping[str, Asset | RecordedAsset]) -> dict[str, Asset]:
    """Return assets by role, however they are held."""
    return {role: as_asset(asset) for role, asset in assets.items()}


class StoredImage:
    """An image as its sidecar and the listing show it; it stands for its record until somebody asks for that.

    Attributes
    ----------
    id, collection_id : str
        Whose.
    metadata : Mapping
        Normalised; path keys included, the ``nvframe`` key not.
    assets : Mapping
        Recorded assets that the listing shows with the recorded size, by role.
    """

    __slots__ = ("assets", "collection_id", "id", "metadata")

    def __init__(
        self,
        image_id: str,
        collection_id: str,
        metadata: Metadata,
        assets: Mapping[str, Asset | RecordedAsset],
    ) -> None:
        self.id = image_id
        self.collection_id = collection_id
        self.metadata = metadata
        self.assets = assets

    def record(self, source: str) -> ImageRecord:
        """Return the image as a source of that name describes it."""
        metadata = as_dict(self.metadata)
        url, size, modified = map(metadata.get, ("file", "file_size", "modify_date"))
        return ImageRecord(
            source,
            self.id,
            self.collection_id,
            str(url or ""),
            metadata,
            size if isinstance(size, int) and size > 0 else None,
            modified if isinstance(modified, str) else None,
        )


def as_record(image: ImageRecord | StoredImage, source: str) -> ImageRecord:
    """Return an image's record, however it is held."""
    return image.record(source) if isinstance(image, StoredImage) else image

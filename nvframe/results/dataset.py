"""Images as one lazy xarray Dataset on ``(image, x, y, z)``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nvframe.errors import (
    NOT_FETCHED,
    GridMismatchError,
    IntegrityError,
    NvframeError,
    PartialResultWarning,
    warn_caller,
)
from nvframe.results.columns import flags, text, typed_columns
from nvframe.results.lattice import (
    FIELD_OF_VIEW,
    JOINS,
    Lattice,
    Place,
    groups,
    mismatch,
    place_on,
    placed,
    turned,
)
from nvframe.results.lazy import ImageStack
from nvframe.types import Asset, Failure, Metadata

if TYPE_CHECKING:
    import xarray as xr

    from nvframe.contracts import FrameView, Storage
    from nvframe.imaging.grids import Canonical

RESERVED = frozenset(
    {"image", "x", "y", "z", "voxel", "word", "stat_map", "word_frequencies", *FIELD_OF_VIEW}
    | {"source", "status", "coverage", "_next"}  # what a Zarr says of its rows
    | {".", "..", "zarr.json"}  # each name becomes a directory of a Zarr
)
_LONGEST_NAME = 60

_INT64_DIGITS = 18
"""Decimal digits that always fit an int64."""


class DatasetFormat:
    """Builds a Dataset whose ``stat_map`` is read from the images' files when its values are asked for."""

    def build(
        self,
        frame_view: FrameView,
        *,
        join: str = "outer",
        on_mismatch: str = "raise",
        dtype: Any = "float32",
    ) -> xr.Dataset:
        """Return the Dataset.

        Parameters
        ----------
        frame_view : FrameView
            The frame.
        join : {"outer", "inner", "exact"}, default="outer"
            Which voxels the array holds where images cover different boxes of one lattice.
        on_mismatch : {"raise", "drop"}, default="raise"
            What to do where the images lie on several lattices; ``drop`` keeps the largest group and
            moves the others to the frame's failures.
        dtype : dtype, default="float32"
            Of ``stat_map``; the arithmetic is float64.

        Returns
        -------
        xarray.Dataset
            ``stat_map`` on ``(image, x, y, z)``, lazy, NaN outside an image's field of view; ``x``, ``y``
            and ``z`` in mm, RAS+ and ascending; metadata as coordinates on ``image``; words, if they were
            fetched, on ``(image, word)``.

        Raises
        ------
        GridMismatchError
            If the images do not lie on one lattice; says how to resample.
        ValueError
            For a `join` or `on_mismatch` that does not exist, a `dtype` without NaN, or a frame without images.
        """
        built = build_dataset(rows_of(frame_view), frame_view.failures, join, on_mismatch, dtype)
        return annotated(built, frame_view)


def annotated(built: Built, frame_view: FrameView) -> xr.Dataset:
    """Return the Dataset with what the frame's annotators know, such as words on ``(image, word)``."""
    dataset = built.dataset
    for annotator in frame_view.annotators:
        annotations = frame_view.annotations[annotator.name]
        try:
            dataset = _with_annotations(dataset, annotator.collate([annotations[i] for i in built.kept]))
        except Exception as error:  # a plugin's fault costs its own columns
            warn_caller(
                f"{annotator.name}: its annotations are left out, because they could not be collated: "
                f"{type(error).__name__}: {error}",
                PartialResultWarning,
            )
    return dataset


def _with_annotations(dataset: xr.Dataset, collated: Mapping[str, Any]) -> xr.Dataset:
    own = {name: made for name, made in collated.items() if made[0] == (name,)}
    others = {name: made for name, made in collated.items() if name not in own}
    return dataset.assign(others).assign_coords(own)


@dataclass(frozen=True, slots=True)
class Rows:
    """Aligned lists: what a Dataset is built from."""

    assets: Sequence[Asset]
    images_meta: Sequence[Metadata]
    collections_meta: Sequence[Metadata]
    storage: Storage


def rows_of(frame_view: FrameView) -> Rows:
    """Return the lists of a frame; NvframeError if it comes from a search."""
    if len(frame_view.assets) < len(frame_view.images_meta):
        raise NvframeError(NOT_FETCHED)
    return Rows(frame_view.assets, frame_view.images_meta, frame_view.collections_meta, frame_view.storage)


@dataclass(frozen=True, slots=True)
class Built:
    """A Dataset, the rows that it holds, and where each lies on its lattice."""

    dataset: xr.Dataset
    kept: Sequence[int]
    places: Sequence[Place]
    lattice: Lattice


@dataclass(frozen=True, slots=True)
class Onto:
    """A lattice that is given, such as that of an array that grows; `whole` images must lie in its box."""

    lattice: Lattice
    whole: bool
    hint: str


def build_dataset(
    rows: Rows, failures: list[Failure], join: str, on_mismatch: str, dtype: Any, onto: Onto | None = None
) -> Built:
    """Return the Dataset of the rows that it can hold; the others are added to `failures`."""
    import numpy as np
    import xarray as xr
    from xarray.core import indexing

    import nvframe.results.accessor  # noqa: F401 - whoever has a Dataset of ours has `ds.nvframe`

    if join not in JOINS:
        raise ValueError(f"join must be one of {', '.join(map(repr, JOINS))}, got {join!r}")
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"dtype must be a floating-point type, which has a NaN, got {np.dtype(dtype)}")
    if on_mismatch not in ("raise", "drop"):
        raise ValueError(f"on_mismatch must be 'raise' or 'drop', got {on_mismatch!r}")
    turns = _openable(rows, failures)
    if onto is None:
        kept = _on_one_lattice(rows, turns, failures, on_mismatch)
        lattice, places = placed([turns[i] for i in kept], join) if kept else (None, [])
    else:
        fitting = _fitting(rows, turns, failures, on_mismatch, onto)
        kept, lattice, places = list(fitting), onto.lattice, list(fitting.values())
    if lattice is None or not kept:
        why = f"; the first failure: {failures[0]}" if failures else ""
        raise ValueError(f"there is no image to build a Dataset from{why}")
    stack = ImageStack(
        rows.storage, tuple(rows.assets[i] for i in kept), tuple(places), lattice, np.dtype(dtype)
    )
    data = xr.Variable(
        ("image", "x", "y", "z"), indexing.LazilyIndexedArray(stack), {"long_name": "statistic"}
    )
    coords = {
        "image": _image_index(rows, kept),
        **_space(lattice),
        **_image_coords(rows, kept),
        **_fields_of_view(lattice, places),
    }
    dataset = xr.Dataset({"stat_map": data}, coords, _attrs([rows.images_meta[i] for i in kept]))
    return Built(dataset, kept, places, lattice)


def _openable(rows: Rows, failures: list[Failure]) -> dict[int, Canonical]:
    """Return how each row that is one volume turns to RAS+; report the others."""
    turns = {}
    for i, (asset, meta) in enumerate(zip(rows.assets, rows.images_meta, strict=True)):
        try:
            _check_volume(asset, meta)
            turns[i] = turned(asset.affine, asset.shape)
        except (GridMismatchError, IntegrityError, ValueError) as error:
            _report(rows, i, error, failures)
    return turns


def _check_volume(asset: Asset, meta: Metadata) -> None:
    if meta.get("data_origin") == "surface":
        raise IntegrityError("a surface map has no volume worth opening")
    if len(asset.shape) < 3 or any(n != 1 for n in asset.shape[3:]):
        raise IntegrityError(f"shape {asset.shape} is not one volume; select a volume with a processor")
    if not _is_real(asset.dtype):
        raise IntegrityError(f"data type {asset.dtype} is not a real number")


def _is_real(dtype: str) -> bool:
    import numpy as np

    try:
        return np.dtype(dtype).kind in "iufb"
    except TypeError:  # NIfTI's rgb24 has no numpy name
        return False


def _on_one_lattice(
    rows: Rows, turns: Mapping[int, Canonical], failures: list[Failure], on_mismatch: str
) -> list[int]:
    indices = list(turns)
    grouped = groups([turns[i] for i in indices])
    if len(grouped) < 2:
        return indices
    error = mismatch(list(turns.values()), grouped)
    if on_mismatch == "raise":
        raise error
    for group in grouped[1:]:
        for position in group:
            _report(rows, indices[position], error, failures)
    return [indices[position] for position in grouped[0]]


def _fitting(
    rows: Rows, turns: Mapping[int, Canonical], failures: list[Failure], on_mismatch: str, onto: Onto
) -> dict[int, Place]:
    fitting = {}
    for i, turn in turns.items():
        try:
            fitting[i] = place_on(onto.lattice, turn, whole=onto.whole)
        except GridMismatchError as error:
            named = GridMismatchError(f"image {rows.images_meta[i].get('id')}: {error}; {onto.hint}")
            if on_mismatch == "raise":
                raise named from error
            _report(rows, i, named, failures)
    return fitting


def _report(rows: Rows, i: int, error: Exception, failures: list[Failure]) -> None:
    meta, asset = rows.images_meta[i], rows.assets[i]
    failure = Failure.of(
        error,
        "open",
        "xarray",
        image_id=str(meta.get("id")),
        collection_id=str(meta.get("collection_id")),
        url=f"{rows.storage.url}/{asset.key}",
    )
    if failure not in failures:
        failures.append(failure)


def _space(lattice: Lattice) -> dict[str, Any]:
    """Return x, y and z in mm."""
    import numpy as np

    ends = {"x": "left to right", "y": "posterior to anterior", "z": "inferior to superior"}
    return {
        name: (
            (name,),
            lattice.origin[axis] + lattice.zooms[axis] * np.arange(*lattice.box[axis]),
            {"units": "mm", "long_name": f"{name}, {ends[name]}", "step": lattice.zooms[axis]},
        )
        for axis, name in enumerate("xyz")
    }


def _fields_of_view(lattice: Lattice, places: Sequence[Place]) -> dict[str, Any]:
    import numpy as np

    def outermost(axis: int, end: int) -> Any:
        index = np.array([place.box[axis][end] - end for place in places])
        return lattice.origin[axis] + lattice.zooms[axis] * index

    return {
        name: (("image",), outermost(*divmod(i, 2)), {"units": "mm", "long_name": "own field of view"})
        for i, name in enumerate(FIELD_OF_VIEW)
    }


def _image_index(rows: Rows, kept: Sequence[int]) -> Any:
    """Return the ids as an index, by which xarray aligns two Datasets: integers where all ids are decimal."""
    import numpy as np

    ids = [str(rows.images_meta[i].get("id")) for i in kept]
    are_numbers = all(id_.isdecimal() and id_.isascii() and len(id_) <= _INT64_DIGITS for id_ in ids)
    values = np.array(ids, dtype=np.int64) if are_numbers else np.array(ids, dtype=object)
    return (("image",), values, {"long_name": "id of the image in its source"})


def _image_coords(rows: Rows, kept: Sequence[int]) -> dict[str, Any]:
    metas = [rows.images_meta[i] for i in kept]
    collections = [rows.collections_meta[i] for i in kept]
    assets = [rows.assets[i] for i in kept]
    standard = {
        "map_type": (text(m.get("map_type") for m in metas), {}),
        "modality": (text(m.get("modality") for m in metas), {}),
        "target_template_image": (text(m.get("target_template_image") for m in metas), {}),
        "subject_species": (text(m.get("subject_species") for m in metas), {}),
        "data_origin": (text(m.get("data_origin") for m in metas), {}),
        "is_thresholded": flags([m.get("is_thresholded") for m in metas]),
        "doi": (text(c.get("DOI") for c in collections), {"long_name": "DOI of the collection's paper"}),
        "licence": (text(c.get("licence") or c.get("license") for c in collections), {}),
        "sha256": (text(a.sha256 for a in assets), {"long_name": "of the stored file"}),
        "original_axcodes": (text(_axcodes(a) for a in assets), {"long_name": "voxel axes as stored"}),
    }
    columns = {**typed_columns(metas, skip=standard), **standard}
    coords: dict[str, Any] = {}
    for name, made in columns.items():
        plain = _coordinate_name(name)
        while plain in coords:  # two fields may differ only in what a coordinate's name cannot hold
            plain += "_"
        coords[plain] = (("image",), *made)
    return coords


def _coordinate_name(name: str) -> str:
    """Return a field's name as a coordinate: uploaders name fields as they like."""
    # Neither a path nor a list of names can be made of others, nor does a file system take them at any length.
    plain = re.sub(r"[/\\\s\x00-\x1f\x7f\ud800-\udfff]", "_", name)[:_LONGEST_NAME]
    return f"field_{plain}" if plain in RESERVED or not plain else plain


def _axcodes(asset: Asset) -> str:
    import nibabel.orientations
    import numpy as np

    aff2axcodes: Any = nibabel.orientations.aff2axcodes
    return "".join(aff2axcodes(np.array(asset.affine)))


def _attrs(metas: Sequence[Metadata]) -> dict[str, Any]:
    """Return what all images share: their space and map type, where there is one."""
    attrs = {}
    for attribute, name in (("space", "target_template_image"), ("map_type", "map_type")):
        found = {meta.get(name) for meta in metas}
        if len(found) == 1 and None not in found:
            attrs[attribute] = found.pop()
    return attrs

"""The arrays of a Zarr, one by one: how maps, columns and tables are laid out, written and grown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from nvframe.results.zarr.shards import DATA, IMAGES

if TYPE_CHECKING:
    from zarr import Group

_COLUMN_ROWS = 1024
_TABLE_ROWS = 128
_NO_DATE = -(2**63)

DATES = {
    "units": "microseconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
    "_FillValue": _NO_DATE,
}
"""Attributes of stored dates, by CF's conventions."""


def create_maps(group: Group, layout: str, columns: xr.Dataset) -> None:
    """Create the array of the maps, in which all are missing."""
    from zarr.codecs import BloscCodec

    maps = layout == "maps"
    dims = ("image", "x", "y", "z") if maps else ("image", "voxel")
    shape = tuple(columns.sizes[dim] for dim in dims)
    rest = shape[1:]
    packed = BloscCodec(typesize=4, cname="zstd", clevel=3, shuffle="shuffle")
    group.create_array(
        DATA,
        shape=shape,
        dtype="float32",
        chunks=(1 if maps else IMAGES, *rest),
        shards=(IMAGES, *rest) if maps else None,
        compressors=packed if maps else None,  # rows of voxels are read to be copied, and hardly shrink
        fill_value=float("nan"),
        dimension_names=dims,
        attributes={"long_name": "statistic"},
    )


def write_whole(group: Group, name: str, variable: xr.Variable) -> None:
    """Write an array whole, in the place of one that is there."""
    values, attrs, fill = encoded(variable)
    rows = _COLUMN_ROWS if variable.ndim == 1 else _TABLE_ROWS
    # A table without columns has an axis of length 0, and zarr 3.2 refuses chunks of that length.
    rest = (max(1, length) for length in variable.shape[1:])
    chunks = (rows if variable.dims[0] == "image" else max(1, len(values)), *rest)
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=str if values.dtype.kind == "O" else values.dtype,
        chunks=chunks,
        fill_value=fill,
        dimension_names=[str(dim) for dim in variable.dims],
        attributes=attrs,
        overwrite=True,
    )
    array[:] = values


def put_copy(group: Group, name: str, array: Any) -> None:
    """Write an array once more, into another group."""
    copy = group.create_array(
        name,
        shape=array.shape,
        dtype=array.dtype if array.dtype.kind in "biuf" else str,
        chunks=array.chunks,
        fill_value=array.fill_value,
        dimension_names=dims_of(array),
        attributes=dict(array.attrs),
        overwrite=True,
    )
    copy[:] = array[:]


def grow(array: Any, tail: xr.Variable) -> None:
    """Add rows at the end."""
    start = row_count(array)
    resize(array, start + tail.shape[0])
    array[start:] = encoded(tail)[0]


def encoded(variable: xr.Variable) -> tuple[Any, dict[str, Any], Any]:
    """Return values, attributes and fill value as they are stored, dates by CF's conventions."""
    values, attrs = variable.values, dict(variable.attrs)
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").astype(np.int64), attrs | DATES, _NO_DATE
    if values.dtype.kind in "OUT":
        return values.astype(object), attrs, ""
    return values, attrs, np.nan if values.dtype.kind == "f" else 0


def all_missing(rows: int) -> xr.Variable:
    """Return a status that says of each row that it holds no image."""
    attrs = {"flag_values": [0, 1], "flag_meanings": "missing stored"}
    return xr.Variable(("image",), np.zeros(rows, dtype=np.int8), attrs)


def same_form(one: xr.Variable, other: xr.Variable) -> bool:
    """Tell whether an array that holds `one` can grow into `other`."""
    kinds = {"O" if each.dtype.kind in "OUT" else each.dtype.kind for each in (one, other)}
    same_rest = one.shape[1:] == other.shape[1:] and (one.dims[0] == "image" or one.shape == other.shape)
    return one.dims == other.dims and same_rest and len(kinds) == 1 and one.attrs == other.attrs


def row_count(array: Any) -> int:
    """Return how many rows an array has."""
    return int(array.shape[0])


def resize(array: Any, rows: int) -> None:
    """Give an array another number of rows."""
    array.resize((rows, *array.shape[1:]))


def dims_of(array: Any) -> tuple[str, ...]:
    """Return the names of an array's dimensions."""
    return tuple(array.metadata.dimension_names)


def is_table(array: Any) -> bool:
    """Tell whether an array has more than one dimension."""
    return len(array.shape) > 1

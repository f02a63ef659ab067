"""A Zarr of ours as a Dataset, from one document: what ``xr.open_zarr`` gives, without a look at any array but indexes.

xarray and zarr make an array of each of some fifty columns, and read the ends of every date, one after the other,
before anything is asked for. The consolidated metadata say all that a lazy Dataset needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

import nvframe.results.accessor  # noqa: F401 - whoever has a Dataset of ours has `ds.nvframe`
from nvframe.results.zarr.arrays import DATES, is_date
from nvframe.results.zarr.rows import whole_rows
from nvframe.results.zarr.store import MARK
from nvframe.storage.target import Target
from nvframe.urls import strip_credentials

_CODED = frozenset(
    {"units", "dtype", "_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned"}
)
"""Attributes by which, in CF's conventions, values are not what is stored."""


@dataclass(eq=False)
class _Stored(BackendArray):
    """An array of a Zarr that is opened only when its values are asked for; it pickles.

    Attributes
    ----------
    target : Target
        The Zarr.
    name : str
        Of the array.
    metadata : Mapping
        As consolidated.
    """

    target: Target
    name: str
    metadata: Mapping[str, Any]

    def __post_init__(self) -> None:
        kind = self.metadata["data_type"]
        self.shape = tuple(self.metadata["shape"])
        self.is_date = is_date(self.metadata["attributes"])
        self.dtype = np.dtype(
            "M8[ns]" if self.is_date else np.dtypes.StringDType() if kind == "string" else kind
        )

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._values
        )

    def _values(self, key: tuple[Any, ...]) -> Any:
        import zarr
        from zarr.storage import StorePath

        rows = whole_rows(self.target, self.name, self.metadata, key)
        if rows is not None:
            return rows
        place = StorePath(self.target.store(), self.name)
        values: Any = zarr.Array.from_dict(place, dict(self.metadata)).oindex[key]
        if self.is_date:
            return np.asarray(values).astype("M8[us]").astype(self.dtype)
        return np.asarray(values, dtype=self.dtype)  # of a single text zarr gives a str

    def variable(self) -> xr.Variable:
        """Return it decoded, as xarray decodes what it opens."""
        dims, attrs = self.metadata["dimension_names"], dict(self.metadata["attributes"])
        encoding = {"preferred_chunks": dict(zip(dims, self._chunks(), strict=True))}
        if self.is_date:
            for name in DATES:
                encoding[name] = attrs.pop(name)
        stored = xr.Variable(dims, indexing.LazilyIndexedArray(self), attrs, encoding)
        if self.is_date or not _CODED & attrs.keys():
            return stored
        decoded: xr.Variable = xr.conventions.decode_cf_variable(self.name, stored)
        return decoded

    def _chunks(self) -> tuple[int, ...]:
        """Return the shape of what is read at once, in a shard or as a file."""
        first = self.metadata["codecs"][0]
        grid = first if first["name"] == "sharding_indexed" else self.metadata["chunk_grid"]
        return tuple(grid["configuration"]["chunk_shape"])


def open_zarr(target: Target) -> xr.Dataset:
    """Return the lazy Dataset that ``xr.open_zarr(url, chunks=None)`` gives of a Zarr.

    Parameters
    ----------
    target : Target
        Where it lies, in format 3. One that is not ours, or was never finished, is left to xarray.

    Raises
    ------
    FileNotFoundError
        If nothing of that format lies there.
    StorageError
        If the place cannot be reached, or its document is damaged.
    """
    document = target.document()
    if document is None:
        raise FileNotFoundError(
            f"no Zarr of format 3 lies at {strip_credentials(target.url)}; an older one opens with xarray.open_zarr"
        )
    attributes = document.get("attributes", {})
    arrays = (document.get("consolidated_metadata") or {}).get("metadata", {})
    # A type that is described rather than named is none that we write ourselves.
    if (
        MARK in attributes
        and arrays
        and all(isinstance(each.get("data_type"), str) for each in arrays.values())
    ):
        dataset = _dataset(target, arrays, dict(attributes))
    else:
        dataset = xr.open_zarr(target.store(), chunks=None, consolidated=bool(arrays))
    dataset.encoding["source"] = strip_credentials(target.url)
    return dataset


def _dataset(target: Target, arrays: Mapping[str, Any], attributes: dict[str, Any]) -> xr.Dataset:
    inner = set(attributes.pop("coordinates", "").split())
    variables = {name: _Stored(target, name, each).variable() for name, each in arrays.items()}
    outer = {name: variables.pop(name) for name in arrays if name not in inner}
    return xr.Dataset(outer, variables, attributes)

"""Rows added to rows: each column of the type that fits all of them, new words at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from nvframe.results.columns import Column, column, flags, plain

_OF_THE_TYPE = frozenset({"flag_values", "flag_meanings", "time_zone", "encoding"})
"""Attributes that `column` sets; all others belong to the field and stay."""


def joined(known: xr.Dataset, added: xr.Dataset) -> dict[str, xr.Variable]:
    """Return all variables of two Datasets, the rows of `added` after those of `known`.

    Parameters
    ----------
    known, added : xarray.Dataset
        Columns on ``image``, tables on ``image`` and one more dimension, and that dimension's labels.

    Returns
    -------
    dict of str to xarray.Variable
        What the two would have been, had they been made at once. A table has all labels, those of `known`
        first; 0 for a label that a row with values does not have, NaN in rows without any.
    """
    variables: dict[str, xr.Variable] = {}
    labels = _labels(known, added)
    for name in dict.fromkeys((*known.variables, *added.variables)):
        holder = known if name in known.variables else added
        dims = holder.variables[name].dims
        if dims == ("image",):
            variables[str(name)] = _column(name, holder.variables[name], known, added)
        elif dims[0] == "image":
            variables[str(name)] = _table(name, labels, known, added)
        elif len(dims) == 1 and dims[0] in labels:
            variables[str(name)] = _beside(name, labels[dims[0]], known, added)
        else:
            variables[str(name)] = holder.variables[name]
    return variables


def _labels(known: xr.Dataset, added: xr.Dataset) -> dict[Any, list[Any]]:
    """Return the labels along each dimension of tables, those of `known` first."""
    parts = (known, added)
    tables = [v for part in parts for v in part.variables.values() if v.dims[:1] == ("image",)]
    return {
        dim: list(dict.fromkeys(label for part in parts for label in _along(part, dim)))
        for dim in {dim for table in tables for dim in table.dims[1:]}
    }


def _along(part: xr.Dataset, dim: Any) -> list[Any]:
    return part[dim].values.tolist() if dim in part.dims else []


def _column(name: Any, holder: xr.Variable, known: xr.Dataset, added: xr.Dataset) -> xr.Variable:
    values = [value for part in (known, added) for value in _plain(part, name)]
    array, attrs = column(values) or _unknown(holder, values)
    own = {key: value for key, value in holder.attrs.items() if key not in _OF_THE_TYPE}
    return xr.Variable(("image",), array, own | attrs)


def _unknown(holder: xr.Variable, values: list[Any]) -> Column:
    """Return a column without any value in the type that it had."""
    if "flag_meanings" in holder.attrs:
        return flags(values)
    missing = np.datetime64("NaT", "ns") if holder.dtype.kind == "M" else np.nan
    return np.full(len(values), missing), {}


def _plain(dataset: xr.Dataset, name: Any) -> list[Any]:
    if name not in dataset.variables:
        return [None] * dataset.sizes["image"]
    return plain(dataset.variables[name].values, dataset.variables[name].attrs)


def _table(name: Any, labels: dict[Any, list[Any]], known: xr.Dataset, added: xr.Dataset) -> xr.Variable:
    parts = [part[name] for part in (known, added) if name in part.variables]
    dims, dtype = parts[0].dims, np.result_type(*(part.dtype for part in parts))
    gap, none = ("", "") if dtype.kind in "OUT" else (np.nan if dtype.kind == "f" else 0, 0)
    blocks = []
    for part in (known, added):
        shape = (part.sizes["image"], *(len(labels[dim]) for dim in dims[1:]))
        block = np.full(shape, gap, dtype=object if dtype.kind in "UT" else dtype)
        if name in part.variables:
            values = part[name].values
            some = (
                ~np.isnan(values.reshape(len(values), -1)).all(axis=1) if dtype.kind == "f" else slice(None)
            )
            block[some] = none
            rows = np.arange(len(values))[some]
            places = [_places(labels[dim], _along(part, dim)) for dim in dims[1:]]
            block[np.ix_(rows, *places)] = values[some]
        blocks.append(block)
    return xr.Variable(dims, np.concatenate(blocks), parts[0].attrs)


def _places(labels: list[Any], own: list[Any]) -> Any:
    place = {label: i for i, label in enumerate(labels)}
    return np.array([place[label] for label in own], dtype=np.intp)


def _beside(name: Any, labels: list[Any], known: xr.Dataset, added: xr.Dataset) -> xr.Variable:
    """Return what is said of labels, such as the labels themselves; of known ones, what was said first."""
    said: dict[Any, Any] = {}
    parts = [part.variables[name] for part in (known, added) if name in part.variables]
    for part in (added, known):
        if name in part.variables:
            variable = part.variables[name]
            said |= zip(_along(part, variable.dims[0]), variable.values.tolist(), strict=True)
    dtype = np.result_type(*(part.dtype for part in parts))
    none = "" if dtype.kind in "OUT" else np.nan if dtype.kind == "f" else 0
    values = np.array(
        [said.get(label, none) for label in labels], dtype=object if dtype.kind in "OUT" else dtype
    )
    return xr.Variable(parts[0].dims, values, parts[0].attrs)

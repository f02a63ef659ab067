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
    for name in dict.fromkeys((*known.variables, *added.variables)):
        holder = known if name in known.variables else added
        dims = holder.variables[name].dims
        if dims == ("image",):
            variables[str(name)] = _column(name, holder.variables[name], known, added)
        elif dims[0] == "image":
            variables |= _table(name, dims[1], known, added)
        else:
            variables.setdefault(str(name), holder.variables[name])
    return variables


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


def _table(name: Any, dim: Any, known: xr.Dataset, added: xr.Dataset) -> dict[str, xr.Variable]:
    parts = [part for part in (known, added) if name in part.variables]
    labels = list(dict.fromkeys(label for part in parts for label in part[dim].values.tolist()))
    place = {label: i for i, label in enumerate(labels)}
    blocks = []
    for part in (known, added):
        block = np.full((part.sizes["image"], len(labels)), np.nan)
        if name in part.variables:
            values = part[name].values
            some = ~np.isnan(values).all(axis=1)
            block[some] = 0.0
            columns = [place[label] for label in part[dim].values.tolist()]
            block[np.ix_(some, columns)] = np.nan_to_num(values[some])
        blocks.append(block)
    return {
        str(name): xr.Variable(("image", dim), np.concatenate(blocks), parts[0][name].attrs),
        str(dim): xr.Variable((dim,), np.array(labels, dtype=object), parts[0][dim].attrs),
    }

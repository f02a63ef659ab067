"""Rows of voxels from a local Zarr straight into their place: they are stored as they are, so one copy will do.

zarr reads a chunk, whole, into memory of its own and copies it from there: twice the time, most of it for fresh pages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nvframe.errors import IntegrityError
from nvframe.results.lazy import READERS
from nvframe.storage.target import Target
from nvframe.urls import is_remote

_AS_THEY_ARE = {
    "data_type": "float32",
    "codecs": [{"name": "bytes", "configuration": {"endian": sys.byteorder}}],
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": "NaN",
}


def whole_rows(target: Target, name: str, metadata: Mapping[str, Any], key: tuple[Any, ...]) -> Any:
    """Return rows of an array; None where other parts are asked for, or the rows are stored in another way.

    Parameters
    ----------
    target : Target
        The Zarr.
    name : str
        Of the array.
    metadata : Mapping
        Of the array, as consolidated.
    key : tuple of int, slice or ndarray of int
        One per axis.

    Returns
    -------
    ndarray of float32 or None
        NaN in rows of which no chunk is stored.

    Raises
    ------
    IntegrityError
        If a chunk is cut off.
    """
    shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    if (
        is_remote(target.url)
        or len(shape) != 2
        or shape[1] != chunk[1]
        or not _AS_THEY_ARE.items() <= metadata.items()
    ):
        return None
    if not isinstance(key[1], slice) or key[1].indices(shape[1]) != (0, shape[1], 1):
        return None
    chosen = np.arange(shape[0])[key[0]]
    rows = np.atleast_1d(chosen)
    values = np.empty((len(rows), shape[1]), dtype=np.float32)
    numbers = rows // chunk[0]

    def fill(number: int) -> None:
        where = np.flatnonzero(numbers == number)
        _read(Path(target.url, name, "c", str(number), "0"), rows[where] % chunk[0], values, where)

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(fill, np.unique(numbers).tolist()))
    return values.reshape(*chosen.shape, shape[1])


def _read(path: Path, rows: Any, values: Any, where: Any) -> None:
    """Read rows of one chunk into their places in `values`."""
    size = values[0].nbytes
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        values[where] = np.nan
        return
    with file:
        for row, place in zip(rows.tolist(), where.tolist(), strict=True):
            file.seek(row * size)
            if file.readinto(values[place]) != size:
                raise IntegrityError(f"{path} is cut off: write the Zarr anew with overwrite=True")

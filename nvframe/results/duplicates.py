"""Which images are the same map: by their voxels, since each upload compresses them anew."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from nvframe.imaging.grids import canonical
from nvframe.results.lazy import READERS, stored_voxels

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.types import Asset


def duplicates(storage: Storage, assets: Sequence[Asset]) -> list[list[int]]:
    """Return the rows that hold equal voxels, in groups of two and more.

    Parameters
    ----------
    storage : Storage
        Where the files are; each different one is read once.
    assets : sequence of Asset
        One per row.

    Raises
    ------
    IntegrityError
        If a file is damaged or was replaced; names it.
    """
    files = {asset.sha256: asset for asset in assets}
    with ThreadPoolExecutor(READERS) as pool:
        digests = dict(
            zip(files, pool.map(lambda asset: _digest(storage, asset), files.values()), strict=True)
        )
    groups = defaultdict(list)
    for row, asset in enumerate(assets):
        groups[digests[asset.sha256]].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def _digest(storage: Storage, asset: Asset) -> str:
    """Return the sha256 of the voxels as float32, turned to RAS+, and of their shape."""
    data, affine = stored_voxels(storage, asset)
    if len(data.shape) >= 3 and data.dtype.kind in "iufb":
        with np.errstate(over="ignore"):
            data = canonical(affine, data.shape).apply(data).astype(np.float32)
        data = data.reshape(data.shape[:3]) if data.size == np.prod(data.shape[:3]) else data
        data = np.where(np.isnan(data), np.float32(np.nan), data + np.float32(0))  # one NaN, and no −0
    return hashlib.sha256(repr(data.shape).encode() + np.ascontiguousarray(data).tobytes()).hexdigest()

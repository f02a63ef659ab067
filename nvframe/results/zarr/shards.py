"""What a worker does for a Zarr: one task writes one whole shard, from files that it alone reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nvframe.storage.target import Target
from nvframe.types import Asset, Failure

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.results.lattice import Lattice, Place

IMAGES = 16
"""Images of one shard, which one task owns; of the (image, voxel) layout, of one chunk."""

DATA = "stat_map"


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a shard: its row in the Zarr, its file, and where it lies."""

    number: int
    asset: Asset
    place: Place
    image_id: str
    collection_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Everything that one task needs; it pickles.

    Attributes
    ----------
    start, stop : int
        Rows of the Zarr: all of one shard, up to the last row that there is.
    rows : sequence of Row
        Those to read from their files.
    keeps : bool
        Whether other rows of the shard are stored already.
    storage : Storage
        Where the files are.
    lattice : Lattice
        Of the Zarr.
    positions : ndarray or None
        As `Voxels.positions` gives them; None for whole maps.
    fill : float
        For what lies outside an image's field of view.
    """

    start: int
    stop: int
    rows: Sequence[Row]
    keeps: bool
    storage: Storage
    lattice: Lattice
    positions: Any
    fill: float


def write_shard(target: Target, shard: Shard) -> list[Failure]:
    """Write a shard as a whole and return what could not be read; the same again if it is called again.

    Parameters
    ----------
    target : Target
        The Zarr, whose arrays exist.
    shard : Shard
        What to write.
    """
    import numpy as np
    import zarr

    try:
        array: Any = zarr.open_array(target.store(), path=DATA, mode="r+", zarr_format=3)
    except Exception as error:
        raise target.problem("open", error) from error
    rows = slice(shard.start, shard.stop)
    size = (shard.stop - shard.start, *array.shape[1:])
    block = np.asarray(array[rows]) if shard.keeps else np.full(size, np.nan, dtype=array.dtype)
    failures = []
    for row in shard.rows:
        try:
            block[row.number - shard.start] = _values(shard, row, array.dtype)
        except Exception as error:  # a damaged file, or a store that is down, costs one image
            failures.append(_failure(shard, row, error))
    try:
        array[rows] = block
    except Exception as error:
        raise target.problem(f"write rows {shard.start} to {shard.stop} of", error) from error
    return failures


def _values(shard: Shard, row: Row, dtype: Any) -> Any:
    import numpy as np

    from nvframe.results.lazy import on_box
    from nvframe.results.masking import taken

    with np.errstate(over="ignore", invalid="ignore"):  # what no float32 can hold becomes infinite
        values = on_box(
            shard.storage, row.asset, row.place, shard.lattice.box, dtype, to_the_bit=True
        ).astype(dtype, copy=False)
    return values if shard.positions is None else taken(values, shard.positions, shard.fill)


def _failure(shard: Shard, row: Row, error: Exception) -> Failure:
    url = f"{shard.storage.url}/{row.asset.key}"
    lost = Failure.of(error, "open", "zarr", image_id=row.image_id, collection_id=row.collection_id, url=url)
    return replace(lost, retryable=True)

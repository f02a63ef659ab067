"""An array of stored images that reads a file only when its values are asked for."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from nvframe.errors import IntegrityError
from nvframe.imaging import nifti

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.results.lattice import Box, Lattice, Place
    from nvframe.types import Asset

READERS = 8
"""Files read at once: decoding releases the interpreter's lock, and remote storage answers in parallel."""


@dataclass(eq=False)
class ImageStack(BackendArray):
    """Stored images on one lattice, as an array of shape (image, x, y, z); it pickles.

    Attributes
    ----------
    storage : Storage
        Where the files are.
    assets : tuple of Asset
        One per image.
    places : tuple of Place
        Where each lies.
    lattice : Lattice
        What the array holds.
    dtype : numpy.dtype
        Of the values.
    """

    storage: Storage
    assets: tuple[Asset, ...]
    places: tuple[Place, ...]
    lattice: Lattice
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(image, x, y, z)."""
        return (len(self.assets), *self.lattice.shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._values
        )

    def _values(self, key: tuple[Any, ...]) -> Any:
        """Return the values at an outer index of ints, slices and integer arrays."""
        rows, *voxels = key
        chosen = np.arange(len(self.assets))[rows]
        # An integer drops its axis at the end; until then every axis stays.
        kept = tuple(slice(None) if not isinstance(k, int | np.integer) else 0 for k in key)
        within = tuple(slice(k, k + 1) if isinstance(k, int | np.integer) else k for k in voxels)
        wanted = np.atleast_1d(chosen)
        shape = tuple(len(np.arange(n)[k]) for n, k in zip(self.lattice.shape, within, strict=True))
        if len(wanted) == 1:  # as it lies in the file, which costs no turning round
            with np.errstate(over="ignore", invalid="ignore"):
                one = np.array(_outer(self._image(int(wanted[0])), within), dtype=self.dtype, order="K")
            return one[None][kept]
        values = np.empty((len(wanted), *shape), dtype=self.dtype)

        def fill(position: int) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # what no float32 can hold becomes infinite
                values[position] = _outer(self._image(int(wanted[position])), within)

        with ThreadPoolExecutor(min(READERS, max(len(wanted), 1))) as pool:
            list(pool.map(fill, range(len(wanted))))
        return values[kept]

    def _image(self, row: int) -> Any:
        return on_box(self.storage, self.assets[row], self.places[row], self.lattice.box, self.dtype)


def on_box(
    storage: Storage, asset: Asset, place: Place, box: Box, dtype: np.dtype[Any], *, to_the_bit: bool = False
) -> Any:
    """Read one image and return its voxels on a box of the lattice: NaN outside its field of view.

    Scaling is done in float64; for the errors see `stored_voxels`.
    """
    data, _ = stored_voxels(storage, asset, to_the_bit=to_the_bit)
    data = place.turn.apply(data.reshape(data.shape[:3]))
    if place.box == box:
        return data
    whole = np.full([stop - start for start, stop in box], np.nan, dtype=dtype)
    target, source = _overlap(box, place.box)
    with np.errstate(over="ignore", invalid="ignore"):
        whole[target] = data[source]
    return whole


def stored_voxels(storage: Storage, asset: Asset, *, to_the_bit: bool = False) -> tuple[Any, Any]:
    """Read one image and return its voxels as they are stored, and its affine.

    IntegrityError names a file that is damaged or no longer what was recorded; a change that left its size shows
    only where it is compared `to_the_bit`.
    """
    stored = storage.read(asset.key)
    try:
        img = nifti.read(stored)
        data = np.asanyarray(img.dataobj)
    except IntegrityError as error:
        raise IntegrityError(f"{storage.url}/{asset.key}: {error}; fetch it again") from error
    if (data.shape, len(stored)) != (asset.shape, asset.size) or (
        to_the_bit and hashlib.sha256(stored).hexdigest() != asset.sha256
    ):
        raise IntegrityError(f"{storage.url}/{asset.key} changed since it was stored: fetch it again")
    return data, img.affine


def _overlap(outer: Box, inner: Box) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where two boxes meet, as slices of each."""
    target, source = [], []
    for (o0, o1), (i0, i1) in zip(outer, inner, strict=True):
        start, stop = max(o0, i0), max(max(o0, i0), min(o1, i1))
        target.append(slice(start - o0, stop - o0))
        source.append(slice(start - i0, stop - i0))
    return tuple(target), tuple(source)


def _outer(data: Any, key: tuple[Any, ...]) -> Any:
    """Index each axis on its own, as xarray's outer indexing means it."""
    for axis, part in enumerate(key):
        data = data[(slice(None),) * axis + (part,)]
    return data

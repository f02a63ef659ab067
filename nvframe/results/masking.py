"""From maps to rows of voxels: which voxels a mask means, and how they are taken out of an array."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from nvframe.errors import GridMismatchError
from nvframe.imaging.grids import same_lattice
from nvframe.imaging.images import as_image, inside
from nvframe.results.lattice import FIELD_OF_VIEW, Lattice, lattice_of, resample_hint, turned
from nvframe.results.lazy import READERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nvframe.imaging.grids import Affine

AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True, eq=False)
class Voxels:
    """The voxels of a mask on a lattice, in C order of the mask as it is stored, which is nilearn's order.

    Attributes
    ----------
    lattice : Lattice
        Its box is what the array holds that the voxels are taken from.
    index : ndarray of int64, (voxels, 3)
        Counted on the lattice; some may lie outside its box.
    """

    lattice: Lattice
    index: Any

    def positions(self) -> Any:
        """Return where each voxel lies in the raveled array, in C and in Fortran order; −1 outside it."""
        start, shape = np.array([low for low, _ in self.lattice.box]), self.lattice.shape
        within = self.index - start
        axes = tuple(within.T)
        found = [np.ravel_multi_index(axes, shape, mode="clip", order=order) for order in ("C", "F")]
        return np.where(((within >= 0) & (within < shape)).all(axis=1), found, -1)

    def mm(self) -> Any:
        """Return the voxels' centres, (voxels, 3)."""
        return np.array(self.lattice.origin) + np.array(self.lattice.zooms) * self.index

    def coverage(self, boxes: Any) -> Any:
        """Return the fraction of the voxels that lie inside each field of view: rows of `FIELD_OF_VIEW`."""
        half, where = np.array(self.lattice.zooms) / 2, self.mm()
        different, row = np.unique(boxes, axis=0, return_inverse=True)
        shares = [
            ((where > box[::2] - half) & (where < box[1::2] + half)).all(axis=1).mean() for box in different
        ]
        return np.array(shares)[row.reshape(-1)]


def mask_voxels(mask_img: Any, lattice: Lattice | None = None) -> Voxels:
    """Return the voxels of a mask.

    Parameters
    ----------
    mask_img : path, image or xarray.DataArray
        Inside is what is not 0.
    lattice : Lattice, optional
        To count the voxels on; by default the mask's own, cut to the box around its voxels.

    Raises
    ------
    GridMismatchError
        If the mask lies on another lattice.
    ValueError
        If it is not a mask, or empty.
    """
    chosen, affine = _mask(mask_img)
    turn = turned(affine, chosen.shape)
    stored = np.argwhere(chosen)
    index = np.stack([stored[:, axis] for axis in turn.axes], axis=1)
    index = np.where(turn.flips, np.array(turn.shape) - 1 - index, index)
    if lattice is None:
        x, y, z = zip(index.min(axis=0).tolist(), (index.max(axis=0) + 1).tolist(), strict=True)
        return Voxels(lattice_of(turn, (x, y, z)), index)
    offset = same_lattice(lattice.affine, turn.affine, turn.shape)
    if offset is None:
        raise GridMismatchError(
            "the mask lies on another lattice than the maps; bring it onto theirs: "
            "nilearn.image.resample_to_img(mask_img, nvframe.to_nifti(ds.stat_map[0]), 'nearest'), or "
            + resample_hint("<the mask>")
        )
    return Voxels(lattice, index + np.array(offset))


def _mask(mask_img: Any) -> tuple[Any, Affine]:
    if isinstance(mask_img, xr.DataArray):
        array = mask_img.transpose(*AXES)
        return inside(array.values), lattice_in(array).affine
    img = as_image(mask_img)
    return inside(img.dataobj), img.affine.tolist()


def lattice_in(array: xr.DataArray) -> Lattice:
    """Return the lattice on which an array with x, y and z in mm lies; its first voxel is the origin."""
    starts, steps = [], []
    for name in AXES:
        values = array[name].values.astype(float)
        starts.append(float(values[0]))
        steps.append(_step(array[name].attrs, values, name))
    x, y, z = ((0, array.sizes[name]) for name in AXES)
    return Lattice((starts[0], starts[1], starts[2]), (steps[0], steps[1], steps[2]), (x, y, z))


def _step(attrs: dict[Any, Any], values: Any, name: str) -> float:
    if len(values) < 2:  # one voxel has no step of its own: the Dataset says what it was
        return float(attrs.get("step", 1.0))
    steps = np.diff(values)
    if not np.allclose(steps, steps[0], rtol=1e-4) or not steps[0]:
        raise ValueError(f"coordinate {name} is not evenly spaced")
    return float((values[-1] - values[0]) / (len(values) - 1))


def masked(array: xr.DataArray, mask_img: Any, fill: float = 0.0) -> xr.DataArray:
    """Return ``(image, voxel)``; see `nvframe.results.accessor.Accessor.masked`."""
    missing = [name for name in AXES if name not in array.dims]
    if missing or not set(array.dims) <= {"image", *AXES}:
        raise ValueError(f"expected maps on (image, x, y, z), got dimensions {array.dims}")
    array = _ascending(array.transpose(..., *AXES))
    voxels = mask_voxels(mask_img, lattice_in(array))
    take = partial(taken, positions=voxels.positions(), fill=fill)
    rows = _from_dask(array, take) if array.chunks is not None else _one_by_one(array, take)
    kept = {name: c for name, c in array.coords.items() if not set(c.dims) & set(AXES)}
    where = {
        name: ("voxel", column, dict(array[name].attrs))
        for name, column in zip(AXES, voxels.mm().T, strict=True)
    }
    share = voxels.coverage(_fields_of_view(array)).reshape([array.sizes[d] for d in array.dims[:-3]])
    coverage = (array.dims[:-3], share, {"long_name": "share of the mask inside the field of view"})
    dims = (*array.dims[:-3], "voxel")
    return xr.DataArray(
        rows, {**kept, **where, "coverage": coverage}, dims, array.name, attrs=dict(array.attrs)
    )


def _ascending(array: xr.DataArray) -> xr.DataArray:
    turned_round = [name for name in AXES if lattice_in(array).zooms[AXES.index(name)] < 0]
    return array.isel({name: slice(None, None, -1) for name in turned_round})


def taken(values: Any, positions: Any, fill: float) -> Any:
    """Return the voxels at `positions` of the last three axes; `fill` where they are not finite."""
    if values.ndim == 3 and values.flags.f_contiguous:  # as files hold them
        flat, places = values.ravel("F"), positions[1]
    else:
        flat, places = values.reshape(*values.shape[:-3], -1), positions[0]
    found = flat.take(places, axis=-1, mode="clip")  # −1 is clipped, then filled
    found[~(np.isfinite(found) & (places >= 0))] = fill
    return found


def _one_by_one(array: xr.DataArray, take: Any) -> Any:
    """Hold one map per reader, never all of them: read in parallel where they are not in memory yet."""
    variable = array.variable
    if variable.ndim == 3:
        return take(variable.values)
    rows = np.empty((variable.sizes["image"], take.keywords["positions"].shape[1]), dtype=variable.dtype)

    def fill(row: int) -> None:
        rows[row] = take(variable.isel(image=row).values)

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(fill, range(len(rows))))
    return rows


def _from_dask(array: xr.DataArray, take: Any) -> Any:
    """Stay lazy, map by map."""
    sizes = {"output_sizes": {"voxel": take.keywords["positions"].shape[1]}, "allow_rechunk": True}
    taken_lazily = xr.apply_ufunc(
        take,
        array.variable,
        input_core_dims=[AXES],
        output_core_dims=[["voxel"]],
        dask="parallelized",
        dask_gufunc_kwargs=sizes,
        output_dtypes=[array.dtype],
    )
    return taken_lazily.data


def _fields_of_view(array: xr.DataArray) -> Any:
    """Return each map's box, (maps, 6) in mm; that of the array where it does not say more."""
    n = array.sizes.get("image", 1)
    ends: Sequence[Any] = [
        array[name].values if name in array.coords else array[name[0]].values[0 if name[2:] == "min" else -1]
        for name in FIELD_OF_VIEW
    ]
    return np.stack([np.broadcast_to(end, n) for end in ends], axis=1)

"""``ds.nvframe``: from a Dataset back to images, to rows of voxels, and to a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from nvframe.results.lattice import FIELD_OF_VIEW
from nvframe.results.masking import AXES, lattice_in, masked


def to_nifti(array: xr.DataArray | xr.Dataset, *, original_extent: bool = False) -> Any:
    """Return one map of a Dataset as a NIfTI image.

    Parameters
    ----------
    array : xarray.DataArray or xarray.Dataset
        On ``x``, ``y`` and ``z`` in mm, evenly spaced, such as ``ds.stat_map.isel(image=0)``; of a Dataset
        its ``stat_map``.
    original_extent : bool, default=False
        Whether to cut the map back to the box of voxels that the image itself had, where the array has more.

    Returns
    -------
    nibabel.Nifti1Image
        float32, RAS+; equals ``nibabel.as_closest_canonical`` of the stored map where the array covers the
        same box, or with `original_extent` at least that.

    Raises
    ------
    ValueError
        If there are other dimensions, the coordinates are not evenly spaced, or the box of the image is not known.

    Examples
    --------
    >>> import nvframe, xarray as xr
    >>> map_ = xr.DataArray([[[1.0, 2.0]]], {"x": [0.0], "y": [0.0], "z": [0.0, 2.0]}, ("x", "y", "z"))
    >>> nvframe.to_nifti(map_).shape
    (1, 1, 2)
    """
    import nibabel as nib

    array = one_map(array)
    if original_extent:
        array = _own_extent(array)
    make: Any = nib.Nifti1Image
    data = np.ascontiguousarray(array.transpose(*AXES).values, dtype=np.float32)
    return make(data, np.array(lattice_in(array).affine))


def one_map(array: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the single map on (x, y, z) that an object holds."""
    found = stat_map(array)
    if found.sizes.get("image") == 1:
        found = found.isel(image=0)
    if set(found.dims) != set(AXES):
        raise ValueError(
            f"expected one map on (x, y, z), got dimensions {found.dims}; select one with .isel(image=0)"
        )
    return found


def stat_map(array: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the maps of a Dataset, or the array itself."""
    if isinstance(array, xr.DataArray):
        return array
    if "stat_map" not in array:
        raise ValueError(f"the Dataset has no 'stat_map', but {', '.join(map(str, array)) or 'no variable'}")
    return array["stat_map"]


def _own_extent(array: xr.DataArray) -> xr.DataArray:
    if not set(FIELD_OF_VIEW) <= set(array.coords):
        raise ValueError("original_extent needs the coordinates x_min to z_max, which this map has lost")
    half = np.abs(lattice_in(array).zooms) / 2
    return array.sel(
        {
            axis: slice(float(array[f"{axis}_min"]) - margin, float(array[f"{axis}_max"]) + margin)
            for axis, margin in zip(AXES, half, strict=True)
        }
    )


class Accessor:
    """What nvframe adds to xarray's objects, as ``ds.nvframe`` and ``ds.stat_map.nvframe``.

    It is there as soon as nvframe has made a Dataset; for one that was opened without nvframe, such as a Zarr,
    ``import nvframe.results.accessor`` adds it.

    Parameters
    ----------
    array : xarray.Dataset or xarray.DataArray
        Maps on ``(image, x, y, z)``; of a Dataset its ``stat_map``.

    Examples
    --------
    >>> import nvframe.results.accessor, numpy as np, xarray as xr
    >>> axes = {"x": [0.0, 2.0], "y": [0.0, 2.0], "z": [0.0]}
    >>> maps = xr.DataArray(np.arange(8.0).reshape(2, 2, 2, 1), axes, ("image", "x", "y", "z"))
    >>> maps.nvframe.masked(maps[0] > 1).values.tolist()
    [[2.0, 3.0], [6.0, 7.0]]
    """

    def __init__(self, array: xr.DataArray | xr.Dataset) -> None:
        self._array = array

    def masked(self, mask_img: Any, fill: float = 0.0) -> xr.DataArray:
        """Return the voxels inside a mask, a row per image, as scikit-learn wants them.

        Parameters
        ----------
        mask_img : path, image or xarray.DataArray
            Inside is what is not 0; on the lattice of the maps, but it may cover another box of it.
        fill : float, default=0.0
            For voxels outside an image's field of view, and for NaN and infinities inside it, as in nilearn.

        Returns
        -------
        xarray.DataArray
            ``(image, voxel)``, or ``(voxel,)`` of a single map: the numbers and the order of
            ``nilearn.masking.apply_mask``. Its coordinates are those of the images, ``coverage`` on ``image``
            (the fraction of the mask inside the image's field of view) and ``x``, ``y`` and ``z`` in mm on
            ``voxel``. Files are read several at a time, and never more than a few are in memory; of maps
            in dask's chunks nothing is read yet.

        Raises
        ------
        GridMismatchError
            If the mask lies on another lattice; says how to resample.
        ValueError
            If the mask is empty, is not a volume of two values, or there are no maps on ``(image, x, y, z)``.
        """
        return masked(stat_map(self._array), mask_img, fill)

    def to_nifti(self, *, original_extent: bool = False) -> Any:
        """Return the one map that this holds as a NIfTI image; see `nvframe.to_nifti`."""
        return to_nifti(self._array, original_extent=original_extent)

    def plot(self, at: tuple[float, float, float] | None = None, *, axes: Any = None) -> Any:
        """Draw the one map that this holds as three slices, the subject's left on the left.

        Parameters
        ----------
        at : tuple of float, optional
            x, y and z in mm, where the slices meet; by default the strongest voxel.
        axes : sequence of matplotlib.axes.Axes, optional
            Three to draw into; by default those of a new figure.

        Returns
        -------
        matplotlib.figure.Figure
            With the three slices.

        Raises
        ------
        ValueError
            If there is more than one map.
        """
        from nvframe.results.slices import draw

        return draw(one_map(self._array), at, axes)


for _register in (xr.register_dataset_accessor, xr.register_dataarray_accessor):
    _register("nvframe")(Accessor)  # type: ignore[no-untyped-call]

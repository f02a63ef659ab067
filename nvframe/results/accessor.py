"""From a Dataset back to images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


def to_nifti(array: xr.DataArray) -> Any:
    """Return one map of a Dataset as a NIfTI image.

    Parameters
    ----------
    array : xarray.DataArray
        On ``x``, ``y`` and ``z`` in mm, evenly spaced, such as ``ds.stat_map.isel(image=0)``.

    Returns
    -------
    nibabel.Nifti1Image
        float32, RAS+; equals ``nibabel.as_closest_canonical`` of the stored map where the Dataset covers
        the same box.

    Raises
    ------
    ValueError
        If there are other dimensions, or the coordinates are not evenly spaced.

    Examples
    --------
    >>> import nvframe, xarray as xr
    >>> map_ = xr.DataArray([[[1.0, 2.0]]], {"x": [0.0], "y": [0.0], "z": [0.0, 2.0]}, ("x", "y", "z"))
    >>> nvframe.to_nifti(map_).shape
    (1, 1, 2)
    """
    import nibabel as nib
    import numpy as np

    if set(array.dims) != {"x", "y", "z"}:
        raise ValueError(
            f"expected one map on (x, y, z), got dimensions {array.dims}; select one with .isel(image=0)"
        )
    affine = np.diag([*(_step(array[name]) for name in ("x", "y", "z")), 1.0])
    affine[:3, 3] = [float(array[name].values[0]) for name in ("x", "y", "z")]
    data = np.ascontiguousarray(array.transpose("x", "y", "z").values, dtype=np.float32)
    make: Any = nib.Nifti1Image
    return make(data, affine)


def _step(coordinate: xr.DataArray) -> float:
    import numpy as np

    values = coordinate.values
    if len(values) < 2:  # one voxel has no step of its own: the Dataset says what it was
        return float(coordinate.attrs.get("step", 1.0))
    steps = np.diff(values)
    if not np.allclose(steps, steps[0], rtol=1e-4) or not steps[0]:
        raise ValueError(f"coordinate {coordinate.name} is not evenly spaced")
    return float((values[-1] - values[0]) / (len(values) - 1))

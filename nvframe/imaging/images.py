"""Small things one does with a nibabel image in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from nvframe.imaging import nifti


def as_image(source: Any) -> Any:
    """Return `source`, read if it is a path; ValueError if it is neither a path nor an image."""
    if isinstance(source, str | Path):
        return nifti.read(Path(source).read_bytes())
    if not hasattr(source, "affine") or not hasattr(source, "dataobj"):
        raise ValueError(f"{source!r:.160} is neither a NIfTI file nor an image")
    return source


def inside(mask: Any) -> Any:
    """Return which voxels of a mask are not 0, nor NaN or infinite.

    Parameters
    ----------
    mask : array_like
        One volume.

    Returns
    -------
    ndarray of bool
        In the order of the voxels of `mask`.

    Raises
    ------
    ValueError
        If it is not a volume, holds more than two values, or 0 only.

    Examples
    --------
    >>> int(inside([[[0, 2], [2, 0]]]).sum())
    2
    """
    import numpy as np

    data = np.asanyarray(mask)
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.dtype.kind == "f":
        data = np.where(np.isfinite(data), data, 0)  # as nilearn reads a mask
    values = np.unique(data)
    if data.ndim != 3 or len(values) > 2 or (len(values) == 2 and 0 not in values):
        raise ValueError("mask_img must hold one volume of two values, inside and 0")
    chosen = data != 0
    if not chosen.any():
        raise ValueError("mask_img is 0 everywhere: no voxel lies inside")
    return chosen


def like(img: Any, data: Any, affine: Any) -> Any:
    """Put new voxels into an image of the same class, its header kept but for what no longer holds.

    Scaling factors are cleared and the display range set to that of `data`; 64-bit integers that fit are
    narrowed to 32 bits, because FSL and SPM cannot read them. nilearn does the same, so a stored result
    has the same header.

    Parameters
    ----------
    img : nibabel.spatialimages.SpatialImage
        Gives the class and the header.
    data : ndarray
        The new voxels.
    affine : array_like
        4 × 4, voxel indices to mm.

    Returns
    -------
    nibabel.spatialimages.SpatialImage
        A new image; its type on disk is that of `img`.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.zeros((2, 3, 4), "float32"), numpy.eye(4))
    >>> float(like(img, img.get_fdata() + 5, img.affine).header["cal_max"])
    5.0
    """
    import nibabel
    import numpy as np

    if data.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        if limits.min <= data.min() and data.max() <= limits.max:
            data = data.astype(np.int32)
    header = img.header.copy()
    fields = getattr(getattr(header, "structarr", None), "dtype", np.dtype([])).names or ()
    shown = (data.min().real, data.max().real)  # a display range is real, that of complex voxels too
    fresh = {"scl_slope": 0.0, "scl_inter": 0.0, "glmax": 0.0, "cal_max": shown[1], "cal_min": shown[0]}
    for field in fresh.keys() & set(fields):
        header[field] = fresh[field]
    cls = nibabel.Nifti1Image if type(img) is nibabel.Nifti1Pair else type(img)
    return cls(data, np.asarray(affine), header=header)


def digest(data: Any, affine: Any) -> str:
    """Return a hex sha256 of voxels, their type, their shape and the affine.

    Examples
    --------
    >>> import numpy
    >>> zeros = numpy.zeros((1, 1, 1), "u1")
    >>> digest(zeros, numpy.eye(4)) == digest(zeros + 1, numpy.eye(4))
    False
    """
    import numpy as np

    native = np.asarray(data).dtype.newbyteorder("<")
    state = hashlib.sha256(f"{native.str} {np.shape(data)} ".encode())
    state.update(np.ascontiguousarray(data, dtype=native).tobytes())
    state.update(np.asarray(affine, dtype="<f8").tobytes())
    return state.hexdigest()

"""What processors are given: targets, volumes, and what the metadata say about them."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from nvframe.errors import ProcessingError, Skip
from nvframe.imaging import nifti
from nvframe.imaging.grids import named_grid
from nvframe.imaging.resample import fraction_cut, resample
from nvframe.types import ImageRecord

_log = logging.getLogger("nvframe.imaging.resample")

_LABEL_MAPS = {"roi/mask", "roi", "mask", "parcellation"}
_UNSAID = {"", "other", "none", "null", "n/a"}


def target_grid(target: Any) -> tuple[tuple[tuple[float, ...], ...], tuple[int, ...] | None]:
    """Return affine and shape of whatever names, holds or is a grid."""
    import numpy as np

    if isinstance(target, str) and not target.endswith((".nii", ".nii.gz")):
        grid = named_grid(target)
        return grid.affine, grid.shape
    if isinstance(target, str | Path):
        with Path(target).open("rb") as file:
            info = nifti.read_info(file)
        return info.affine, info.shape[:3]
    shape = None
    if hasattr(target, "affine"):
        target, shape = target.affine, tuple(int(n) for n in target.shape[:3])
    try:
        affine = np.array(target, dtype=float)
    except (TypeError, ValueError):
        affine = np.empty(0)
    if affine.shape not in ((3, 3), (4, 4)) or not np.isfinite(affine).all() or not np.linalg.det(affine):
        raise ValueError(f"{target!r:.160} is not a grid: give a name, a NIfTI file or image, or an affine")
    return tuple(tuple(float(x) for x in row) for row in affine), shape


def volume(img: Any, record: ImageRecord) -> Any:
    """Return the voxels of a volume, or raise if there are none."""
    import numpy as np

    if str(record.metadata.get("data_origin")).lower() == "surface":
        raise Skip("a surface map has no volume")
    data = np.asanyarray(img.dataobj)
    if data.ndim < 3 or data.dtype.kind not in "iuf":
        raise ProcessingError(
            f"an image of shape {data.shape} and type {data.dtype} is not a volume of numbers"
        )
    return data


def resampled(img: Any, record: ImageRecord, affine: Any, shape: Any, interpolation: str) -> Any:
    """Resample for a processor, which logs what is cut off and refuses what misses.

    The volume beside a surface map is resampled too, as in nilearn: whether it is of use is for the reader to say.
    """
    if interpolation == "auto":
        interpolation = "nearest" if _holds_labels(img, record) else "continuous"
    result = resample(img, affine, shape, interpolation)
    cut = fraction_cut(img.affine, img.shape, result.affine, result.shape)
    if cut >= 1:
        raise ProcessingError("the image lies wholly outside the target grid")
    if cut > 0:
        _log.info("image %s: the target grid leaves out %.1f %% of the field of view", record.id, 100 * cut)
    return result


def _holds_labels(img: Any, record: ImageRecord) -> bool:
    """Whether values between two voxels would mean nothing."""
    map_type = str(record.metadata.get("map_type") or "").lower()
    image_type = str(record.metadata.get("image_type") or "").lower()
    if map_type in _LABEL_MAPS or image_type == "atlas":
        return True
    if map_type not in _UNSAID:  # statistics and anatomical images are sometimes stored as whole numbers
        return False
    slope, inter = getattr(img.dataobj, "slope", 1), getattr(img.dataobj, "inter", 0)
    return img.get_data_dtype().kind in "iu" and slope == 1 and inter == 0


def degrees_of_freedom(record: ImageRecord) -> float:
    """Return the degrees of freedom that the metadata give, or raise."""
    given = record.metadata
    for key, lost in (("statistic_parameters", 0), ("number_of_subjects", 1)):
        try:
            dof = float(given[key]) - lost
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(dof) and dof > 0:
            return dof
    raise ProcessingError(
        f"no degrees of freedom: statistic_parameters is {given.get('statistic_parameters')!r}, "
        f"number_of_subjects is {given.get('number_of_subjects')!r}"
    )

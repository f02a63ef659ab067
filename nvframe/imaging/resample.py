"""Resampling onto another grid: the values, shape and header of ``nilearn.image.resample_img``, faster.

Where the two grids' axes are parallel, flips and permutations included, the work is three small matrix
products (`nvframe.imaging.operators`). Everything else goes through scipy's general path, as it does there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nvframe.errors import ProcessingError
from nvframe.imaging.cpu_slot import turn
from nvframe.imaging.images import like
from nvframe.imaging.sampling import axes_of, sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ORDERS = {"continuous": 3, "linear": 1, "nearest": 0}
"""Interpolations by name, and the order of their splines."""

_SAMPLES = 33  # voxels per axis that `fraction_cut` looks at where grids are not parallel


MAX_VOXELS = 1 << 29
"""Most voxels of a result, over all volumes: 4 GiB of float64, more than any map on a 1 mm grid needs."""


def resample(
    img: Any, target_affine: Any, target_shape: Sequence[int] | None = None, interpolation: str = "continuous"
) -> Any:
    """Resample an image onto another grid.

    Equal to ``nilearn.image.resample_img`` with its defaults, but for its warnings: within 1e-6 of the
    map's maximum, and in float64 within 1e-12.

    Parameters
    ----------
    img : nibabel.Nifti1Image
        Three dimensions or more; it is not changed.
    target_affine : array_like
        4 × 4, voxel indices to mm; or 3 × 3 for the smallest box around the image.
    target_shape : sequence of int or None, default=None
        Three numbers; ``None`` reaches from the target's origin to the image's far end.
    interpolation : {"continuous", "linear", "nearest"}, default="continuous"
        Cubic splines, linear, or the nearest voxel.

    Returns
    -------
    nibabel.Nifti1Image
        The image on the new grid, 0 outside its own field of view.

    Raises
    ------
    ValueError
        If the interpolation or the target is invalid.
    ProcessingError
        If the image cannot be resampled: fewer than three dimensions, colours, no usable affine, or a
        target that lies wholly beyond it.

    Examples
    --------
    >>> import nibabel, numpy
    >>> img = nibabel.Nifti1Image(numpy.arange(27.0).reshape(3, 3, 3), numpy.diag([2, 2, 2, 1]))
    >>> resample(img, numpy.eye(4), interpolation="linear").get_fdata()[0, 0].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    import numpy as np

    order = checked_order(interpolation)
    target, wanted = _checked_target(target_affine, target_shape)
    if img.affine is None or len(img.shape) < 3:
        raise ProcessingError(f"an image of shape {img.shape} cannot be resampled: it is not a volume")
    if wanted == tuple(img.shape[:3]) and np.allclose(target, img.affine):
        return like(img, np.asanyarray(img.dataobj).copy(), img.affine)
    try:
        target, shape = _target_box(img.affine, img.shape, target, wanted)
        to_source = _target_to_source(img.affine, target)
    except np.linalg.LinAlgError as error:
        raise ProcessingError(f"the affine {img.affine.tolist()} or the target's is singular") from error
    data = np.asanyarray(img.dataobj)
    if data.dtype.kind not in "iufc":
        raise ProcessingError(f"voxels of type {data.dtype} cannot be interpolated")
    if math.prod((*shape, *data.shape[3:])) > MAX_VOXELS:
        raise ProcessingError(
            f"the target would have {'×'.join(map(str, shape))} voxels: does the image's affine lie far outside?"
        )
    with turn():
        return like(img, _sampled(data, shape, to_source, order), target)


def _sampled(data: Any, shape: tuple[int, ...], to_source: Floats, order: int) -> Any:
    """Return the volumes of `data` on the target's grid, no value beyond those of `data` and 0."""
    import numpy as np

    out = np.zeros((*shape, *data.shape[3:]), dtype=_result_dtype(data.dtype, order), order="F")
    ranges = [
        sample(data[:, :, :, *more], to_source, order, out[:, :, :, *more])
        for more in np.ndindex(*data.shape[3:])
    ]
    # cubic splines overshoot; 0 counts as a value of the image because it is that of its surroundings
    low = min(np.fmin.reduce([low for low, _ in ranges]), 0)
    high = max(np.fmax.reduce([high for _, high in ranges]), 0)
    out.clip(low, high, out=out)
    return out


def checked_order(interpolation: str) -> int:
    """Return the spline order of an interpolation; a ValueError lists the three there are.

    Examples
    --------
    >>> checked_order("linear")
    1
    """
    if interpolation not in ORDERS:
        raise ValueError(f"interpolation {interpolation!r} is not one of {', '.join(map(repr, ORDERS))}")
    return ORDERS[interpolation]


def fraction_cut(affine: Any, shape: Sequence[int], target_affine: Any, target_shape: Sequence[int]) -> float:
    """Return the part of an image's field of view that a target grid leaves out.

    Parameters
    ----------
    affine, target_affine : array_like
        4 × 4, voxel indices to mm.
    shape, target_shape : sequence of int
        Voxels along the first three axes.

    Returns
    -------
    float
        0 if everything fits, 1 if nothing does; exact where the axes are parallel, else estimated.

    Examples
    --------
    >>> from nvframe.imaging.grids import STD_AFFINE, named_grid
    >>> grid = named_grid("MNI152NLin2009cAsym-2mm")
    >>> round(fraction_cut(grid.affine, grid.shape, STD_AFFINE, (63, 75, 63)), 3)
    0.085
    """
    import numpy as np

    keys = [tuple(map(float, np.asarray(matrix).flat)) for matrix in (affine, target_affine)]
    return _fraction_cut(
        keys[0], tuple(int(n) for n in shape[:3]), keys[1], tuple(int(n) for n in target_shape[:3])
    )


@lru_cache(maxsize=64)
def _fraction_cut(
    affine: tuple[float, ...], shape: tuple[int, ...], target: tuple[float, ...], box: tuple[int, ...]
) -> float:
    import numpy as np

    to_target = np.linalg.solve(np.reshape(target, (4, 4)), np.reshape(affine, (4, 4)))
    aligned = axes_of(to_target[:3, :3].round(9))
    if aligned is None:
        axes = [np.linspace(0, n - 1, min(n, _SAMPLES)) for n in shape]
        points = np.stack(np.meshgrid(*axes), axis=-1) @ to_target[:3, :3].T + to_target[:3, 3]
        return float(1 - _within(points, np.array(box)).all(axis=-1).mean())
    kept = 1.0
    for source, t in zip(np.argsort(aligned), range(3), strict=True):
        kept *= _within(np.arange(shape[source]) * to_target[t, source] + to_target[t, 3], box[t]).mean()
    return float(1 - kept)


def _within(where: Any, n: Any) -> Any:
    """Whether positions lie in the box that `n` voxels fill, a hair of rounding allowed."""
    return (where >= -0.5 - 1e-6) & (where <= n - 0.5 + 1e-6)


def _checked_target(affine: Any, shape: Sequence[int] | None) -> tuple[Floats, tuple[int, ...] | None]:
    import numpy as np

    target = np.array(affine, dtype=float)
    if target.shape not in ((3, 3), (4, 4)) or not np.isfinite(target).all():
        raise ValueError(f"target_affine must be 4 × 4 or 3 × 3 finite numbers, not {affine!r:.200}")
    if shape is None:
        return target, None
    if target.shape == (3, 3):
        raise ValueError("target_shape needs a 4 × 4 target_affine: a 3 × 3 one has no origin to count from")
    box = tuple(int(n) for n in shape)
    if len(box) != 3 or min(box) < 1:
        raise ValueError(f"target_shape must be three positive numbers, not {shape!r:.200}")
    return target, box


def _target_box(
    affine: Floats, shape: Sequence[int], target: Floats, wanted: tuple[int, ...] | None
) -> tuple[Floats, tuple[int, ...]]:
    """Complete the target: an origin for a 3 × 3 affine, a shape where none is wanted."""
    import numpy as np

    floating = target.shape == (3, 3)
    if floating:
        target = np.block([[target, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]])
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*((0.0, n - 1) for n in shape[:3]))])
    voxels = (np.linalg.inv(target).dot(affine) @ corners.T)[:3]
    far = voxels.max(axis=1)
    if floating:
        near = voxels.min(axis=1)
        target[:3, 3] = target[:3, :3].dot(near)
        far = far - near
    if (far < 0).any():
        raise ProcessingError("the image lies wholly outside the target grid")
    return target, wanted or tuple(int(np.ceil(end)) + 1 for end in far)


def _target_to_source(affine: Floats, target: Floats) -> Floats:
    """Return the 4 × 4 matrix from target to source voxels, rounded as the peer's."""
    import numpy as np
    from scipy import linalg

    if (target == affine).all():
        return np.eye(4)
    matrix: Floats = linalg.inv(affine).dot(target)
    return matrix


def _result_dtype(dtype: np.dtype[Any], order: int) -> np.dtype[Any]:
    """Signed integers become the float of their size under cubic splines; everything else stays."""
    import numpy as np

    if order != 3 or dtype.kind != "i":
        return dtype
    return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)

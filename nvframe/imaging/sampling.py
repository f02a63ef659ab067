"""One volume onto another grid, given the matrix from target to source voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nvframe.errors import ProcessingError
from nvframe.imaging.operators import Block, apply, axis_operator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LONGEST_AXIS = 1_024  # an operator is a dense matrix: beyond this scipy needs less memory


def axes_of(matrix: Floats) -> tuple[int, ...] | None:
    """Return the target axis that each source axis runs along, or None where any is oblique."""
    import numpy as np

    used = matrix != 0
    if not ((used.sum(axis=0) == 1).all() and (used.sum(axis=1) == 1).all()):
        return None
    return tuple(int(axis) for axis in np.argmax(used, axis=1))


def sample(volume: Any, to_source: Floats, order: int, out: Any) -> tuple[Any, Any]:
    """Fill `out` from one volume and return the volume's lowest and highest value."""
    import numpy as np

    blocks, low, high = _survey(volume)
    holes = None
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = np.fmin.reduce(volume, axis=None), np.fmax.reduce(volume, axis=None)
        holes = ~np.isfinite(volume)
        volume = _extrapolated(volume, holes)
        blocks, _, _ = _survey(volume)
    axes = axes_of(to_source[:3, :3])
    if blocks[2][0] == blocks[2][1]:
        pass  # 0 everywhere, and so is `out`
    elif axes is None or not _separable(volume, out, order):
        _general(volume, to_source, order, out)
    else:
        _by_axes(volume, blocks, to_source, axes, order, out)
    if holes is not None:
        hidden = np.zeros(out.shape, dtype=bool, order="F")
        if axes is None or max(volume.shape) > _LONGEST_AXIS:
            _general(holes, to_source, 0, hidden)
        else:
            _by_axes(holes, [(0, n) for n in holes.shape], to_source, axes, 0, hidden)
        np.copyto(out, np.nan, where=hidden)
    return low, high


def _separable(volume: Any, out: Any, order: int) -> bool:
    """Whether the volume may go by axes: not where a last bit decides how an integer is rounded."""
    if max(volume.shape) > _LONGEST_AXIS or out.dtype.kind == "c" or out.dtype.itemsize > 8:
        return False
    return order == 0 or out.dtype.kind == "f"


def _survey(volume: Any) -> tuple[list[Block], Any, Any]:
    """Return the block along each axis outside of which all is 0, and the lowest and highest value.

    NaN comes out of either value. Four reductions read the volume twice, and let other threads run four times: many
    workers that did it plane by plane waited for each other most of the time.
    """
    import numpy as np

    # What lies together in memory is read together: (z, y, x) as a NIfTI file has it, else as numpy makes arrays.
    by_c = volume.flags.c_contiguous and not volume.flags.f_contiguous
    planes = volume if by_c else volume.T
    filled = np.flatnonzero(
        (np.minimum.reduce(planes, axis=(1, 2)) != 0) | (np.maximum.reduce(planes, axis=(1, 2)) != 0)
    )
    if not filled.size:
        return [(0, 0)] * 3, volume.dtype.type(0), volume.dtype.type(0)
    lo, hi = int(filled[0]), int(filled[-1]) + 1
    lowest, highest = (each.reduce(planes[lo:hi], axis=0) for each in (np.minimum, np.maximum))
    seen = (lowest != 0) | (highest != 0)
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    blocks = [(lo, hi), (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)]
    return blocks if by_c else blocks[::-1], lowest.min(), highest.max()


def _by_axes(
    volume: Any, blocks: list[Block], to_source: Floats, axes: tuple[int, ...], order: int, out: Any
) -> None:
    import numpy as np

    by_zoom = axes == (0, 1, 2)
    operators = [
        axis_operator(
            volume.shape[source],
            out.shape[target],
            float(to_source[source, target]),
            float(to_source[source, 3]),
            order,
            by_zoom,
        )
        for source, target in enumerate(axes)
    ]
    crop = volume[tuple(slice(*block) for block in blocks)]
    apply(operators, crop, blocks, axes, np.float64 if order else volume.dtype, out)


def _general(volume: Any, to_source: Floats, order: int, out: Any) -> None:
    import numpy as np
    from scipy.ndimage import affine_transform

    matrix = to_source[:3, :3]
    if (matrix == np.diag(np.diag(matrix))).all():
        matrix = np.diag(matrix)  # lets scipy take its zoom path, which rounds differently
    try:
        affine_transform(
            volume, matrix, offset=to_source[:3, 3], output_shape=out.shape, output=out, order=order
        )
    except (RuntimeError, TypeError) as error:
        raise ProcessingError(f"voxels of type {volume.dtype} cannot be interpolated: {error}") from error


def _extrapolated(volume: Any, holes: Any) -> Floats:
    """Grow the finite voxels twice into the holes by the mean of known neighbours; what remains is 0.

    Without it a spline would smear the edge of a NaN background into the brain.
    """
    import numpy as np

    # padded by one voxel, so that flat offsets reach every neighbour; (z, y, x) runs along memory
    values = np.zeros([n + 2 for n in reversed(volume.shape)])
    known = np.zeros(values.shape, dtype=bool)
    inner = (slice(1, -1),) * 3
    np.copyto(values[inner], volume.T, where=~holes.T)
    known[inner] = ~holes.T
    inside = np.zeros(values.shape, dtype=bool)
    inside[inner] = True
    row, plane = values.shape[2], values.shape[1] * values.shape[2]
    steps = (1, -1, row, -row, plane, -plane)
    for _ in range(2):
        grown = known.copy()
        for step in steps:
            here, there = (
                (slice(step, None), slice(None, -step))
                if step > 0
                else (slice(None, step), slice(-step, None))
            )
            grown.ravel()[here] |= known.ravel()[there]
        shell = np.flatnonzero(grown & inside & ~known)
        total = np.sum([values.ravel()[shell + step] for step in steps], axis=0)
        values.ravel()[shell] = total / np.sum([known.ravel()[shell + step] for step in steps], axis=0)
        known.ravel()[shell] = True
    extrapolated: Floats = values[inner].T
    return extrapolated

"""Interpolation along one axis as a small matrix, and its application to a volume.

For an axis-aligned affine, scipy's spline interpolation factors into three one-dimensional maps, each the
product of the spline taps and the spline prefilter. A volume then costs three small matrix products instead
of 64 taps per voxel, and a source coordinate that is a whole number costs a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nvframe.imaging.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Block = tuple[int, int]
"""First voxel, and one past the last, along an axis."""


@dataclass(frozen=True, slots=True, eq=False)
class AxisOperator:
    """What one target axis takes from one source axis.

    Attributes
    ----------
    first, stop : int
        Target voxels inside the source's field of view; all others are exactly 0.
    copied, copied_from : ndarray of int
        Rows, counted from `first`, that are plain copies, and of which source voxels.
    computed : ndarray of int
        The other rows.
    matrix : ndarray of float64
        For cubic splines, their weights over all source voxels.
    pairs : tuple of (ndarray of int, ndarray of float64)
        For linear interpolation, a source voxel and its weight for each computed row, twice; else empty.
    """

    first: int
    stop: int
    copied: NDArray[np.intp]
    copied_from: NDArray[np.intp]
    computed: NDArray[np.intp]
    matrix: Floats
    pairs: tuple[tuple[NDArray[np.intp], Floats], ...]

    def near(self, block: Block) -> AxisOperator:
        """Return the linear operator without the target voxels that no voxel of `block` reaches: they are 0."""
        import numpy as np

        lo, hi = block
        copied = (self.copied_from >= lo) & (self.copied_from < hi)
        (low, weight), (high, weight_of_high) = self.pairs
        computed = (high >= lo) & (low < hi)
        rows = np.concatenate([self.copied[copied], self.computed[computed]])
        start, stop = (int(rows.min()), int(rows.max()) + 1) if rows.size else (0, 0)
        return AxisOperator(
            self.first + start,
            self.first + stop,
            self.copied[copied] - start,
            self.copied_from[copied],
            self.computed[computed] - start,
            self.matrix,
            ((low[computed], weight[computed]), (high[computed], weight_of_high[computed])),
        )


@lru_cache(maxsize=64)
def axis_operator(
    n_source: int, n_target: int, step: float, start: float, order: int, by_zoom: bool
) -> AxisOperator:
    """Build the operator that samples ``n_source`` voxels at ``start + step * k``, ``k < n_target``.

    Parameters
    ----------
    n_source, n_target : int
        Voxels along the axis, before and after.
    step, start : float
        The axis of the affine from target to source voxels.
    order : int
        Of the spline: 0, 1 or 3.
    by_zoom : bool
        Whether scipy would go by its zoom path. It rounds coordinates differently there, and one ulp
        outside the field of view turns an edge voxel into 0.

    Returns
    -------
    AxisOperator
        Cached: the maps of a collection share few grids.

    Examples
    --------
    >>> operator = axis_operator(4, 3, 1.5, 0.0, 1, True)
    >>> operator.copied.tolist(), operator.computed.tolist()
    ([0, 2], [1])
    >>> [(voxel.tolist(), weight.tolist()) for voxel, weight in operator.pairs]
    [([1], [0.5]), ([2], [0.5])]
    """
    import numpy as np

    k = np.arange(n_target, dtype=float)
    where = (k + start / step) * step if by_zoom else start + k * step
    inside = np.flatnonzero((where >= 0) & (where <= n_source - 1))
    first, stop = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
    where = where[first:stop]
    nearest = np.floor(where + 0.5)
    is_copy = (where == nearest) if order else np.ones(len(where), dtype=bool)
    copied, computed = np.flatnonzero(is_copy), np.flatnonzero(~is_copy)
    low = np.floor(where[computed])
    near, t = low.astype(np.intp), where[computed] - low
    pairs = ((near, 1 - t), (near + 1, t)) if order == 1 else ()
    cubic = order == 3 and computed.size
    matrix = _taps(near, t, n_source) @ _prefilter(n_source) if cubic else np.empty((0, n_source))
    return AxisOperator(first, stop, copied, nearest[copied].astype(np.intp), computed, matrix, pairs)


def _prefilter(n: int) -> Floats:
    """Return scipy's cubic spline prefilter along `n` voxels as a matrix."""
    import numpy as np
    from scipy.ndimage import spline_filter1d

    matrix: Floats = spline_filter1d(np.eye(n), order=3, axis=0, mode="mirror")
    return matrix


def _taps(near: NDArray[np.intp], t: Floats, n: int) -> Floats:
    """Return the B-spline weights at `t` beyond the voxels `near`, mirrored at the first and last voxel."""
    import numpy as np

    weights = (
        (1 - t) ** 3 / 6,
        (4 - 6 * t**2 + 3 * t**3) / 6,
        (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6,
        t**3 / 6,
    )
    taps = np.zeros((len(near), n))
    rows = np.arange(len(near))
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        np.add.at(taps, (rows, _mirror(near + offset, n)), weight)
    return taps


def _mirror(index: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Fold voxel numbers back at the centres of the outermost voxels."""
    import numpy as np

    if n == 1:
        return np.zeros_like(index)
    period = 2 * n - 2
    folded = index % period
    return np.minimum(folded, period - folded)


def _rows(index: NDArray[np.intp]) -> Any:
    """Return `index` as a slice where it is evenly spaced: slices copy faster and can receive a product."""
    import numpy as np

    if len(index) < 2:
        return slice(int(index[0]), int(index[0]) + 1) if len(index) else slice(0, 0)
    steps = np.diff(index)
    if steps[0] > 0 and (steps == steps[0]).all():
        return slice(int(index[0]), int(index[-1]) + 1, int(steps[0]))
    return index


def _along(operator: AxisOperator, data: Any, block: Block, axis: int, number: int) -> Any:
    """Apply `operator` along `axis` of a (z, y, x) array that holds only `block` of the source axis."""
    lo, hi = block
    shape = list(data.shape)
    shape[axis] = operator.stop - operator.first
    out = scratch.array(number, shape, data.dtype)
    present = (operator.copied_from >= lo) & (operator.copied_from < hi)
    if operator.pairs or not present.all():
        out.fill(0)
    ahead: tuple[slice, ...] = (slice(None),) * axis
    out[(*ahead, _rows(operator.copied[present]))] = data[(*ahead, _rows(operator.copied_from[present] - lo))]
    if operator.pairs:
        _blend(operator, data, lo, axis, out)
    elif operator.computed.size:
        _multiply(operator.matrix[:, lo:hi], data, axis, _rows(operator.computed), out)
    return out


def _blend(operator: AxisOperator, data: Any, lo: int, axis: int, out: Any) -> None:
    """Add to the computed rows of `out` what linear interpolation takes from two voxels each."""
    import numpy as np

    ahead: tuple[slice, ...] = (slice(None),) * axis
    for source, weight in operator.pairs:
        present = (source >= lo) & (source < lo + data.shape[axis])
        taken = data[(*ahead, _rows(source[present] - lo))]
        weights = weight[present].reshape(-1, *(1,) * (2 - axis))
        out[(*ahead, _rows(operator.computed[present]))] += np.multiply(
            taken, weights, out=scratch.array(2, taken.shape, out.dtype)
        )


def _multiply(weights: Floats, data: Any, axis: int, rows: Any, out: Any) -> None:
    """Write ``weights @ data`` along `axis` into `rows` of `out`."""
    import numpy as np

    n, m = data.shape[axis], out.shape[axis]
    if axis == 2:
        lines = data.reshape(-1, n)
        product = scratch.array(2, (len(lines), len(weights)), out.dtype)
        out.reshape(-1, m)[:, rows] = np.matmul(lines, weights.T, out=product)
        return
    lead = data.shape[0] if axis == 1 else 1  # along z all of a plane is one row
    flat, place = data.reshape(lead, n, -1), out.reshape(lead, m, -1)
    if isinstance(rows, slice):
        np.matmul(weights, flat, out=place[:, rows])  # BLAS writes every other row: no temporary
    else:
        place[:, rows] = weights @ flat


def apply(
    operators: Sequence[AxisOperator],
    volume: Any,
    blocks: Sequence[Block],
    axes: Sequence[int],
    dtype: Any,
    out: Any,
) -> None:
    """Sample a volume along its three axes into `out`, which must be zero.

    Parameters
    ----------
    operators : sequence of AxisOperator
        For x, y and z of the source.
    volume : ndarray
        The source cropped to `blocks`.
    blocks : sequence of (int, int)
        Which source voxels `volume` holds; all others are 0.
    axes : sequence of int
        Target axis that each source axis becomes.
    dtype : dtype
        To work in: float64 where anything is to be computed.
    out : ndarray
        Receives the result.
    """
    import numpy as np

    operators = [
        operator.near(block) if operator.pairs else operator
        for operator, block in zip(operators, blocks, strict=True)
    ]
    if any(operator.first == operator.stop for operator in operators):
        return  # no target voxel lies within the image, as with a single slice between two of the target's
    place = [slice(None)] * 3
    for source, target in enumerate(axes):
        place[target] = slice(operators[source].first, operators[source].stop)
    # x runs fastest in a NIfTI file, so the transposed array is contiguous and z leads; contracting z
    # first makes one large product of it
    data = scratch.array(0, volume.T.shape, dtype)
    np.copyto(data, volume.T)
    for axis, source in enumerate((2, 1, 0)):
        data = _along(operators[source], data, blocks[source], axis, number=1 - axis % 2)
    out[tuple(place)] = data.T.transpose(np.argsort(axes))

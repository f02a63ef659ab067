"""From t to z through the logarithm of the tail, where neither under- nor overflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_UNDERFLOW = 1e-280  # below this the tail itself loses digits
_TERMS = 500
_TINY = 1e-300


def t_to_z(t: Any, dof: float) -> Floats:
    """Return the normal deviate with the tail probability of each t value, sign kept.

    Parameters
    ----------
    t : ndarray
        Student's t; NaN and infinities stay what they are.
    dof : float
        Degrees of freedom, positive.

    Returns
    -------
    ndarray of float64
        ``z(-t) == -z(t)`` exactly, and finite for finite t.

    Examples
    --------
    >>> import numpy
    >>> t_to_z(numpy.array([-40.0, 0.0, 2.0, 40.0]), 20).round(4).tolist()
    [-9.2961, 0.0, 1.8862, 9.2961]
    """
    import numpy as np
    from scipy.special import ndtri_exp

    values = np.asarray(t, dtype=np.float64)
    z = np.array(values)  # 0, NaN and infinities are their own answer
    some = np.isfinite(values) & (values != 0)
    size = np.abs(values[some])
    z[some] = np.copysign(-ndtri_exp(_log_tail(size, dof)), values[some])
    return z


def _log_tail(t: Floats, dof: float) -> Floats:
    """Return log P(T > t) for positive t."""
    import numpy as np
    from scipy.special import stdtr

    tail = stdtr(dof, -t)
    deep = tail < _UNDERFLOW
    log_tail: Floats = np.log(np.where(deep, 1.0, tail))
    if deep.any():
        log_tail[deep] = _deep_log_tail(t[deep], dof)
    return log_tail


def _deep_log_tail(t: Floats, dof: float) -> Floats:
    """Return log P(T > t) from the continued fraction of the incomplete beta function (Lentz's method).

    P(T > t) is half of I_x(dof/2, 1/2) at x = dof/(dof + t²): DLMF 8.17.20 and 8.17.22.
    """
    import numpy as np
    from scipy.special import betaln

    a, b = dof / 2, 0.5
    # log x without cancellation, and without t² overflowing
    log_x = np.where(t < 1e100, -np.log1p(np.minimum(t, 1e100) ** 2 / dof), np.log(dof) - 2 * np.log(t))
    x = np.exp(log_x)
    c, d, fraction = np.ones_like(x), np.zeros_like(x), np.ones_like(x)
    for term in range(_TERMS):
        m = term // 2
        if term == 0:
            numerator = np.ones_like(x)
        elif term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _nonzero(1 + numerator * d)
        c = _nonzero(1 + numerator / c)
        fraction = fraction * (c * d)
        if term and np.abs(c * d - 1).max() < 1e-15:
            break
    log_front = a * log_x + b * np.log1p(-x) - np.log(a) - betaln(a, b)
    result: Floats = log_front + np.log(fraction - 1) - np.log(2)
    return result


def _nonzero(value: Floats) -> Floats:
    import numpy as np

    return np.where(np.abs(value) < _TINY, _TINY, value)

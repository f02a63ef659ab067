"""Named voxel grids, and when two grids are one lattice."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Affine = tuple[tuple[float, float, float, float], ...]

STD_AFFINE: Affine = (
    (3.0, 0.0, 0.0, -90.0),
    (0.0, 3.0, 0.0, -126.0),
    (0.0, 0.0, 3.0, -72.0),
    (0.0, 0.0, 0.0, 1.0),
)
"""Where nilearn's ``fetch_neurovault(resample=True)`` puts every map; it fixes the origin, not the shape."""

_ANY_EXTENT = (256, 256, 256)  # voxels to judge two affines over where no shape is known


@dataclass(frozen=True, slots=True)
class Grid:
    """A box of voxels in mm space.

    Attributes
    ----------
    name : str
        As given to ``Resample(target=...)``.
    affine : tuple of tuple of float
        4 × 4, voxel indices to mm.
    shape : tuple of int
        Voxels along each axis.
    space : str
        BIDS name of the template whose space it is.
    """

    name: str
    affine: Affine
    shape: tuple[int, int, int]
    space: str


def _grid(
    name: str,
    zooms: tuple[float, float, float],
    origin: tuple[float, float, float],
    shape: tuple[int, int, int],
) -> Grid:
    (x, y, z), (ox, oy, oz) = zooms, origin
    affine = ((x, 0.0, 0.0, ox), (0.0, y, 0.0, oy), (0.0, 0.0, z, oz), (0.0, 0.0, 0.0, 1.0))
    return Grid(name, affine, shape, name.rpartition("-")[0])


GRIDS: dict[str, Grid] = {
    grid.name: grid
    for grid in (
        # FSL's MNI152_T1_{1,2}mm, stored right to left as FSL does; TemplateFlow's description of
        # MNI152NLin6Asym gives the same boxes left to right, from (-91, -126, -72) and (-90, -126, -72)
        _grid("MNI152NLin6Asym-1mm", (-1.0, 1.0, 1.0), (90.0, -126.0, -72.0), (182, 218, 182)),
        _grid("MNI152NLin6Asym-2mm", (-2.0, 2.0, 2.0), (90.0, -126.0, -72.0), (91, 109, 91)),
        # nilearn's 3 mm affine over the FSL box, with the shape that nilearn arrives at
        _grid("MNI152NLin6Asym-3mm", (3.0, 3.0, 3.0), (-90.0, -126.0, -72.0), (61, 73, 61)),
        # TemplateFlow, tpl-MNI152NLin2009cAsym/template_description.json (what fMRIPrep writes): res-02
        # begins half a millimetre outside res-01
        _grid("MNI152NLin2009cAsym-1mm", (1.0, 1.0, 1.0), (-96.0, -132.0, -78.0), (193, 229, 193)),
        _grid("MNI152NLin2009cAsym-2mm", (2.0, 2.0, 2.0), (-96.5, -132.5, -78.5), (97, 115, 97)),
        # SPM12's default bounding box [-78 -112 -70; 78 76 85] at 2 mm, as its normalised images are stored
        _grid("SPM-2mm", (-2.0, 2.0, 2.0), (78.0, -112.0, -70.0), (79, 95, 79)),
    )
}
"""Every grid that has a name."""


def named_grid(name: str) -> Grid:
    """Return the grid of that name.

    Parameters
    ----------
    name : str
        One of `GRIDS`.

    Returns
    -------
    Grid
        Its affine and shape.

    Raises
    ------
    ValueError
        If there is none; the message proposes near names.

    Examples
    --------
    >>> named_grid("MNI152NLin6Asym-2mm").shape
    (91, 109, 91)
    >>> named_grid("MNI152NLin6Asym-2")
    Traceback (most recent call last):
    ...
    ValueError: unknown grid 'MNI152NLin6Asym-2'; did you mean MNI152NLin6Asym-2mm...
    """
    if name in GRIDS:
        return GRIDS[name]
    near = difflib.get_close_matches(name, GRIDS, n=3) or sorted(GRIDS)
    raise ValueError(f"unknown grid {name!r}; did you mean {', '.join(near)}?")


@dataclass(frozen=True, slots=True)
class Canonical:
    """How an image turns to RAS+ by permuting and flipping its first three axes only.

    Attributes
    ----------
    axes : tuple of int
        Voxel axis that becomes x, y and z.
    flips : tuple of bool
        Whether x, y and z must be reversed afterwards.
    affine : tuple of tuple of float
        4 × 4, of the turned image.
    shape : tuple of int
        Of the turned image, first three axes.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    affine: Affine
    shape: tuple[int, int, int]

    def apply(self, data: Any) -> Any:
        """Return `data` turned: a view, whatever follows the first three axes stays."""
        turned = data.transpose(*self.axes, *range(3, data.ndim))
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]


def canonical(affine: Any, shape: Sequence[int]) -> Canonical:
    """Work out how nibabel's ``as_closest_canonical`` would turn an image.

    Parameters
    ----------
    affine : array_like
        4 × 4, voxel indices to mm.
    shape : sequence of int
        Voxels along each axis; only the first three count.

    Returns
    -------
    Canonical
        Permutation, flips, and the affine and shape they lead to.

    Raises
    ------
    ValueError
        If an axis of the affine has no direction.

    Examples
    --------
    >>> grid = named_grid("MNI152NLin6Asym-2mm")
    >>> turn = canonical(grid.affine, grid.shape)
    >>> turn.flips, turn.affine[0]
    ((True, False, False), (2.0, 0.0, 0.0, -90.0))
    """
    import nibabel.orientations
    import numpy as np

    tools: Any = nibabel.orientations
    matrix = np.asarray(affine, dtype=float)
    box = tuple(int(n) for n in shape[:3])
    ornt = tools.io_orientation(matrix)
    if np.isnan(ornt).any():
        raise ValueError(f"affine {matrix.tolist()} has an axis without direction")
    turned = matrix @ tools.inv_ornt_aff(ornt, box)
    x, y, z = (int(axis) for axis in np.argsort(ornt[:, 0]))
    return Canonical(
        (x, y, z),
        (bool(ornt[x, 1] < 0), bool(ornt[y, 1] < 0), bool(ornt[z, 1] < 0)),
        tuple((float(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in turned),
        (box[x], box[y], box[z]),
    )


def same_lattice(
    affine_a: Any, affine_b: Any, shape: Sequence[int] | None = None, tol: float = 1e-3
) -> tuple[int, int, int] | None:
    """Return where voxel (0, 0, 0) of `b` lies among the voxels of `a`, if their voxels coincide.

    Parameters
    ----------
    affine_a, affine_b : array_like
        4 × 4, voxel indices to mm, already turned alike (see `canonical`).
    shape : sequence of int or None, default=None
        Voxels of `b`: its far corners must coincide too, because a tiny difference of zoom adds up on
        the way there. ``None`` judges over 256 voxels along each axis.
    tol : float, default=1e-3
        Distance, in voxels of `a`, that still counts as the same place.

    Returns
    -------
    tuple of int or None
        Whole voxels along each axis of `a`; ``None`` if these are two lattices.

    Examples
    --------
    >>> shifted = [[3, 0, 0, -84], [0, 3, 0, -126], [0, 0, 3, -75], [0, 0, 0, 1]]
    >>> same_lattice(STD_AFFINE, shifted)
    (2, 0, -1)
    >>> shifted[0][3] = -85
    >>> same_lattice(STD_AFFINE, shifted) is None
    True
    """
    import numpy as np

    try:
        b_in_a = np.linalg.solve(np.asarray(affine_a, dtype=float), np.asarray(affine_b, dtype=float))
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(b_in_a).all():
        return None
    offset = np.round(b_in_a[:3, 3])
    extent = [n - 1 for n in (_ANY_EXTENT if shape is None else shape[:3])]
    corners = np.array(list(itertools.product(*((0, n) for n in extent))), dtype=float).T
    drift = (b_in_a[:3, :3] - np.eye(3)) @ corners + (b_in_a[:3, 3] - offset)[:, None]
    if np.abs(drift).max() > tol:
        return None
    i, j, k = (int(n) for n in offset)
    return i, j, k

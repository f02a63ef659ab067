"""Where each image lies in one array: integer arithmetic on a common lattice, never a join of floats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nvframe.errors import GridMismatchError
from nvframe.imaging.grids import Canonical, canonical, same_lattice

if TYPE_CHECKING:
    from nvframe.imaging.grids import Affine

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""First and past-the-last voxel along x, y and z, counted on the lattice of the first image."""

FIELD_OF_VIEW = tuple(f"{axis}_{end}" for axis in "xyz" for end in ("min", "max"))
"""Coordinates on ``image``: the centres of the outermost voxels of each image's own box, in mm."""

JOINS = ("outer", "inner", "exact")

# Voxels of one image may miss the axes by this much, over its whole extent, and still count as axis-aligned.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Place:
    """Where one image lies.

    Attributes
    ----------
    turn : Canonical
        How it turns to RAS+.
    box : Box
        Its voxels on the common lattice.
    """

    turn: Canonical
    box: Box


@dataclass(frozen=True, slots=True)
class Lattice:
    """A common lattice, and the box of it that the array holds.

    Attributes
    ----------
    origin : tuple of float
        mm, of lattice point (0, 0, 0).
    zooms : tuple of float
        mm per voxel along x, y and z; positive: RAS+.
    box : Box
        What the array holds.
    """

    origin: tuple[float, float, float]
    zooms: tuple[float, float, float]
    box: Box

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        (x0, x1), (y0, y1), (z0, z1) = self.box
        return x1 - x0, y1 - y0, z1 - z0

    @property
    def affine(self) -> Affine:
        """4 × 4, from lattice points to mm."""
        (x, y, z), (i, j, k) = self.zooms, self.origin
        return (x, 0.0, 0.0, i), (0.0, y, 0.0, j), (0.0, 0.0, z, k), (0.0, 0.0, 0.0, 1.0)


def lattice_of(turn: Canonical, box: Box) -> Lattice:
    """Return the lattice whose origin is the first voxel of an image, and a box of it."""
    x, y, z = (turn.affine[axis][3] for axis in range(3))
    i, j, k = (turn.affine[axis][axis] for axis in range(3))
    return Lattice((x, y, z), (i, j, k), box)


def turned(affine: Sequence[Sequence[float]], shape: Sequence[int]) -> Canonical:
    """Return how an image turns to RAS+; GridMismatchError if its axes are not those of the space."""
    turn = canonical(affine, shape)
    worst = max(
        abs(turn.affine[row][column]) * turn.shape[column] / turn.affine[row][row]
        for row in range(3)
        for column in range(3)
        if row != column
    )
    if worst > _TOLERANCE:
        raise GridMismatchError(
            "its voxel axes are oblique to x, y and z; " + resample_hint("MNI152NLin6Asym-2mm")
        )
    return turn


def groups(turns: Sequence[Canonical]) -> list[list[int]]:
    """Return the rows that share a lattice, the largest group first."""
    found: list[list[int]] = []
    for i, turn in enumerate(turns):
        for group in found:
            if same_lattice(turns[group[0]].affine, turn.affine, turn.shape) is not None:
                group.append(i)
                break
        else:
            found.append([i])
    return sorted(found, key=len, reverse=True)


def placed(turns: Sequence[Canonical], join: str) -> tuple[Lattice, list[Place]]:
    """Return the lattice of images that share one, and where each lies on it.

    Parameters
    ----------
    turns : sequence of Canonical
        At least one.
    join : {"outer", "inner", "exact"}
        Union of the boxes, intersection, or one box for all.

    Raises
    ------
    GridMismatchError
        If the boxes do not meet (``inner``) or differ (``exact``).
    """
    first = turns[0]
    places = [Place(turn, _box(first, turn)) for turn in turns]
    boxes = [place.box for place in places]
    if join == "exact" and len(set(boxes)) > 1:
        raise GridMismatchError(
            f"join='exact': the images lie on one lattice but cover {len(set(boxes))} different boxes; "
            "use join='outer' or 'inner'"
        )
    low, high = (min, max) if join == "outer" else (max, min)
    box = tuple((low(b[axis][0] for b in boxes), high(b[axis][1] for b in boxes)) for axis in range(3))
    if any(start >= stop for start, stop in box):
        raise GridMismatchError("join='inner': the images have no voxel in common; use join='outer'")
    return lattice_of(first, (box[0], box[1], box[2])), places


def place_on(lattice: Lattice, turn: Canonical, *, whole: bool) -> Place:
    """Return where an image lies on a lattice that is given.

    Parameters
    ----------
    lattice : Lattice
        Of an array that exists already.
    turn : Canonical
        Of the image.
    whole : bool
        Whether all of the image must lie in the array's box.

    Raises
    ------
    GridMismatchError
        If it lies on another lattice, or reaches out of the box.
    """
    offset = same_lattice(lattice.affine, turn.affine, turn.shape)
    if offset is None:
        raise GridMismatchError(f"it lies on another lattice: {_described(turn)}")
    x, y, z = ((start, start + n) for start, n in zip(offset, turn.shape, strict=True))
    inside = all(low <= a and b <= high for (a, b), (low, high) in zip((x, y, z), lattice.box, strict=True))
    if whole and not inside:
        raise GridMismatchError(f"it reaches outside the array's box: {_described(turn)}")
    return Place(turn, (x, y, z))


def _box(first: Canonical, turn: Canonical) -> Box:
    offset = same_lattice(first.affine, turn.affine, turn.shape)
    if offset is None:
        raise GridMismatchError("the images do not lie on one lattice")
    x, y, z = ((int(start), int(start) + n) for start, n in zip(offset, turn.shape, strict=True))
    return x, y, z


def mismatch(turns: Sequence[Canonical], rows: Sequence[Sequence[int]]) -> GridMismatchError:
    """Return the error that names the grids and prints the line that helps."""
    grids = "; ".join(f"{len(group)} × {_described(turns[group[0]])}" for group in rows[:5])
    more = f"; and {len(rows) - 5} more grids" if len(rows) > 5 else ""
    return GridMismatchError(
        f"the images lie on {len(rows)} lattices: {grids}{more}. {resample_hint('MNI152NLin6Asym-2mm')}, "
        "or leave the smaller groups out with on_mismatch='drop'"
    )


def resample_hint(grid: str) -> str:
    """Return the line that brings images onto one grid."""
    return f"bring all onto one grid with processors=[('resample', {{'target': {grid!r}}})]"


def _described(turn: Canonical) -> str:
    shape = "×".join(map(str, turn.shape))
    zooms = "×".join(f"{turn.affine[axis][axis]:g}" for axis in range(3))
    origin = ", ".join(f"{turn.affine[axis][3]:g}" for axis in range(3))
    return f"{shape} voxels of {zooms} mm from ({origin})"

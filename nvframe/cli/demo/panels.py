"""The panels of the demo's picture: cuts over grey anatomy, and projections in a brain of glass.

Neurological convention: the left of a panel is the subject's left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SPAN = {"x": (-77.0, 77.0), "y": (-112.0, 78.0), "z": (-90.0, 100.0)}
HEIGHT_MM = 190.0

_COLOURS = "RdBu_r"
_ABOVE = 3  # in matplotlib's drawing order: over outlines and anatomy
_HAIR: dict[str, Any] = {"color": "0.1", "linewidth": 0.5, "alpha": 0.5, "zorder": _ABOVE + 1}


@dataclass(frozen=True, slots=True)
class View:
    """One panel of a row.

    Attributes
    ----------
    across : str
        The axis that is cut or projected.
    right, up : str
        The axes that run to the right and up.
    ends : (str, str)
        What stands at the left and at the right edge.
    glass : bool
        Projected, not cut.
    """

    across: str
    right: str
    up: str
    ends: tuple[str, str]
    glass: bool = False

    @property
    def width(self) -> float:
        """In mm."""
        low, high = SPAN[self.right]
        return high - low


VIEWS = (
    View("x", "y", "z", ("P", "A")),
    View("y", "x", "z", ("L", "R")),
    View("z", "x", "y", ("L", "R")),
    View("x", "y", "z", ("P", "A"), glass=True),
    View("z", "x", "y", ("L", "R"), glass=True),
)
_GLASS_TITLES = {"x": "glass brain, from the side", "z": "glass brain, from above"}


def draw_panel(
    axes: Any, view: View, volume: Any, peak: dict[str, float], limit: float, threshold: float
) -> Any:
    """Draw one panel and return what a colour bar needs.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    view : View
        What.
    volume : xarray.DataArray
        On ``x``, ``y`` and ``z`` in mm.
    peak : dict of str to float
        Where to cut, in mm.
    limit, threshold : float
        The ends of the colour map, and the absolute value from which on to colour.
    """
    _frame(axes, view)
    if view.glass:
        _draw_outline(axes, view)
        plane = projection(volume, view.across)
        axes.set_title(_GLASS_TITLES[view.across], fontsize=8.5, pad=3)
    else:
        at = peak[view.across]
        _draw_anatomy(axes, view, at)
        plane = volume.sel({view.across: at}, method="nearest")
        axes.axvline(peak[view.right], **_HAIR)
        axes.axhline(peak[view.up], **_HAIR)
        axes.set_title(f"{view.across} = {millimetres(at)} mm", fontsize=8.5, pad=3)
    shown = plane.transpose(view.up, view.right)
    coloured = shown.where(abs(shown) >= threshold)
    return _show(axes, coloured, view, cmap=_COLOURS, vmin=-limit, vmax=limit, zorder=_ABOVE)


def projection(volume: Any, across: str) -> Any:
    """Return the value furthest from zero along an axis; NaN counts as nothing.

    Examples
    --------
    >>> import xarray as xr
    >>> projection(xr.DataArray([[1.0, -2.0], [0.0, float("nan")]], dims=("x", "y")), "y").values.tolist()
    [-2.0, 0.0]
    """
    filled = volume.fillna(0.0)
    high, low = filled.max(across), filled.min(across)
    return high.where(high >= -low, low)


def millimetres(value: float) -> str:
    """Return a coordinate with its sign.

    Examples
    --------
    >>> millimetres(-38.0), millimetres(0.0), millimetres(4.5)
    ('−38', '0', '+4.5')
    """
    return f"{value:+g}".replace("-", "−") if value else "0"


def _frame(axes: Any, view: View) -> None:
    axes.set_xlim(*SPAN[view.right])
    axes.set_ylim(*SPAN[view.up])
    axes.set_aspect("equal")
    axes.axis("off")
    for x, label, align in ((0.02, view.ends[0], "left"), (0.98, view.ends[1], "right")):
        axes.text(x, 0.04, label, transform=axes.transAxes, fontsize=9, weight="bold", color="0.3", ha=align)


def _show(axes: Any, plane: Any, view: View, **style: Any) -> Any:
    """Draw a plane (up, right) where its voxels lie."""
    extent = (*_edges(plane[view.right].values), *_edges(plane[view.up].values))
    limits = axes.get_xlim(), axes.get_ylim()
    style = {"interpolation": "nearest", **style}
    shown = axes.imshow(plane.values, origin="lower", extent=extent, **style)
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    return shown


def _edges(centres: Any) -> tuple[float, float]:
    """Return where the first voxel begins and the last ends."""
    half = float(centres[1] - centres[0]) / 2 if len(centres) > 1 else 0.5
    return float(centres[0]) - half, float(centres[-1]) + half


@cache
def anatomy() -> Any:
    """Return the grey background, on ``x``, ``y`` and ``z`` in mm; 0 outside the brain."""
    import nibabel as nib
    import numpy as np
    import xarray as xr

    img: Any = nib.load(Path(__file__).with_name("anatomy.nii.gz"))
    # a margin of one voxel, so that outlines close where the template was cut off
    data, affine = np.pad(np.asarray(img.dataobj), 1), img.affine
    axes = {
        name: affine[i, 3] + affine[i, i] * np.arange(-1, data.shape[i] - 1) for i, name in enumerate("xyz")
    }
    return xr.DataArray(data, axes, tuple("xyz"))


def _draw_anatomy(axes: Any, view: View, at: float) -> None:
    grey = anatomy()
    if float(grey[view.across][0]) <= at <= float(grey[view.across][-1]):
        plane = grey.sel({view.across: at}, method="nearest").transpose(view.up, view.right)
        _show(axes, plane.where(plane > 0), view, cmap="gray", vmin=-60, vmax=290, interpolation="bilinear")


def _draw_outline(axes: Any, view: View) -> None:
    """Draw the brain's outline as seen from outside."""
    silhouette = (anatomy() > 0).any(view.across).transpose(view.up, view.right).astype(float)
    right, up = silhouette[view.right].values, silhouette[view.up].values
    axes.contourf(right, up, silhouette.values, levels=[0.5, 1.5], colors=["0.94"])
    axes.contour(right, up, silhouette.values, levels=[0.5], colors="0.45", linewidths=1.0)

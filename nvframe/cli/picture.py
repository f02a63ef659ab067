"""The demo's picture: each map cut through its peak, and projected as if the brain were of glass.

Neurological convention: the left of the picture is the subject's left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvframe.errors import NvframeError

if TYPE_CHECKING:
    import xarray as xr

    from nvframe.cli.peaks import MapSummary

_COLOURS = "RdBu_r"
_CUT_OFF = 3.0  # for T and Z maps: below it, mostly noise
_CUT_OFF_SHARE = 0.4  # of the peak, for maps on other scales and faint ones
_SPAN = {"x": (-80.0, 80.0), "y": (-117.0, 83.0), "z": (-100.0, 100.0)}
_INCHES_PER_MM = 0.0118
_TEXT_INCHES, _BAR_INCHES = 2.35, 0.75


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
        low, high = _SPAN[self.right]
        return high - low


VIEWS = (
    View("x", "y", "z", ("P", "A")),
    View("y", "x", "z", ("L", "R")),
    View("z", "x", "y", ("L", "R")),
    View("x", "y", "z", ("P", "A"), glass=True),
    View("z", "x", "y", ("L", "R"), glass=True),
)
_GLASS_TITLES = {"x": "glass brain, from the side", "z": "glass brain, from above"}


def check_matplotlib() -> None:
    """Raise NvframeError if there is nothing to draw with."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
    except ImportError as error:
        raise NvframeError('the picture needs matplotlib: pip install "nvframe[demo]"') from error


def draw(dataset: xr.Dataset, rows: Sequence[MapSummary], path: Path, note: str) -> None:
    """Write a picture with a row of panels for each map.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``stat_map`` on ``(image, x, y, z)``.
    rows : sequence of MapSummary
        Aligned with ``image``.
    path : pathlib.Path
        Of the PNG.
    note : str
        What the maps are, for the bottom line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widths = [_TEXT_INCHES, *(view.width * _INCHES_PER_MM for view in VIEWS), _BAR_INCHES]
    height = 200 * _INCHES_PER_MM
    top, bottom, gap = 0.45, 0.62, 0.3
    size = (sum(widths) + 0.3, top + bottom + len(rows) * (height + gap))
    figure = Figure(figsize=size, dpi=110, facecolor="white")
    FigureCanvasAgg(figure)

    def panel(row: int, column: int) -> Any:
        left = 0.15 + sum(widths[:column])
        low = size[1] - top - gap - height - row * (height + gap)
        return figure.add_axes((left / size[0], low / size[1], widths[column] / size[0], height / size[1]))

    for i, summary in enumerate(rows):
        _draw_row(dataset.stat_map.isel(image=i), summary, [panel(i, column) for column in range(len(widths))])
    figure.text(0.15 / size[0], 1 - 0.3 / size[1], _title(len(rows)), fontsize=13, weight="bold", va="center")
    figure.text(0.15 / size[0], 0.34 / size[1], _legend(note), fontsize=8.5, color="0.3", va="center", linespacing=1.5)
    figure.savefig(path)


def _title(n: int) -> str:
    return f"{n} map{'s' if n != 1 else ''}: cuts through the peak, and maximum projections"


def _legend(note: str) -> str:
    return (
        f"{note} Neurological convention: L, the subject's left, is on the left; coordinates in mm, MNI space. "
        "Cuts cross at the peak, the voxel furthest from zero.\n"
        "Colour: values beyond the cut-off beside the colour bar; projections show the value furthest from zero along "
        "the line of sight. Grey: ICBM 152 average, © L. Collins, MNI, McGill."
    )


def cut_off(summary: MapSummary) -> float:
    """Return the absolute value from which on a map is coloured."""
    highest = abs(summary.value)
    if summary.map_type in ("T map", "Z map") and highest >= _CUT_OFF * 1.2:
        return _CUT_OFF
    return _CUT_OFF_SHARE * highest


def _draw_row(stat_map: xr.DataArray, summary: MapSummary, panels: Sequence[Any]) -> None:
    text, *pictures, bar = panels
    _describe(text, summary)
    peak = dict(zip("xyz", summary.position, strict=True))
    limit, threshold = max(abs(summary.value), 1e-12), cut_off(summary)
    volume = stat_map.load()
    for axes, view in zip(pictures, VIEWS, strict=True):
        _frame(axes, view)
        if view.glass:
            _draw_outline(axes, view)
            plane = projection(volume, view.across)
            axes.set_title(_GLASS_TITLES[view.across], fontsize=8.5, pad=3)
        else:
            _draw_anatomy(axes, view, peak[view.across])
            plane = volume.sel({view.across: peak[view.across]}, method="nearest")
            _draw_crosshair(axes, peak[view.right], peak[view.up])
            axes.set_title(f"{view.across} = {millimetres(peak[view.across])} mm", fontsize=8.5, pad=3)
        shown = plane.transpose(view.up, view.right)
        colours = _show(axes, shown.where(abs(shown) >= threshold), view, cmap=_COLOURS, vmin=-limit, vmax=limit)
    _draw_bar(bar, colours, summary, limit, threshold)


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


def _describe(axes: Any, summary: MapSummary) -> None:
    import textwrap

    axes.axis("off")
    lines = textwrap.wrap(summary.name or f"image {summary.id}", 26)[:3]
    axes.text(0, 0.9, "\n".join(lines), fontsize=10, weight="bold", va="top", transform=axes.transAxes)
    at = ", ".join(map(millimetres, summary.position))
    about = [
        f"image {summary.id}, collection {summary.collection_id}",
        f"{summary.map_type or 'no map type'}, peak {summary.value:.2f}".replace("-", "−"),
        f"at ({at}) mm",
        "",
        *textwrap.wrap(", ".join(summary.words), 34)[:3],
    ]
    start = 0.9 - 0.082 * len(lines) - 0.03
    axes.text(
        0, start, "\n".join(about), fontsize=8.5, color="0.25", va="top", linespacing=1.45, transform=axes.transAxes
    )


def _frame(axes: Any, view: View) -> None:
    axes.set_xlim(*_SPAN[view.right])
    axes.set_ylim(*_SPAN[view.up])
    axes.set_aspect("equal")
    axes.axis("off")
    for x, label, align in ((0.02, view.ends[0], "left"), (0.98, view.ends[1], "right")):
        axes.text(x, 0.04, label, transform=axes.transAxes, fontsize=9, weight="bold", color="0.3", ha=align)


def _show(axes: Any, plane: Any, view: View, **style: Any) -> Any:
    """Draw a plane (up, right) where its voxels lie."""
    extent = (*_edges(plane[view.right].values), *_edges(plane[view.up].values))
    limits = axes.get_xlim(), axes.get_ylim()
    shown = axes.imshow(plane.values, origin="lower", extent=extent, interpolation="nearest", **style)
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
    data, affine = np.asarray(img.dataobj), img.affine
    axes = {name: affine[i, 3] + affine[i, i] * np.arange(data.shape[i]) for i, name in enumerate("xyz")}
    return xr.DataArray(data, axes, tuple("xyz"))


def _draw_anatomy(axes: Any, view: View, at: float) -> None:
    grey = anatomy()
    inside = float(grey[view.across][0]) <= at <= float(grey[view.across][-1])
    if inside:
        plane = grey.sel({view.across: at}, method="nearest").transpose(view.up, view.right)
        _show(axes, plane.where(plane > 0), view, cmap="gray", vmin=-60, vmax=290)


def _draw_outline(axes: Any, view: View) -> None:
    """Draw the brain's outline as seen from outside."""
    silhouette = (anatomy() > 0).any(view.across).transpose(view.up, view.right)
    across, along = silhouette[view.right].values, silhouette[view.up].values
    axes.contourf(across, along, silhouette.values.astype(float), levels=[0.5, 1.5], colors=["0.94"])
    axes.contour(across, along, silhouette.values.astype(float), levels=[0.5], colors="0.45", linewidths=1.0)


def _draw_crosshair(axes: Any, right: float, up: float) -> None:
    axes.axvline(right, color="0.1", linewidth=0.5, alpha=0.5)
    axes.axhline(up, color="0.1", linewidth=0.5, alpha=0.5)


def _draw_bar(axes: Any, colours: Any, summary: MapSummary, limit: float, threshold: float) -> None:
    axes.axis("off")
    bar = axes.inset_axes((0.18, 0.12, 0.16, 0.74))
    drawn = axes.figure.colorbar(colours, cax=bar)
    drawn.set_ticks([-limit, -threshold, 0, threshold, limit])
    drawn.set_ticklabels([f"{tick:.1f}".replace("-", "−") for tick in (-limit, -threshold, 0, threshold, limit)])
    drawn.ax.tick_params(labelsize=7.5, length=2)
    drawn.ax.axhspan(-threshold, threshold, color="white")
    drawn.ax.set_title(summary.map_type.removesuffix(" map") or "value", fontsize=8.5, pad=5)
    drawn.outline.set_linewidth(0.5)

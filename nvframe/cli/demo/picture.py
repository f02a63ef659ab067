"""The demo's picture: a row for each map, cut through its peak and projected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nvframe.cli.demo.panels import HEIGHT_MM, VIEWS, draw_panel, millimetres
from nvframe.errors import NvframeError

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from nvframe.cli.demo.peaks import MapSummary

_CUT_OFF = 3.0  # for T and Z maps: below it, mostly noise
_CUT_OFF_SHARE = 0.4  # of the peak, for maps on other scales and faint ones
_INCHES_PER_MM = 0.0118
_TEXT_INCHES, _BAR_INCHES, _GAP_INCHES = 2.35, 0.7, 0.12
_TOP_INCHES, _BOTTOM_INCHES, _TITLE_INCHES, _SIDE_INCHES = 0.45, 0.62, 0.3, 0.15


def check_matplotlib() -> None:
    """Raise NvframeError if there is nothing to draw with."""
    try:
        import matplotlib  # noqa: F401 - only whether it is there
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
    height = HEIGHT_MM * _INCHES_PER_MM
    across = 2 * _SIDE_INCHES + sum(widths) + len(widths) * _GAP_INCHES
    down = _TOP_INCHES + _BOTTOM_INCHES + len(rows) * (height + _TITLE_INCHES)
    figure = Figure(figsize=(across, down), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)  # not pyplot: no window system, and nothing of the caller's is touched

    def panel(row: int, column: int) -> Any:
        left = _SIDE_INCHES + sum(widths[:column]) + column * _GAP_INCHES
        low = down - _TOP_INCHES - (row + 1) * (height + _TITLE_INCHES)
        return figure.add_axes((left / across, low / down, widths[column] / across, height / down))

    for i, summary in enumerate(rows):
        _draw_row(
            dataset.stat_map.isel(image=i), summary, [panel(i, column) for column in range(len(widths))]
        )
    left = _SIDE_INCHES / across
    figure.text(left, 1 - 0.3 / down, _title(len(rows)), fontsize=13, weight="bold", va="center")
    figure.text(left, 0.34 / down, _legend(note), fontsize=8.5, color="0.3", va="center", linespacing=1.5)
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


def statistic(value: float) -> str:
    """Return a value with as many digits as it deserves.

    Examples
    --------
    >>> statistic(-7.123), statistic(120044.0), statistic(0.00123)
    ('−7.12', '1.2e+05', '0.00123')
    """
    text = f"{value:.2f}" if 0.1 <= abs(value) < 1000 else f"{value:.3g}"
    return text.replace("-", "−", 1) if value < 0 else text


def _draw_row(stat_map: xr.DataArray, summary: MapSummary, panels: Sequence[Any]) -> None:
    text, *pictures, bar = panels
    _describe(text, summary)
    peak = dict(zip("xyz", summary.position, strict=True))
    limit, threshold = max(abs(summary.value), 1e-12), cut_off(summary)
    volume = stat_map.load()
    for axes, view in zip(pictures, VIEWS, strict=True):
        colours = draw_panel(axes, view, volume, peak, limit, threshold)
    _draw_bar(bar, colours, summary, limit, threshold)


def _describe(axes: Any, summary: MapSummary) -> None:
    import textwrap

    axes.axis("off")
    lines = textwrap.wrap(_plain(summary.name) or f"image {summary.id}", 26)[:3]
    place = {"va": "top", "transform": axes.transAxes}
    axes.text(0, 0.9, "\n".join(lines), fontsize=10, weight="bold", **place)
    about = [
        f"image {summary.id}, collection {summary.collection_id}",
        *textwrap.wrap(_plain(summary.map_type), 34)[:2],
        f"peak {statistic(summary.value)}",
        f"at ({', '.join(map(millimetres, summary.position))}) mm",
        "",
        *textwrap.wrap(_plain(", ".join(summary.words)), 34)[:3],
    ]
    below = 0.87 - 0.082 * len(lines)
    axes.text(0, below, "\n".join(about), fontsize=8.5, color="0.25", linespacing=1.45, **place)


def _plain(text: str) -> str:
    """Return text that matplotlib's font can draw and does not take for a formula."""
    return "".join(c if ord(c) < 0x2100 else "?" for c in text).replace("$", r"\$")


def _draw_bar(axes: Any, colours: Any, summary: MapSummary, limit: float, threshold: float) -> None:
    axes.axis("off")
    bar = axes.figure.colorbar(colours, cax=axes.inset_axes((0.18, 0.12, 0.16, 0.74)))
    ticks = [-limit, -threshold, 0.0, threshold, limit]
    bar.set_ticks(
        ticks, labels=[f"{tick:.3g}".replace("-", "−", 1) if tick < 0 else f"{tick:.3g}" for tick in ticks]
    )
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.ax.axhspan(-threshold, threshold, color="white")
    known = summary.map_type in ("T map", "Z map", "F map")
    bar.ax.set_title(summary.map_type[0] if known else "value", fontsize=8.5, pad=5)
    bar.outline.set_linewidth(0.5)

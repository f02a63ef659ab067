"""A map as three slices through one point: sagittal, coronal, axial; left is on the left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

_PLANES = (("x", "y", "z"), ("y", "x", "z"), ("z", "x", "y"))
"""What is cut, what runs to the right, what runs upwards."""


def draw(array: xr.DataArray, at: Sequence[float] | None = None, axes: Any = None) -> Any:
    """Return a figure of the three slices; see `nvframe.results.accessor.Accessor.plot`."""
    array = array.load() if at is None else array
    point = dict(zip("xyz", _strongest(array) if at is None else at, strict=True))
    if axes is None:
        from matplotlib import pyplot as plt

        axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")[1]
    slices = [array.sel({cut: point[cut]}, method="nearest") for cut, _, _ in _PLANES]
    limit = max((float(np.nanmax(np.abs(s.values), initial=0)) for s in slices), default=0.0) or 1.0
    for panel, part, plane in zip(axes, slices, _PLANES, strict=True):
        mesh = _panel(panel, part, plane, point, limit)
    figure = axes[0].figure
    figure.colorbar(mesh, ax=list(axes), shrink=0.8, label=_label(array))
    return figure


def _strongest(array: xr.DataArray) -> tuple[float, ...]:
    size = np.nan_to_num(np.abs(array.transpose("x", "y", "z").values), nan=-1, posinf=-1)
    peak = np.unravel_index(int(size.argmax()), size.shape)
    return tuple(float(array[name].values[i]) for name, i in zip("xyz", peak, strict=True))


def _panel(
    panel: Any, part: xr.DataArray, plane: tuple[str, str, str], point: dict[str, float], limit: float
) -> Any:
    cut, across, up = plane
    values = part.transpose(up, across).values
    mesh = panel.pcolormesh(
        part[across].values,
        part[up].values,
        values,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        shading="nearest",
    )
    panel.axvline(point[across], color="0.4", linewidth=0.5)
    panel.axhline(point[up], color="0.4", linewidth=0.5)
    panel.set(aspect="equal", xticks=[], yticks=[], title=f"{cut} = {float(part[cut]):g} mm", facecolor="0.9")
    if across == "x":  # +x is the subject's right
        for place, letter in ((0.03, "L"), (0.97, "R")):
            side = "left" if letter == "L" else "right"
            panel.text(place, 0.96, letter, transform=panel.transAxes, ha=side, va="top", weight="bold")
    return mesh


def _label(array: xr.DataArray) -> str:
    kind = array.coords.get("map_type")
    return str(kind.item()) if kind is not None and kind.ndim == 0 else str(array.name or "")

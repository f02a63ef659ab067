"""Peaks, cuts and projections lie where they should."""

import numpy as np
import pytest
import xarray as xr

from nvframe.cli.demo import panels, picture
from nvframe.cli.demo.peaks import MapSummary, peak


def volume(value=5.0, at=(-38, -24, 56), step=4):
    axes = {
        "x": np.arange(-78.0, 79.0, step),
        "y": np.arange(-112.0, 77.0, step),
        "z": np.arange(-72.0, 85.0, step),
    }
    made = xr.DataArray(np.zeros([len(axis) for axis in axes.values()], "f4"), axes, tuple("xyz"))
    made.loc[dict(zip("xyz", at, strict=True))] = value
    return made


def summary(value=5.0, map_type="T map"):
    return MapSummary(
        "1", "name", map_type, "2", "collection", ("word",), value, (-38.0, -24.0, 56.0), "path"
    )


def test_the_peak_is_the_value_furthest_from_zero_and_its_place():
    made = volume(-5.0)
    made[0, 0, 0] = np.nan
    assert peak(made) == (-5.0, (-38.0, -24.0, 56.0))


def test_the_anatomy_is_a_brain_in_mni_space():
    grey = panels.anatomy()
    inside = {"motor cortex": (-38, -24, 54), "cerebellum": (18, -52, -22), "occipital pole": (8, -90, 0)}
    outside = {
        "left of it": (-74, -24, 30),
        "above": (-30, -20, 80),
        "in front": (0, 74, 0),
        "behind": (0, -109, 0),
    }
    for x, y, z in inside.values():
        assert float(grey.sel(x=x, y=y, z=z, method="nearest")) > 0
    for x, y, z in outside.values():
        assert float(grey.sel(x=x, y=y, z=z, method="nearest")) == 0
    ventricle, white = (float(grey.sel(x=x, y=-10, z=22, method="nearest")) for x in (-9, -26))
    assert ventricle < white


def test_left_is_left_and_up_is_up_in_every_panel():
    from matplotlib.figure import Figure

    made, at = volume(), {"x": -38.0, "y": -24.0, "z": 56.0}
    for view in panels.VIEWS:
        figure = Figure()
        shown = panels.draw_panel(figure.add_subplot(), view, made, at, 5.0, 3.0)
        up, right = np.argwhere(~np.ma.getmaskarray(shown.get_array()))[0]
        left, end, bottom, top = shown.get_extent()
        rows, columns = shown.get_array().shape
        assert (left < end, bottom < top, shown.origin) == (True, True, "lower")
        assert left + (right + 0.5) * (end - left) / columns == pytest.approx(at[view.right])
        assert bottom + (up + 0.5) * (top - bottom) / rows == pytest.approx(at[view.up])


def test_a_projection_keeps_signs():
    made = volume(-5.0)
    made.loc[{"x": 38, "y": -24, "z": 56}] = 4.0
    seen = panels.projection(made, "z")
    assert float(seen.sel(x=-38, y=-24)) == -5.0
    assert float(seen.sel(x=38, y=-24)) == 4.0


@pytest.mark.parametrize(
    ("value", "map_type", "wanted"),
    [(8.0, "T map", 3.0), (-8.0, "Z map", 3.0), (3.1, "Z map", 1.24), (10.0, "variance", 4.0)],
)
def test_the_cut_off_fits_the_map(value, map_type, wanted):
    assert picture.cut_off(summary(value, map_type)) == pytest.approx(wanted)


def test_odd_names_and_empty_maps_are_drawn(tmp_path):
    stack = xr.Dataset({"stat_map": volume(0.0).expand_dims("image")})
    odd = MapSummary(
        "1", "Bild $x^ 日本語 " + "long " * 40, "", "2", "", (), 0.0, (-78.0, -112.0, -72.0), "path"
    )
    picture.draw(stack, [odd], tmp_path / "odd.png", "note")
    assert (tmp_path / "odd.png").stat().st_size > 10_000

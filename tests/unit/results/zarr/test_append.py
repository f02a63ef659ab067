"""Tables that grow."""

import numpy as np
import xarray as xr

from nvframe.results.zarr.append import joined


def regions(values, labels, codes):
    tables = {
        "mean": (("image", "region"), np.array(values, "f4")),
        "peak": (("image", "region"), np.full(np.shape(values), "here", dtype=object)),
    }
    return xr.Dataset(tables, {"region": labels, "code": ("region", codes)})


def test_what_is_said_of_labels_grows_with_them():
    known = regions([[1, np.nan], [np.nan, np.nan]], ["amygdala", "pons"], [7, 8])
    both = joined(known, regions([[5, 6]], ["pons", "cuneus"], [8, 9]))
    assert both["region"].values.tolist() == ["amygdala", "pons", "cuneus"]
    assert both["code"].values.tolist() == [7, 8, 9]
    assert both["peak"].values.tolist() == [["here", "here", ""]] * 2 + [["", "here", "here"]]
    xr.Dataset(both)  # all variables agree on their dimensions


def test_a_gap_stays_a_gap():
    known = regions([[1, np.nan], [np.nan, np.nan]], ["amygdala", "pons"], [7, 8])
    both = joined(known, regions([[5, 6]], ["pons", "cuneus"], [8, 9]))["mean"]
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both, [[1, np.nan, 0], [np.nan] * 3, [0, 5, 6]])

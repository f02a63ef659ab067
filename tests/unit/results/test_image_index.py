"""`image` is an index of the ids, so that xarray pairs the same images and never their places."""

import numpy as np
import pytest
import xarray as xr


@pytest.fixture
def maps(stored, brain):
    def of(*ids):
        return stored(*(brain(int(str(id_)[-1])) for id_ in ids), metadata=[{"id": id_} for id_ in ids])

    return of


def test_arithmetic_pairs_the_same_images(maps):
    frame = maps(11, 12, 13)
    one, other = frame[:2].to_xarray(), frame[1:].to_xarray()
    difference = one.stat_map - other.stat_map
    assert difference.image.values.tolist() == [12]
    assert np.nanmax(abs(difference)) == 0


def test_an_image_is_selected_by_its_id(maps):
    ds = maps(11, 12, 13).to_xarray()
    assert ds.image.dtype == np.int64
    np.testing.assert_array_equal(ds.stat_map.sel(image=12), ds.stat_map[1])
    assert ds.sel(image=[13, 11])["id"].values.tolist() == [13, 11]


@pytest.mark.parametrize("ids", [("sub-1", "sub-2"), (1, "sub-2"), ("9" * 30 + "1", "2")], ids=str)
def test_ids_that_are_not_all_integers_are_text(maps, ids):
    ds = maps(*ids).to_xarray()
    assert ds.image.values.tolist() == [str(id_) for id_ in ids]
    np.testing.assert_array_equal(ds.stat_map.sel(image=str(ids[1])), ds.stat_map[1])


@pytest.mark.parametrize("open_with", [xr.open_zarr, lambda url: xr.open_dataset(url, engine="nvframe")])
def test_a_zarr_that_grows_keeps_the_index(maps, tmp_path, open_with):
    frame = maps(11, 12, 13)
    url = frame[:1].to_zarr(tmp_path / "maps.zarr")
    frame.to_zarr(url)
    ds = open_with(url)
    assert ds.image.values.tolist() == [11, 12, 13]
    np.testing.assert_array_equal(ds.stat_map.sel(image=13), frame.to_xarray().stat_map[2])


def test_an_id_that_stands_twice_is_an_error_instead_of_a_wrong_pair(maps):
    ds = maps(11, 12).to_xarray()
    twice = xr.concat([ds.stat_map, ds.stat_map[:1]], "image")
    with pytest.raises(ValueError, match="duplicate"):
        twice - ds.stat_map

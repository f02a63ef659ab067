import json
import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr

import nvframe
from nvframe.errors import StorageError


@pytest.fixture(params=["maps", "voxels"])
def layout(request):
    return request.param


@pytest.fixture
def url(stored, brain, tmp_path, layout):
    rows = [
        {
            "age": None if i == 1 else i,
            "note": [i],
            "valid": bool(i),
            "modify_date": f"2026-11-{i + 1:02}T10:00:00Z",
        }
        for i in range(18)
    ]
    rows[3]["modify_date"] = None
    frame = stored(*(brain(seed) for seed in range(18)), metadata=rows)
    mask = {}
    if layout == "voxels":
        mask["mask_img"] = nvframe.to_nifti(abs(frame.to_xarray().stat_map[0]) > 2)
    return frame.to_zarr(tmp_path / "cube.zarr", layout=layout, **mask)


def opened(url, **options):
    return xr.open_dataset(url, engine="nvframe", **options)


def same(one, other):
    xr.testing.assert_identical(one, other)
    assert {name: v.dtype for name, v in one.variables.items()} == {
        name: v.dtype for name, v in other.variables.items()
    }
    assert {name: type(i) for name, i in one.xindexes.items()} == {
        name: type(i) for name, i in other.xindexes.items()
    }


def test_it_is_the_dataset_that_xarray_opens(url):
    plain = xr.open_zarr(url, chunks=None)
    same(opened(url), plain)
    same(opened(url).load(), plain.load())
    assert set(opened(url).data_vars) == {"stat_map"}
    assert opened(url).nvframe is not None


def test_chunks_are_those_of_the_zarr(url):
    assert opened(url, chunks={}).stat_map.chunks == xr.open_zarr(url).stat_map.chunks
    np.testing.assert_array_equal(opened(url, chunks={}).stat_map, xr.open_zarr(url).stat_map)


@pytest.mark.parametrize(
    "part",
    [
        {"image": 2},
        {"image": -1},
        {"image": [17, 0, 16, 17]},
        {"image": slice(None, None, -3)},
        {"image": slice(4, 1)},
        {"image": np.arange(18) % 2 == 0},
        {"image": xr.DataArray([[0, 1], [17, 2]], dims=("a", "b"))},
        {-1: 3},
        {-1: slice(1, 6)},
        {"image": 17, -1: 0},
        {"image": [16, 1], -1: [2, 0]},
        {"image": slice(2, 18, 4), -1: slice(None, None, -1)},
    ],
    ids=str,
)
def test_a_part_is_that_part(url, part):
    plain = xr.open_zarr(url, chunks=None)
    part = {plain.stat_map.dims[-1] if dim == -1 else dim: index for dim, index in part.items()}
    same(opened(url).isel(part).load(), plain.isel(part).load())


def test_it_travels(url):
    xr.testing.assert_identical(pickle.loads(pickle.dumps(opened(url))), opened(url))


def test_some_variables_are_left_out(url):
    assert "age" not in opened(url, drop_variables=["age", "nothing"]).variables


def test_what_is_for_files_is_refused(url):
    with pytest.raises(ValueError, match="are for directories of files"):
        opened(url, role="original")


def test_no_password_is_kept(url):
    fsspec.filesystem("memory").put(url, "/me:s3cr3t@host/cube.zarr", recursive=True)
    ds = opened("memory://me:s3cr3t@host/cube.zarr")
    assert ds.encoding["source"] == "memory://host/cube.zarr"
    assert b"s3cr3t" not in pickle.dumps(ds)


def test_another_zarr_is_left_to_xarray(tmp_path):
    other = xr.Dataset({"wait": ("n", np.array([1, 2], "m8[s]")), "n": [3, 4]}, attrs={"made": "elsewhere"})
    other.to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    same(
        opened(tmp_path / "other.zarr"),
        xr.open_zarr(tmp_path / "other.zarr", chunks=None, consolidated=False),
    )


def test_one_that_was_never_finished_opens_too(url, tmp_path):
    place = tmp_path / "cube.zarr" / "zarr.json"
    document = json.loads(place.read_text())
    del document["consolidated_metadata"]
    place.write_text(json.dumps(document))
    same(opened(url), xr.open_zarr(url, chunks=None, consolidated=False))


def test_what_is_no_zarr_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no Zarr of format 3 found at .*nothing\.zarr"):
        opened(tmp_path / "nothing.zarr")


def test_an_older_zarr_is_not_said_to_be_none(tmp_path):
    xr.Dataset({"n": [3, 4]}).to_zarr(tmp_path / "old.zarr", zarr_format=2)
    with pytest.raises(
        FileNotFoundError, match=r"format 3 .*old\.zarr; open one of format 2 with xarray\.open_zarr"
    ):
        opened(tmp_path / "old.zarr")


@pytest.mark.parametrize("document", ["{", "null", "[]", "\xff"])
def test_a_damaged_document_is_said_to_be_one(tmp_path, document):
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text(document, encoding="latin-1")
    with pytest.raises(StorageError, match=r"cannot look into .*damaged\.zarr"):
        opened(tmp_path / "damaged.zarr")


def _with_entry(url, **changes):
    place = Path(url) / "zarr.json"
    document = json.loads(place.read_text())
    document["consolidated_metadata"]["metadata"]["age"] |= changes
    place.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "changes",
    [
        {"zarr_format": 2, "filters": [{"id": "pickle"}]},
        {"codecs": [{"name": "pickle"}]},
        {"codecs": [{"name": "numcodecs.pickle", "configuration": {"protocol": 5}}]},
        {
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {"chunk_shape": [1], "codecs": [{"name": "pickle"}]},
                }
            ]
        },
    ],
    ids=["format 2", "codec", "numcodecs", "in a shard"],
)
def test_a_document_that_may_run_code_is_refused(url, changes):
    _with_entry(url, **changes)
    with pytest.raises(StorageError, match=r"tampered|may run code"):
        opened(url)

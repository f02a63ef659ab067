"""A Zarr in a bucket: written from files and from the bucket itself, by threads and by processes."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import s3fs
import xarray as xr

import nvframe
from nvframe.errors import StorageError
from nvframe.storage.target import Target
from nvframe.testing import NeuroVaultServer

LAB = {"profile": "lab"}


@pytest.fixture
def server(serve):
    return serve(NeuroVaultServer.synthetic(2, 9, grids=("RAS-8mm",), specials=False))


@pytest.fixture
def frame(server, data_dir):
    return nvframe.fetch(image_terms={}, max_images=None)


def keys(client):
    return {each["Key"]: each["LastModified"] for each in client.list_objects_v2(Bucket="lab")["Contents"]}


def test_it_grows_in_a_bucket(server, data_dir, make_bucket):
    client = make_bucket("lab")
    frame = nvframe.fetch(image_terms={}, max_images=None, annotators=["neurosynth-words"])
    url = frame[:16].to_zarr("s3://lab/cube.zarr", storage_options=LAB)
    first = {key: when for key, when in keys(client).items() if "/stat_map/c/0/" in key}
    assert len(first) == 1
    with nvframe.set_options(storage_options=LAB):
        frame.to_zarr(url)
    assert first.items() <= keys(client).items()
    with nvframe.set_options(storage_options=LAB):
        opened = xr.open_zarr(url, chunks=None, storage_options=LAB)
    expected = frame.to_xarray()
    np.testing.assert_array_equal(opened.stat_map, expected.stat_map)
    np.testing.assert_array_equal(
        opened.word_frequencies[:, np.argsort(opened.word.values)], expected.word_frequencies
    )
    assert (opened.status == 1).all()
    assert [key for key in keys(client) if "_next" in key] == []


def read_by(requests):
    """Return the keys that were asked for, and how: a HEAD before a GET would be one request too many."""
    return {tuple(each.partition("?")[0].split(" ")) for each in requests}


# Indexes are made of the axes and of the ids, and xarray looks at the ends of dates to choose their type.
_COLUMNS_READ = ("zarr.json", "image/c/0", "add_date/c/0", "modify_date/c/0")


def test_opening_a_zarr_of_rows_reads_its_document_and_dates(frame, make_bucket, traffic):
    make_bucket("lab")
    mask = nvframe.to_nifti(abs(frame.to_xarray().stat_map[0]) > 0)
    frame[:4].to_zarr("s3://lab/rows.zarr", layout="voxels", mask_img=mask, storage_options=LAB)
    traffic()
    ds = xr.open_dataset("s3://lab/rows.zarr", engine="nvframe", storage_options=LAB)
    assert read_by(traffic()) == {("GET", f"/lab/rows.zarr/{key}") for key in _COLUMNS_READ}
    xr.testing.assert_identical(ds, xr.open_zarr("s3://lab/rows.zarr", chunks=None, storage_options=LAB))


def test_opening_a_zarr_of_maps_also_reads_its_axes(frame, make_bucket, traffic):
    make_bucket("lab")
    frame[:4].to_zarr("s3://lab/maps.zarr", storage_options=LAB)
    traffic()
    xr.open_dataset("s3://lab/maps.zarr", engine="nvframe", storage_options=LAB)
    keys = (*_COLUMNS_READ, "x/c/0", "y/c/0", "z/c/0")
    assert read_by(traffic()) == {("GET", f"/lab/maps.zarr/{key}") for key in keys}


def test_processes_bring_a_bucket_into_another_form(server, make_bucket, data_dir):
    make_bucket("lab")
    remote = nvframe.fetch(
        image_terms={},
        max_images=4,
        processors=["resample-3mm"],
        data_dir="s3://lab/maps",
        storage_options=LAB,
    )
    # s3fs's connections do not survive a fork
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        remote.to_zarr("s3://lab/cube.zarr", storage_options=LAB, executor=pool)
    opened = xr.open_zarr("s3://lab/cube.zarr", chunks=None, storage_options=LAB)
    np.testing.assert_array_equal(opened.stat_map, remote.to_xarray().stat_map)


def test_no_secret_travels_or_is_told(frame, make_bucket, guarded, data_dir):
    make_bucket("lab")
    secrets = {"key": "AKIAtest", "secret": "s3cr3t-s3cr3t", "profile": None}
    target = Target("s3://lab/cube.zarr", {**secrets, "anon": False})
    travelled = pickle.dumps(target)
    assert b"s3cr3t" not in travelled
    assert b"AKIA" not in travelled
    assert pickle.loads(travelled).storage_options == {"anon": False, "profile": None}
    assert "s3cr3t" not in repr(target)
    with pytest.raises(StorageError, match=r"cannot look into s3://nowhere") as caught:
        frame[:2].to_zarr(
            "s3://nowhere/cube.zarr", storage_options=dict(LAB, endpoint_url="http://me:s3cr3t@127.0.0.1:9")
        )
    assert "s3cr3t" not in str(caught.value)
    own = guarded()
    frame[:2].to_zarr("s3://lab/cube.zarr", storage_options=own)
    stored = s3fs.S3FileSystem(**own)
    for path in stored.find("lab/cube.zarr"):
        assert own["secret"].encode() not in stored.cat_file(path)

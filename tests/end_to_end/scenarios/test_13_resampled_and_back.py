"""Scenario 13: originals, then resampled maps, and the reverse."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nvframe import fetch_neurovault, fetch_neurovault_ids
from nvframe.neurovault import STD_AFFINE


def voxels(path):
    return nib.load(path).get_fdata()


def test_resampling_what_is_stored_downloads_nothing(nvframe_server, data_dir, downloads):
    originals = fetch_neurovault(max_images=4)
    nvframe_server.clear()
    resampled = fetch_neurovault(max_images=4, resample=True)
    assert downloads(nvframe_server) == []
    assert [Path(path).name for path in resampled.images] == [
        f"image_{meta['id']}_resampled.nii.gz" for meta in originals.images_meta
    ]
    for path in resampled.images:
        np.testing.assert_array_equal(nib.load(path).affine, STD_AFFINE)
    assert all(Path(path).is_file() for path in originals.images)


def test_the_original_of_a_resampled_map_is_one_download(nvframe_server, data_dir, downloads):
    fetch_neurovault_ids(image_ids=[1001], resample=True)
    assert [path.name for path in data_dir.rglob("*.nii.gz")] == ["image_1001_resampled.nii.gz"]
    nvframe_server.clear()
    original = fetch_neurovault_ids(image_ids=[1001])
    assert len(downloads(nvframe_server)) == 1
    assert voxels(original.images[0]).shape == (24, 28, 24)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_linear_and_nearest_never_overshoot(nvframe_server, data_dir, interpolation):
    originals = fetch_neurovault(max_images=4)
    resampled = fetch_neurovault(max_images=4, resample=True, interpolation=interpolation)
    for original, path in zip(originals.images, resampled.images, strict=True):
        before, after = voxels(original), voxels(path)
        assert before.min() <= after.min() <= after.max() <= before.max()


def test_each_interpolation_is_its_own(nvframe_server, data_dir):
    maps = {
        kind: voxels(fetch_neurovault(max_images=1, resample=True, interpolation=kind).images[0])
        for kind in ("continuous", "linear", "nearest", "continuous")
    }
    assert not np.array_equal(maps["continuous"], maps["linear"])
    assert not np.array_equal(maps["linear"], maps["nearest"])
    original = voxels(fetch_neurovault(max_images=1).images[0])
    assert np.isin(maps["nearest"], [0, *np.unique(original)]).all()


def test_a_replaced_original_gives_a_new_resampled_map(edited, data_dir):
    edited()
    fetch_neurovault_ids(image_ids=[1001])
    old = voxels(fetch_neurovault_ids(image_ids=[1001], resample=True).images[0])

    edited(scale={1001: 2.0})
    fetch_neurovault_ids(image_ids=[1001], mode="overwrite")
    new = voxels(fetch_neurovault_ids(image_ids=[1001], resample=True).images[0])
    np.testing.assert_allclose(new, 2 * old, atol=1e-4)


def test_overwriting_the_resampled_map_leaves_no_old_original_behind(edited, data_dir):
    edited()
    old = voxels(fetch_neurovault_ids(image_ids=[1001]).images[0])

    edited(scale={1001: 2.0})
    fresh = voxels(fetch_neurovault_ids(image_ids=[1001], mode="overwrite", resample=True).images[0])
    again = voxels(fetch_neurovault_ids(image_ids=[1001], resample=True).images[0])
    np.testing.assert_array_equal(again, fresh)
    np.testing.assert_allclose(voxels(fetch_neurovault_ids(image_ids=[1001]).images[0]), 2 * old, rtol=1e-5)

"""Scenario 1: one map by its id."""

import nibabel as nib

from nvframe import fetch_neurovault_ids


def test_one_map_by_id(nvframe_server, data_dir):
    maps = fetch_neurovault_ids(image_ids=(1006,))
    (path,), (meta,), (collection,) = maps.images, maps.images_meta, maps.collections_meta

    assert isinstance(path, str)
    assert path == str(data_dir / "neurovault" / "collection_2" / "image_1006.nii.gz")
    assert nib.load(path).get_fdata().any()
    assert meta["id"] == 1006
    assert meta["collection_id"] == collection["id"] == 2
    assert meta["absolute_path"] == path
    assert maps.failures == []

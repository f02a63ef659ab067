"""Scenario 10: fetch one collection again because its owner replaced some maps."""

import nibabel as nib
import numpy as np

from nvframe import fetch_neurovault


def peak(path):
    return np.abs(nib.load(path).get_fdata()).max()


def test_overwrite_one_collection(edited, data_dir, downloads):
    edited()
    before = fetch_neurovault(max_images=None)
    strengths = {meta["id"]: peak(path) for path, meta in zip(before.images, before.images_meta, strict=True)}

    server = edited(scale={1006: 3.0})
    maps = fetch_neurovault(
        mode="overwrite", collection_id=2, map_type="T map", modality="fMRI-BOLD", max_images=None
    )

    assert {meta["collection_id"] for meta in maps.images_meta} == {2}
    assert {meta["map_type"] for meta in maps.images_meta} == {"T map"}
    asked = {request.path for request in server.requests}
    assert not any(f"/{other}/" in path for path in asked for other in (1, 3))
    assert "/api/collections/" not in asked
    assert len(downloads(server)) == len(maps.images)
    for path, meta in zip(maps.images, maps.images_meta, strict=True):
        factor = 3.0 if meta["id"] == 1006 else 1.0
        np.testing.assert_allclose(peak(path), factor * strengths[meta["id"]], rtol=1e-5)

    everything = fetch_neurovault(max_images=None, mode="offline")
    assert len(everything.images) == len(before.images)

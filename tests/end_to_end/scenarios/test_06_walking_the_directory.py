"""Scenario 6: scripts that never look at what the call returns."""

import json

import nibabel as nib

from nvframe import fetch_neurovault


def test_walking_the_directory(nvframe_server, data_dir):
    fetch_neurovault(max_images=6, data_dir=data_dir)

    root = data_dir / "neurovault"
    found = sorted(root.glob("collection_*/image_*_metadata.json"))
    assert len(found) == 6
    for path in found:
        meta = json.loads(path.read_text())
        assert meta["file"].startswith("http")
        assert nib.load(root / meta["relative_path"]).shape == (24, 28, 24)
        assert not any("absolute" in key for key in meta)
    for path in root.glob("collection_*/collection_metadata.json"):
        assert path.parent == root / json.loads(path.read_text())["relative_path"]


def test_nilearn_reads_the_directory_offline(nvframe_server, data_dir, peer):
    ours = fetch_neurovault(max_images=6, data_dir=data_dir)
    theirs = peer(nvframe_server).fetch_neurovault(max_images=None, data_dir=data_dir, mode="offline")
    assert sorted(theirs.images) == sorted(ours.images)

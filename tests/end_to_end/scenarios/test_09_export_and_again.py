"""Scenario 9: choose by a function, export flat copies, tidy up, and run the same script again."""

import shutil
from pathlib import Path

import pytest

from nvframe import fetch_neurovault


def well_powered(meta):
    return (meta.get("number_of_subjects") or 0) >= 20


def export(target):
    target.mkdir(exist_ok=True)
    with pytest.warns(UserWarning, match=r"default `image_terms` still apply"):
        maps = fetch_neurovault(max_images=4, image_filter=well_powered)
    for path, meta in zip(maps.images, maps.images_meta, strict=True):
        shutil.copy(path, target / f"study-{meta['collection_id']}_{Path(path).name}")
    return maps


def test_export_flat_clean_up_run_again(nvframe_server, data_dir, tmp_path, downloads):
    maps = export(tmp_path / "export")
    assert len(list((tmp_path / "export").iterdir())) == 4
    assert all(meta["number_of_subjects"] >= 20 for meta in maps.images_meta)
    assert len(downloads(nvframe_server)) == 4

    shutil.rmtree(data_dir / "neurovault")
    nvframe_server.clear()
    again = export(tmp_path / "export")
    assert len(downloads(nvframe_server)) == 4
    assert again.images == maps.images
    assert all(Path(path).is_file() for path in again.images)


def test_one_map_deleted_by_hand_comes_back_alone(nvframe_server, data_dir, tmp_path, downloads):
    maps = export(tmp_path / "export")
    Path(maps.images[2]).unlink()
    nvframe_server.clear()
    assert sorted(export(tmp_path / "export").images) == sorted(maps.images)
    assert len(downloads(nvframe_server)) == 1

"""Scenario 14: default terms edited, and only what is newer fetched again."""

import nibabel as nib
import numpy as np

import nvframe
from nvframe import fetch_neurovault
from nvframe.neurovault import (
    GreaterThan,
    NotNull,
    basic_collection_terms,
    basic_image_terms,
)


def test_edited_default_terms(edited, data_dir):
    edited(specials=True)
    terms = basic_image_terms()
    terms.pop("is_thresholded")
    published = {**basic_collection_terms(), "DOI": NotNull()}
    maps = fetch_neurovault(max_images=None, image_terms=terms, collection_terms=published)

    assert {meta["is_thresholded"] for meta in maps.images_meta} == {True, False}
    assert {meta["id"] for meta in maps.collections_meta} == {1, 2}
    assert all(meta["DOI"].startswith("10.") for meta in maps.collections_meta)
    assert "is_thresholded" in basic_image_terms()
    assert "DOI" not in basic_collection_terms()

    plain = fetch_neurovault(max_images=None)
    assert {meta["is_thresholded"] for meta in plain.images_meta} == {False}
    assert {meta["id"] for meta in plain.collections_meta} == {1, 2, 3}


def test_only_newer_maps_are_fetched_again(edited, data_dir, downloads):
    edited()
    first = fetch_neurovault(max_images=None)
    newest = max(meta["modify_date"] for meta in first.images_meta)

    changes = {i: {"modify_date": "2025-02-03T04:05:06+00:00"} for i in (1003, 1010)}
    server = edited(changes, scale={1003: 2.0, 1010: 2.0})
    update = fetch_neurovault(max_images=None, mode="overwrite", modify_date=GreaterThan(newest))

    assert sorted(meta["id"] for meta in update.images_meta) == [1003, 1010]
    assert len(downloads(server)) == 2
    everything = fetch_neurovault(max_images=None)
    assert len(everything.images) == len(first.images)
    assert max(meta["modify_date"] for meta in everything.images_meta) > newest
    assert np.isfinite([nib.load(path).get_fdata().max() for path in everything.images]).all()


def test_update_mode_finds_out_by_itself_what_is_newer(edited, data_dir, downloads):
    edited()
    first = nvframe.fetch(max_images=None)

    server = edited({1003: {"modify_date": "2025-02-03T04:05:06+00:00"}}, scale={1003: 2.0})
    updated = nvframe.fetch(max_images=None, mode="update")
    assert [path.rpartition("_")[2] for path in downloads(server)] == ["1003.nii.gz"]
    assert sorted(updated.images) == sorted(first.images)
    assert len(updated.failures) == 0

"""Scenario 4: all there is, as two tables."""

import pandas as pd

from nvframe import fetch_neurovault


def test_everything_to_two_tables(edited, data_dir, tmp_path):
    edited(specials=True)
    maps = fetch_neurovault(max_images=None, collection_terms={}, image_terms={})

    images = pd.DataFrame(maps.images_meta)
    collections = pd.DataFrame(maps.collections_meta).drop_duplicates("id")
    assert list(collections["id"]) == [1, 2, 3]
    assert len(images) == images["id"].nunique() == 12
    assert set(images["map_type"].dropna()) == {"T map", "Z map", "ROI/mask"}

    # The third collection turned out to be the second one, uploaded again.
    collections = collections[collections["id"] != 3]
    images = images[images["collection_id"].isin(collections["id"])]
    assert len(images) == 8

    table = images.merge(collections, left_on="collection_id", right_on="id", suffixes=("", "_collection"))
    table.to_csv(tmp_path / "images.csv", index=False)
    read = pd.read_csv(tmp_path / "images.csv")
    assert list(read["id"]) == list(images["id"])
    assert set(read["DOI"]) == set(collections["DOI"])
    assert [path for path in read["absolute_path"] if path not in maps.images] == []

"""Scenario 11: every way in which people write how many they want."""

import numpy as np
import pytest

from nvframe import fetch_neurovault

WANTED = {"None": (None, 12), "inf": (np.inf, 12), "-1": (-1, 12), "0": (0, 0), "3": (3, 3), "1e6": (1e6, 12)}


@pytest.mark.parametrize(("max_images", "arrive"), WANTED.values(), ids=WANTED)
def test_max_images(nvframe_server, data_dir, downloads, max_images, arrive):
    maps = fetch_neurovault(max_images=max_images)
    assert len(maps.images) == len(maps.images_meta) == len(maps.collections_meta) == arrive
    assert len(downloads(nvframe_server)) == arrive
    assert len(list(data_dir.rglob("image_*.nii.gz"))) == arrive


def test_a_growing_limit_fetches_only_the_difference(nvframe_server, data_dir, downloads):
    for limit, fresh in ((1, 1), (3, 2), (2, 0), (None, 9)):
        nvframe_server.clear()
        fetch_neurovault(max_images=limit)
        assert len(downloads(nvframe_server)) == fresh

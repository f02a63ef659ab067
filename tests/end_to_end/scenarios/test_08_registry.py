"""Scenario 8: a lab's registry of studies, its ids of whatever type they came in."""

import numpy as np
import pytest

from nvframe import fetch_neurovault, fetch_neurovault_ids

REGISTRY = {"int": 2, "text": "2", "numpy": np.int64(2), "from a column of floats": np.float64(2.0)}


@pytest.mark.parametrize("collection_id", REGISTRY.values(), ids=REGISTRY)
def test_loop_over_studies(nvframe_server, data_dir, collection_id):
    maps = fetch_neurovault_ids([collection_id])
    assert [meta["id"] for meta in maps.images_meta] == [1005, 1006, 1007, 1008]
    assert {meta["id"] for meta in maps.collections_meta} == {2}


@pytest.mark.parametrize("collection_id", REGISTRY.values(), ids=REGISTRY)
def test_an_id_as_a_keyword_may_be_of_any_type_too(nvframe_server, data_dir, collection_id):
    for mode in ("download_new", "download_new", "offline"):
        maps = fetch_neurovault(collection_id=collection_id, mode=mode)
        assert [meta["id"] for meta in maps.images_meta] == [1005, 1006, 1007, 1008]
    listings = [request.path for request in nvframe_server.requests if request.path.endswith("/images/")]
    assert listings == ["/api/collections/2/images/"]


def test_the_second_loop_downloads_nothing(nvframe_server, data_dir, downloads):
    studies = {"motor": 1, "faces": "3", "memory": np.int32(2)}
    first = {name: fetch_neurovault_ids((study,)).images for name, study in studies.items()}
    nvframe_server.clear()
    second = {name: fetch_neurovault_ids((study,)).images for name, study in studies.items()}
    assert second == first
    assert downloads(nvframe_server) == []


def test_several_at_once_come_in_the_order_asked_for(nvframe_server, data_dir):
    for _ in ("cold", "warm"):
        maps = fetch_neurovault_ids(np.array(["3", "1"]), ["1007", 1006])
        ids = [meta["id"] for meta in maps.images_meta]
        assert ids == [1009, 1010, 1011, 1012, 1001, 1002, 1003, 1004, 1007, 1006]

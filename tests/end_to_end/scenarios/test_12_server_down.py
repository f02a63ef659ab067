"""Scenario 12: NeuroVault is down."""

import socket
import time

import pytest

from nvframe import fetch_neurovault, fetch_neurovault_ids
from nvframe.errors import PartialResultWarning


@pytest.fixture
def refused(monkeypatch):
    """Point nvframe at a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
        monkeypatch.setenv("NVFRAME_NEUROVAULT_URL", f"http://{host}:{port}")
        yield f"{host}:{port}"


def test_few_requests_and_the_cause_named(nvframe_server, data_dir, no_pause):
    nvframe_server.faults.add("status", times=None, status=502)
    with pytest.warns(PartialResultWarning, match="502"):
        maps = fetch_neurovault(max_images=100)
    assert maps.images == []
    assert len(maps.failures) == 1
    assert len(nvframe_server.requests) <= 4


def test_many_images_lost_to_one_host_do_not_cost_many_requests(edited, data_dir, no_pause):
    server = edited(n_collections=2, images_per_collection=40)
    server.faults.add("status", "/media/", times=None, status=503)
    with pytest.warns(PartialResultWarning, match="503"):
        maps = fetch_neurovault(max_images=None)
    assert maps.images == []
    assert len(server.requests) < 60  # 80 images, four tries each, would be 320


def test_nobody_answers(refused, data_dir, no_pause):
    started = time.monotonic()
    with pytest.warns(PartialResultWarning, match=f"{refused} cannot be reached"):
        maps = fetch_neurovault(max_images=3, timeout=2)
    assert time.monotonic() - started < 10
    assert maps.images == []


def test_a_warm_cache_is_still_served(nvframe_server, data_dir, no_pause, monkeypatch, request):
    fetched = fetch_neurovault(max_images=3)
    host = request.getfixturevalue("refused")
    with pytest.warns(PartialResultWarning, match=f"{host} cannot be reached"):
        maps = fetch_neurovault(max_images=12)
    assert maps.images == fetched.images

    enough = fetch_neurovault(max_images=3)  # nothing is missing, so nobody is asked and nothing is said
    assert enough.images == fetched.images
    assert enough.failures == []
    ids = [meta["id"] for meta in fetched.images_meta]
    assert fetch_neurovault_ids(image_ids=ids).images == fetched.images

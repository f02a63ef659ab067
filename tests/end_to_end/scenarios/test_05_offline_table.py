"""Scenario 5: a table of what is stored, without a network."""

import socket
from pathlib import Path

import pandas as pd
import pytest

from nvframe import fetch_neurovault
from nvframe.neurovault import GreaterThan


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def test_offline_table(nvframe_server, data_dir, request):
    fetch_neurovault(max_images=None)
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}

    request.getfixturevalue("no_network")
    maps = fetch_neurovault(max_images=None, mode="offline", number_of_subjects=GreaterThan(20))
    table = pd.DataFrame(maps.images_meta).assign(path=maps.images)

    assert 0 < len(table) < 12
    assert (table["number_of_subjects"] > 20).all()
    assert (table["path"] == table["absolute_path"]).all()
    assert all(Path(row.path).name == f"image_{row.id}.nii.gz" for row in table.itertuples())
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before

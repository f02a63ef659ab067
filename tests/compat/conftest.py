"""nilearn and nvframe side by side, against one server."""

import warnings
from dataclasses import dataclass
from typing import Any

import pytest

from nvframe import neurovault
from nvframe.testing import NeuroVaultServer


@dataclass
class Pair:
    """What both sides returned, and what each asked the server."""

    peer: Any
    ours: Any
    peer_requests: list
    our_requests: list
    peer_dir: Any
    our_dir: Any


@pytest.fixture(scope="module")
def server():
    with NeuroVaultServer.synthetic(specials=True) as server:
        yield server


@pytest.fixture
def both(peer, monkeypatch, tmp_path):
    """Return a function that runs one call on both sides, each into a directory of its own."""

    def run(server, name="fetch_neurovault", **kwargs):
        theirs = peer(server)
        for variable, value in server.environ.items():
            monkeypatch.setenv(variable, value)
        dirs = tmp_path / "peer", tmp_path / "ours"
        results, logs = [], []
        for module, directory in zip((theirs, neurovault), dirs, strict=True):
            server.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(getattr(module, name)(data_dir=directory, verbose=0, **kwargs))
            logs.append(list(server.requests))
        return Pair(*results, *logs, *dirs)

    return run

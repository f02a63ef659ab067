"""pytest plugin: fixtures for people who test code that uses nvframe.

It is loaded into every pytest run of everyone who has nvframe installed, so it imports pytest alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nvframe.testing.server import NeuroVaultServer


@pytest.fixture(scope="session")
def _nvframe_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the synthetic corpus of this session once."""
    from nvframe.testing.corpus import synthetic_corpus

    return synthetic_corpus(tmp_path_factory.mktemp("nvframe-corpus"), grids=("RAS-8mm",), specials=False)


@pytest.fixture
def nvframe_server(_nvframe_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NeuroVaultServer]:
    """Serve 3 synthetic collections of 4 maps on loopback, with nvframe pointed at them."""
    from nvframe.testing.server import NeuroVaultServer

    with NeuroVaultServer.from_corpus(_nvframe_corpus) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server

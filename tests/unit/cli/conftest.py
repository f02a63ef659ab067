"""The command line, run in this process."""

import pytest
from click.testing import CliRunner

from nvframe.cli import app
from nvframe.testing import synthetic_corpus


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a command line in an empty directory and returns click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NVFRAME_DATA", str(tmp_path / "stored"))
    monkeypatch.delenv("NVFRAME_DEBUG", raising=False)

    def invoke(*words):
        return CliRunner().invoke(app, [str(word) for word in words], prog_name="nvframe")

    return invoke


@pytest.fixture
def terminal(monkeypatch):
    """Let standard output pass for a terminal."""
    import click.testing

    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda self: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def corpus(tmp_path):
    """Return a small corpus folder."""
    return synthetic_corpus(tmp_path / "corpus", 1, 2, grids=("RAS-8mm",), specials=False)

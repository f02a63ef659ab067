"""Leaves out the tests of plugins that are not installed, and says so."""

from importlib import metadata
from pathlib import Path

import pytest


def _missing() -> list[str]:
    here = Path(__file__).parent
    found = sorted(path.parent.name for path in here.glob("*/pyproject.toml"))
    installed = {dist.name for dist in metadata.distributions()}
    return [name for name in found if name not in installed]


collect_ignore = _missing()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out."""
    if collect_ignore:
        names = ", ".join(collect_ignore)
        terminalreporter.write_line(
            f"not installed, so not tested: {names}; pip install -r plugins/requirements.txt"
        )

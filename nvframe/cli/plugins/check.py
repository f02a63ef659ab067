"""``nvframe plugins check``: the conformance kit on a plugin that is installed."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nvframe.cli import output
from nvframe.cli.exit_codes import FAILED, OK, say
from nvframe.cli.options import verbosity
from nvframe.cli.parsing import KIND_NAMES, kind_of
from nvframe.errors import PluginError

if TYPE_CHECKING:
    from nvframe.plugins import Plugin

EPILOG = """\b
A plugin names its own kit in its descriptor, conformance="package.module:Class". One that names none is checked as
far as that goes without fixtures; what was not checked, and why, is listed as skipped.

\b
Examples:
  nvframe plugins check resample-3mm
  nvframe plugins check lab-words --kind annotator
"""


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--kind", type=click.Choice(KIND_NAMES), help="Where plugins of several kinds share the name.")
@verbosity
def check(name: str, kind: str | None) -> int:
    """Run the conformance kit on the plugin NAME; exit code 1 where a check fails. Needs pytest."""
    plugin = _found(name, kind)
    try:
        import pytest
    except ImportError as error:
        raise PluginError("the conformance kit needs pytest: pip install pytest") from error
    from nvframe.testing.conformance.installed import kit_of

    kit_of(plugin.kind, plugin.name)  # raises where the descriptor names no kit
    seen = _Outcomes()
    with tempfile.TemporaryDirectory(prefix="nvframe-check-") as place:
        code, told = _run(pytest, plugin, Path(place), seen)
    if code not in (0, 1) or not seen.rows:
        raise PluginError(f"the kit of {plugin.kind} {name!r} did not run: {told.strip()[-500:]}")
    output.print_rows(
        ("outcome", "check", "reason"), [[output.cell(cell) for cell in row] for row in seen.rows]
    )
    counts = {state: sum(row[0] == state for row in seen.rows) for state in ("passed", "failed", "skipped")}
    say(f"{plugin.kind} {name}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    return FAILED if code else OK


def _found(name: str, kind: str | None) -> Plugin:
    """Return the plugin of that name, of whatever kind."""
    from nvframe.plugins import KINDS
    from nvframe.plugins.registry import default_registry

    registry = default_registry()
    if kind is not None:
        return registry.get(kind_of(kind), name).plugin
    found = [each for each in KINDS if name in registry.names(each)]
    if not found:
        known = ", ".join(sorted({each for one in KINDS for each in registry.names(one)}))
        raise PluginError(f"no plugin is called {name!r}; there are {known}")
    if len(found) > 1:
        raise PluginError(f"{name!r} is {' and '.join(each.kind for each in found)}: say which with --kind")
    return registry.get(found[0], name).plugin


def _run(pytest: Any, plugin: Plugin, place: Path, seen: _Outcomes) -> tuple[int, str]:
    """Run the kit in a directory of its own, where no configuration of the user's applies; return what was told."""
    (place / "pytest.ini").write_text("[pytest]\nxfail_strict = true\n")
    (place / f"test_{place.name.replace('-', '_')}.py").write_text(  # a name that no other run had
        "from nvframe.testing.conformance.installed import kit_of\n\n"
        f"TestKit = kit_of({plugin.kind!r}, {plugin.name!r})\n"
    )
    told = io.StringIO()
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(place / "pytest.ini"),
        f"--rootdir={place}",
        str(place),
    ]
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = int(pytest.main(options, plugins=[seen]))
    return code, told.getvalue()


class _Outcomes:
    """Notes the outcome of each check, as a pytest plugin."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a report that decides about a check."""
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.rpartition("::")[2].removeprefix("test_")
            self.rows.append((report.outcome, name, _reason(report)))


def _reason(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr or "")
    return text.partition("\nassert ")[0].removeprefix("AssertionError: ").removeprefix("Failed: ")

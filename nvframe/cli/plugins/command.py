"""``nvframe plugins``: what can be selected by name."""

from __future__ import annotations

from dataclasses import asdict

import click

from nvframe.cli import output
from nvframe.cli.options import verbosity
from nvframe.cli.plugins.check import check
from nvframe.cli.plugins.new import new

HEADER = ("kind", "name", "distribution", "version", "state", "summary")

EPILOG = """\b
States: ok; shadowed by a built-in of the same name; conflict between two distributions; broken, with the
reason as its summary; disabled by NVFRAME_DISABLE_PLUGINS=name,... (or * for all installed ones).

\b
Examples:
  nvframe plugins
  nvframe plugins | awk -F'\\t' '$1 == "processor"'
  nvframe plugins --json
  nvframe plugins check resample-3mm
  nvframe plugins new lab-words --kind annotator
"""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@verbosity
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> int:
    """List every plugin, built-in and installed, usable or not; check one, or begin one."""
    if context.invoked_subcommand is not None:
        return 0
    from nvframe.plugins.registry import default_registry

    rows = [asdict(row) for row in default_registry().listing()]
    if as_json:
        output.print_json(rows)
    else:
        output.print_rows(HEADER, [[output.cell(row[name]) for name in HEADER] for row in rows])
    return 0


plugins.add_command(check)
plugins.add_command(new)

"""The command line. Modules here import nothing heavy until a command runs: ``nvframe --help`` is instant."""

from __future__ import annotations

import click

from nvframe import __version__
from nvframe.cli.demo.command import demo
from nvframe.cli.exit_codes import Group
from nvframe.cli.fetch import fetch
from nvframe.cli.mirror import mirror
from nvframe.cli.options import verbosity
from nvframe.cli.plugins.command import plugins
from nvframe.cli.search import search
from nvframe.cli.stage import stage

EPILOG = """\b
Examples:
  nvframe demo                                        the whole way, on made-up maps
  nvframe search --where "map_type=T map"             what NeuroVault has
  nvframe fetch --collection-id 658 --data-dir maps   images of one collection, to ./maps
  nvframe fetch --max-images 20 --resample --words    on one 3 mm grid, with Neurosynth's words
  nvframe stage neurovault s3://lab/maps --resample   as files and one array, for colleagues
  nvframe mirror maps --port 8000                     serve what is stored to colleagues

\b
Exit codes:
  0    all good
  1    the call failed
  2    the command line was not understood
  3    finished, but some images or annotations were lost: standard error names them
  130  interrupted; what is stored is kept

\b
Environment:
  NVFRAME_DATA                            where datasets are stored
  NVFRAME_NEUROVAULT_URL                  a mirror in place of https://neurovault.org
  NVFRAME_NEUROSYNTH_URL                  the same for https://neurosynth.org
  NVFRAME_DEBUG=1                         errors come with their traceback
"""


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "--version", prog_name="nvframe")
@verbosity
@click.pass_context
def app(context: click.Context) -> int:
    """Find brain images in a repository, fetch them, and turn them into arrays."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    return 0


for _command in (search, fetch, stage, mirror, plugins, demo):
    app.add_command(_command)


def main() -> None:
    """Run the command line of this process and exit."""
    app.main(prog_name="nvframe")

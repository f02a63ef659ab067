"""``nvframe mirror``: serve what is stored, in place of neurovault.org."""

from __future__ import annotations

from pathlib import Path

import click

from nvframe.cli.options import verbosity

EPILOG = """\b
Examples:
  nvframe fetch --max-images 50 --words --data-dir maps
  nvframe mirror maps --port 8000
  nvframe mirror s3://bucket/prefix/neurovault
There are no passwords: --host 0.0.0.0 lets every machine of the network in.
"""


@click.command(epilog=EPILOG)
@click.argument("directory", metavar="DIR")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any that is free."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@verbosity
def mirror(directory: str, port: int, host: str) -> int:
    """Serve DIR over NeuroVault's API until interrupted.

    DIR is a dataset directory, the data directory that holds it, or a corpus folder.
    """
    from nvframe.mirror import load, serve

    place = _dataset_in(directory)
    catalogue = load(place)
    images, _ = catalogue.page("images", None, limit=0, offset=0) or (0, [])

    def announce(url: str) -> None:
        click.echo(f"serving {images} images of {place} at {url}")
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            click.echo("on other machines, write this machine's name in place of that address")
        click.echo("point nvframe at it with")
        click.echo(f"  export NVFRAME_NEUROVAULT_URL={url} NVFRAME_NEUROSYNTH_URL={url}")
        click.echo("stop it with Ctrl-C")

    serve(catalogue, host, port, on_start=announce)
    click.echo("stopped")
    return 0


def _dataset_in(directory: str) -> str:
    """Return the dataset directory inside a data directory; anything else as it is."""
    if "://" in directory:
        return directory
    path = Path(directory)
    if not path.is_dir():
        raise NotADirectoryError(
            0, "no such directory: name a dataset directory, a data directory or a corpus", directory
        )
    inner = path / "neurovault"
    return str(inner if inner.is_dir() else path)

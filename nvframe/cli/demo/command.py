"""``nvframe demo``: the whole way once, from a server to an array and a picture."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nvframe.cli import output
from nvframe.cli.exit_codes import FAILED, say
from nvframe.cli.options import verbosity

if TYPE_CHECKING:
    from nvframe.cli.demo.peaks import MapSummary
    from nvframe.frame import Frame

MOST_LIVE, MOST_SYNTHETIC = 6, 9
SEED = 4  # of those tried, one where the strongest blobs are the well-known ones
_HEADER = ("id", "name", "map type", "collection", "top words", "peak", "x, y, z (mm)")
_COORDS = ("id", "collection_id", "map_type", "x", "y", "z", "word")
_LABEL = f"""\
Everything below this directory is synthetic: made by nvframe.testing with seed {SEED}.
Blobs stand where each task is known to show; nothing was measured, nobody was scanned.
"""

EPILOG = """\b
Examples:
  nvframe demo
  nvframe demo --dir elsewhere --n 3
  nvframe demo --live

A second run reuses the corpus and the images that are there.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--dir",
    "directory",
    default="nvframe-demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything goes.",
)
@click.option("--live", is_flag=True, help=f"Ask neurovault.org instead: real maps, at most {MOST_LIVE}.")
@click.option(
    "--n",
    "n_maps",
    type=click.IntRange(1, MOST_SYNTHETIC),
    default=6,
    show_default=True,
    help="How many maps.",
)
@verbosity
def demo(directory: Path, live: bool, n_maps: int) -> int:
    """Fetch a few maps, open them as one array, and draw them.

    The maps are synthetic and come from a server on this machine, so no network is needed.
    """
    from nvframe.cli.demo import picture

    picture.check_matplotlib()
    directory.mkdir(parents=True, exist_ok=True)
    if live:
        return _show_all(_fetch(directory / "live", min(n_maps, MOST_LIVE)), directory / "live", live=True)
    corpus, fresh = _corpus(directory / "corpus")
    from nvframe.testing import NeuroVaultServer

    with NeuroVaultServer.from_corpus(corpus) as server, _environment({**server.environ, **_no_proxy()}):
        _step(f"mirror     serving it as NeuroVault would, at {server.url}")
        frame = _fetch(directory / "data", n_maps, mode="overwrite" if fresh else "download_new")
        _tell_left_out()
    return _show_all(frame, directory / "data", live=False)


def _step(text: str) -> None:
    click.echo(text)


def _corpus(directory: Path) -> tuple[Path, bool]:
    """Build the synthetic corpus, unless a finished one is there: its label is written last.

    Returns where it is and whether it was built just now, so that images of an older one are not trusted.
    """
    from nvframe.testing import synthetic_corpus

    label = directory / "SYNTHETIC.txt"
    if label.is_file() and label.read_text(encoding="utf-8") == _LABEL:
        _step(f"corpus     reused, in {directory}: synthetic maps, nothing measured")
        return directory, False
    synthetic_corpus(directory, n_collections=3, images_per_collection=4, seed=SEED)
    label.write_text(_LABEL, encoding="utf-8")
    _step(f"corpus     built, in {directory}: 12 synthetic images in 3 collections, nothing measured")
    return directory, True


def _no_proxy() -> dict[str, str]:
    """Return variables that keep requests to this machine away from a proxy."""
    hosts = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "", "127.0.0.1"]
    value = ",".join(filter(None, hosts))
    return {"no_proxy": value, "NO_PROXY": value}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _fetch(data_dir: Path, n_maps: int, mode: str = "download_new") -> Frame:
    import nvframe

    frame = nvframe.fetch(
        max_images=n_maps,
        mode=mode,
        data_dir=data_dir,
        processors=["resample-3mm"],
        annotators=["neurosynth-words"],
        on_error="ignore",
        progress=True,
    )
    report = frame.report
    if len(frame):
        kept = (
            f"{report.found_local} of {report.images} images reused"
            if report.found_local
            else "none was there before"
        )
        _step(
            f"fetch      {report.images} maps on one 3 mm grid, with words; {kept}; "
            f"{report.nbytes / 1e6:.1f} MB downloaded in {report.seconds:.1f} s"
        )
    return frame


def _tell_left_out() -> None:
    """Say what the default terms keep away."""
    import nvframe

    everything = nvframe.search(image_terms={}, collection_terms={}, max_images=None)
    wanted = {meta["id"] for meta in nvframe.search(max_images=None).images_meta}
    left_out = [
        f"{meta['id']} ({'an atlas' if meta.get('image_type') == 'atlas' else _why(meta)})"
        for meta in everything.images_meta
        if meta["id"] not in wanted
    ]
    _step(
        f"filter     default terms leave out {', '.join(left_out)}: {len(wanted)} of {len(everything)} images remain"
    )


def _why(meta: Mapping[str, Any]) -> str:
    return "a region of interest" if meta.get("map_type") == "ROI/mask" else "a thresholded map"


def _show_all(frame: Frame, data_dir: Path, *, live: bool) -> int:
    """Print the table and the Dataset, write the picture and the table, say what comes next."""
    from nvframe.cli.demo import peaks, picture

    if not len(frame):
        say(f"error: {_nothing(frame, live)}")
        return FAILED
    dataset = frame.to_xarray(on_mismatch="drop")
    rows = peaks.summaries(frame, dataset)
    output.print_table(_HEADER, [_cells(row) for row in rows])
    _print_dataset(dataset)
    place = data_dir if live else data_dir.parent
    png, csv = place / "maps.png", place / "maps.csv"
    note = "Maps from NeuroVault." if live else "Synthetic maps: nothing was measured."
    picture.draw(dataset, rows, png, note)
    peaks.write_csv(rows, csv)
    _tell_where(frame, png, csv, live)
    return output.exit_code(frame)


def _nothing(frame: Frame, live: bool) -> str:
    why = frame.failures[0].message if frame.failures else "no image passed the default terms"
    advice = " (check the network, or run `nvframe demo` without --live: it needs none)" if live else ""
    return f"no map came back: {why}{advice}"


def _cells(row: MapSummary) -> Sequence[str]:
    from nvframe.cli.demo.panels import millimetres
    from nvframe.cli.demo.picture import statistic

    words = ", ".join(row.words) or "-"
    at = ", ".join(map(millimetres, row.position))
    cells = (
        row.id,
        row.name,
        row.map_type,
        row.collection_name or row.collection_id,
        words,
        statistic(row.value),
        at,
    )
    return [output.cell(text) for text in cells]


def _print_dataset(dataset: Any) -> None:
    """Print the Dataset with its main coordinates only."""
    extra = [name for name in dataset.coords if name not in _COORDS]
    click.echo(repr(dataset.drop_vars(extra)))
    click.echo(f"    and {len(extra)} more coordinates on image: every field that the maps' metadata has\n")


def _tell_where(frame: Frame, png: Path, csv: Path, live: bool) -> None:
    root, command = frame.storage.url, _shown(Path(sys.argv[0]))
    served = csv.parent if live else csv.parent / "corpus"
    click.echo(f"picture    {png}")
    click.echo(f"table      {csv}")
    click.echo(f"images     {root}")
    click.echo("\nNext:")
    code = f'import xarray; print(xarray.open_dataset("{root}", engine="nvframe"))'
    click.echo(f"  {_shown(Path(sys.executable))} -c '{code}'")
    click.echo(f"  {command} mirror {served} --port 8000")
    click.echo(f"  {command} fetch --max-images 20 --resample --words --data-dir maps")
    if not live:
        click.echo(f"  {command} demo --live")


def _shown(program: Path) -> str:
    """Return how to call a program from here: by name where the shell finds it, else by its path."""
    if program.name not in ("nvframe", "nvframe.exe") and not program.name.startswith("python"):
        return "nvframe"
    found = shutil.which(program.name)
    if found and Path(found).parent.resolve() == program.parent.resolve():
        return program.name
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)

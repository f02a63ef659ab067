"""``nvframe fetch``: bring images into storage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nvframe.cli import output
from nvframe.cli.exit_codes import say
from nvframe.cli.options import fetched, selection, work

if TYPE_CHECKING:
    from nvframe.frame import Frame

EPILOG = """\b
Conditions are those of `nvframe search`.

\b
Examples:
  nvframe fetch --max-images 20 --data-dir maps
  nvframe fetch --where "map_type=T map" --resample --words --to-csv maps.csv
  nvframe fetch --collection-id 658 --processor resample:target=MNI152NLin6Asym-2mm --processor smooth:fwhm=6
  nvframe fetch --image-id 10426 --json
  nvframe fetch --data-dir s3://bucket/prefix --storage-option profile=lab

\b
Run the same command again to complete a fetch that was cut short: what is stored is not fetched again.
"""


@click.command(epilog=EPILOG, short_help="Fetch images and store them.")
@selection
@work
@click.option(
    "--to-csv", type=click.Path(dir_okay=False, path_type=Path), help="Write a table of the images."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: report, images, failures.")
def fetch(to_csv: Path | None, as_json: bool, **options: Any) -> int:
    """Fetch the images of SOURCE that meet all conditions, and store them."""
    frame = fetched(**options)
    if to_csv is not None:
        frame.to_pandas().to_csv(to_csv)
    if as_json:
        output.print_json(_document(frame))
    else:
        _summarise(frame, to_csv)
    return output.exit_code(frame)


def _document(frame: Frame) -> dict[str, Any]:
    from dataclasses import asdict

    images = [{**meta, "path": path} for meta, path in zip(frame.images_meta, frame.images, strict=True)]
    failures = output.failures_json(frame.failures)
    return {
        "report": asdict(frame.report),
        "stored_in": frame.storage.url,
        "images": images,
        "failures": failures,
    }


def _summarise(frame: Frame, to_csv: Path | None) -> None:
    report = frame.report
    if not len(frame):
        output.say_if_none(frame)
        return
    megabytes = f"{report.nbytes / 1e6:.1f} MB over the network" if report.nbytes else "nothing downloaded"
    n_lost = len(output.lost_images(frame))
    lost = f", {n_lost} lost" if n_lost else ""
    stored = f"{report.found_local} were stored already" if report.found_local else "none was stored before"
    click.echo(f"{report.images} images{lost}: {stored}, {megabytes}, {report.seconds:.1f} s")
    if report.stopped_early:
        say(f"warning: stopped early: {report.stopped_early}")
    click.echo(f"files: {frame.storage.url}")
    for name, values in frame.annotations.items():
        click.echo(f"{name}: {sum(value is not None for value in values)} of {len(values)} images")
    if to_csv is not None:
        click.echo(f"table: {to_csv}")
    click.echo(f'open:  xarray.open_dataset("{frame.storage.url}", engine="nvframe")')

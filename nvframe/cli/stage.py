"""``nvframe stage``: put a dataset where others open it: its files, one array of all maps, and a manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nvframe.cli import output
from nvframe.cli.exit_codes import PARTIAL, say
from nvframe.cli.options import conditions, fetched, work
from nvframe.cli.parsing import selector

if TYPE_CHECKING:
    from nvframe.frame import Frame

EPILOG = """\b
URL is where datasets go, such as s3://bucket/prefix or a directory. Below it come
  SOURCE/                the files, as `nvframe fetch --data-dir URL` stores them
  SOURCE.zarr            one array (image, x, y, z), which grows with each call
  SOURCE-manifest.json   ids, sizes, sha256, modify dates, DOIs of all that was staged
Conditions are those of `nvframe search`.

\b
Examples:
  nvframe stage neurovault s3://bucket/maps --max-images all --resample --storage-option profile=lab
  nvframe stage neurovault s3://bucket/maps --collection-id 658 --resample --words
  nvframe stage neurovault /shared/maps --no-zarr --shard 0/8
  nvframe stage neurovault s3://bucket/maps --processor resample:target=MNI152NLin6Asym-2mm

\b
Maps of different grids have no array in common: bring them onto one with --resample or --processor.
Jobs of an array (--shard I/N --no-zarr) write a manifest each, SOURCE-manifest-I-of-N.json; when all are done, one
call with --mode offline and without --shard writes the array and the manifest of all.
Run the same command again to complete what was cut short: what is staged is not staged again.
"""


@click.command(epilog=EPILOG, short_help="Fetch images into shared storage, as files and one array.")
@click.argument("source", type=selector)
@click.argument("url")
@conditions
@work
@click.option("--zarr/--no-zarr", default=True, show_default=True, help="Write one array of all maps.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: report, urls, failures.")
def stage(url: str, zarr: bool, as_json: bool, **options: Any) -> int:
    """Fetch the images of SOURCE that meet all conditions to URL; write one array of them, and a manifest."""
    shard = options["shard"]
    if zarr and shard is not None:
        raise click.UsageError(
            "jobs side by side cannot write one array: with --shard give --no-zarr, and when all jobs are done call "
            "`nvframe stage` once with --mode offline and without --shard"
        )
    part = "" if shard is None else "-{}-of-{}".format(*shard)
    storage_options = dict(options["storage_option"]) or None
    frame = fetched(data_dir=url, **options)
    root = frame.storage.url
    written = {"files": root}
    if len(frame):
        written["manifest"] = frame.to(
            "manifest", url=f"{root}-manifest{part}.json", storage_options=storage_options
        )
        written |= _cube(frame, f"{root}.zarr", storage_options) if zarr else {}
    if as_json:
        output.print_json(_document(frame, written))
    else:
        _summarise(frame, written)
    return output.exit_code(frame) or (PARTIAL if zarr and "zarr" not in written else 0)


def _cube(frame: Frame, url: str, storage_options: dict[str, Any] | None) -> dict[str, str]:
    """Write the array; where the maps share no grid, say so: the files are staged all the same."""
    from nvframe.errors import GridMismatchError

    try:
        return {"zarr": frame.to_zarr(url, storage_options=storage_options, progress=True)}
    except GridMismatchError as error:
        say(f"warning: no array was written: {error}")
        return {}


def _document(frame: Frame, written: dict[str, str]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "report": asdict(frame.report),
        "written": written,
        "failures": output.failures_json(frame.failures),
    }


def _summarise(frame: Frame, written: dict[str, str]) -> None:
    report = frame.report
    if not len(frame):
        output.say_if_none(frame)
        return
    megabytes = sum(asset.size for asset in frame.assets) / 1e6
    before = f", {report.found_local} of them before" if report.found_local else ""
    click.echo(f"{report.images} images staged{before}: {megabytes:.1f} MB, {report.seconds:.1f} s")
    for name, url in written.items():
        click.echo(f"{name + ':':<10}{url}")
    if "zarr" in written:
        click.echo(f'open:     xarray.open_zarr("{written["zarr"]}")')

"""``nvframe search``: what a repository has."""

from __future__ import annotations

from typing import Any

import click

from nvframe.cli import output
from nvframe.cli.options import query_of, selection

FIELDS = "id,collection_id,map_type,modality,name"

EPILOG = """\b
Conditions (quote what the shell would take for itself):
  FIELD=VALUE   FIELD!=VALUE   "FIELD>=VALUE"   "FIELD>VALUE"   "FIELD<=VALUE"   "FIELD<VALUE"
  FIELD~TEXT    the field holds this text
  FIELD=~REGEX  the field begins with what this regular expression matches
A value is true, false, null, a number, or else text. A condition on a field takes the place of the
default term on it; several on one field must all hold.

\b
Examples:
  nvframe search --max-images 20
  nvframe search --where "map_type=T map" --where "number_of_subjects>=30" --fields id,name,contrast_definition
  nvframe search --collection-where "name~language" --where is_thresholded=true
  nvframe search --collection-id 658 --json | jq '.images[].file'
  nvframe search --offline --data-dir maps
"""


@click.command(epilog=EPILOG, short_help="List the images that meet all conditions.")
@selection
@click.option("--offline", is_flag=True, help="Look through what is stored; open no connection.")
@click.option(
    "--fields", default=FIELDS, show_default=True, help="What to show; collection_FIELD for a collection's."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document: images, collections, failures."
)
def search(offline: bool, fields: str, as_json: bool, **options: Any) -> int:
    """List the images of SOURCE that meet all conditions; nothing is downloaded.

    On a terminal as a table; in a pipe as lines, the fields parted by tabs.
    """
    import nvframe

    names = [name.strip() for name in fields.split(",") if name.strip()]
    if not names:
        raise click.BadParameter("name at least one field", param_hint="--fields")
    frame = nvframe.search(**query_of(**options), mode="offline" if offline else "download_new")
    if as_json:
        document = {"images": frame.images_meta, "collections": frame.collections_meta}
        output.print_json({**document, "failures": output.failures_json(frame.failures)})
        return output.exit_code(frame)
    output.warn_of_unknown_fields(names, frame)
    pairs = zip(frame.images_meta, frame.collections_meta, strict=True)
    rows = [[output.cell(output.field_of(*pair, name)) for name in names] for pair in pairs]
    if rows:
        output.print_rows(names, rows, caption=f"{len(rows)} images")
    else:
        output.say_if_none(frame)
    return output.exit_code(frame)

"""What commands print: tables for people, plain lines for pipes, one JSON document for programs."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from nvframe.cli.exit_codes import FAILED, OK, PARTIAL, one_line, say

if TYPE_CHECKING:
    from nvframe.frame import Frame
    from nvframe.types import Failure, Metadata

SHOWN_FAILURES = 10
_PIPE_WIDTH = 120
_SHORT = 16


def print_json(document: Any) -> None:
    """Print one JSON document."""
    import orjson

    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    click.echo(orjson.dumps(document, default=str, option=option).decode())


def print_rows(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
    """Print a table on a terminal, and lines of cells with tabs between them in a pipe."""
    if sys.stdout.isatty():
        print_table(header, rows, caption)
    else:
        for row in rows:
            click.echo("\t".join(row))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
    """Print a table, in a pipe too."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, caption=caption or None, caption_justify="left", pad_edge=False)
    rows = list(rows)
    for name, *cells in zip(header, *rows, strict=True):
        # only long texts are broken where the terminal is narrow
        table.add_column(Text(name), overflow="fold", no_wrap=max(map(len, cells), default=0) <= _SHORT)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def say_if_none(frame: Frame) -> None:
    """Say that nothing was found, unless failures tell why."""
    if not len(frame) and not frame.failures:
        say("no image meets these conditions (fewer conditions, or --no-default-terms, find more)")


def cell(value: object) -> str:
    r"""Return a value as it stands in a table.

    Examples
    --------
    >>> cell(None), cell(True), cell("a\tb")
    ('', 'true', 'a b')
    """
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else one_line(value)


def field_of(image: Metadata, collection: Metadata, name: str) -> Any:
    """Return an image's field, or a collection's by its name with ``collection_`` before it."""
    return image[name] if name in image else collection.get(name.removeprefix("collection_"))


def warn_of_unknown_fields(names: Iterable[str], frame: Frame) -> None:
    """Say which of `names` no image has, and which fields are called nearly so."""
    known = {name for meta in frame.images_meta for name in meta}
    known |= {f"collection_{name}" for meta in frame.collections_meta for name in meta}
    for name in names:
        if known and name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            say(f"warning: no image has the field {name!r}{hint}")


def failures_json(failures: Iterable[Failure]) -> list[dict[str, Any]]:
    """Return failures as JSON objects."""
    return [asdict(failure) for failure in failures]


def lost_images(frame: Frame) -> list[Failure]:
    """Return what was lost of images; an image without an annotation is none of them."""
    return [failure for failure in frame.failures if failure.stage != "annotate"]


def exit_code(frame: Frame) -> int:
    """List what was lost on standard error and return the exit code."""
    failures, lost = frame.failures, lost_images(frame)
    if failures and not len(frame):
        more = f"; and {len(failures) - 1} more" if len(failures) > 1 else ""
        say(f"error: nothing came back: {failures[0]}{more}{_advice(failures)}")
        return FAILED
    for failure in lost[:SHOWN_FAILURES]:
        say(f"lost: {failure}")
    if len(lost) > SHOWN_FAILURES:
        say(f"lost: {len(lost) - SHOWN_FAILURES} more; --json lists all")
    if advice := _advice(lost):
        say(f"note: {len(lost)} lost{advice}")
    for name, first in {each.plugin: each for each in reversed(failures) if each.stage == "annotate"}.items():
        count = sum(each.plugin == name and each.stage == "annotate" for each in failures)
        say(
            f"note: {name} has nothing for {count} of {len(frame)} images; the first: {first}{_advice([first])}"
        )
    return PARTIAL if failures else OK


def _advice(failures: Iterable[Failure]) -> str:
    again = any(failure.retryable for failure in failures)
    return " (check the network and run the same command again)" if again else ""

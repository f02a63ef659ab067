"""What the commands share: options, and how their values are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nvframe.plugins import Plugin
    from nvframe.types import Metadata

Command = TypeVar("Command", bound=Callable[..., Any])
Condition = tuple[str, Any]

KIND_NAMES = ("source", "filter", "storage", "processor", "annotator", "result-format")
"""What ``--kind`` takes: the kinds of plugins in one word each."""

MODES = ("download_new", "update", "overwrite", "offline")
DEFAULT_MAX_IMAGES = 100
ALL = -1

_CONDITION = re.compile(r"(?P<field>[^=!<>~]+)(?P<operator>!=|>=|<=|=~|=|>|<|~)(?P<value>.*)", re.DOTALL)
_OPERATORS = {
    "!=": "NotEqual",
    ">=": "GreaterOrEqual",
    "<=": "LessOrEqual",
    ">": "GreaterThan",
    "<": "LessThan",
    "~": "Contains",
    "=~": "Pattern",
}


def kind_of(name: str) -> type[Plugin]:
    """Return the class of the descriptors of a kind, given as one of `KIND_NAMES`."""
    from nvframe.plugins import KINDS

    (found,) = (kind for kind in KINDS if kind.kind.replace(" ", "-") == name)
    return found


def scalar(text: str) -> Any:
    """Return the JSON scalar that `text` spells, else the text itself.

    Examples
    --------
    >>> scalar("true"), scalar("12"), scalar("T map"), scalar('"12"'), scalar("[1]")
    (True, 12, 'T map', '12', '[1]')
    """
    value = _json(text)
    return text if isinstance(value, list | dict) else value


def _json(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


def condition(text: str) -> Condition:
    """Return the field and the value or value operator that ``FIELD=VALUE`` and its relatives stand for.

    Examples
    --------
    >>> condition("map_type=T map"), condition("number_of_subjects>=20")
    (('map_type', 'T map'), ('number_of_subjects', GreaterOrEqual(20)))
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise click.BadParameter(
            f"{text!r} is no condition: write FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE or FIELD~TEXT"
        )
    field, sign, value = found["field"].strip(), found["operator"], found["value"]
    if sign == "=":
        return field, scalar(value)
    from nvframe import filters

    if sign == "=~":
        try:
            re.compile(value)
        except re.error as error:
            raise click.BadParameter(f"{value!r} is no regular expression: {error}") from error
    return field, getattr(filters, _OPERATORS[sign])(value if "~" in sign else scalar(value))


def selector(text: str) -> Any:
    """Return the plugin selector that ``NAME`` or ``NAME:key=value,key=value`` stands for.

    Examples
    --------
    >>> selector("smooth:fwhm=6"), selector("resample:target=[3,3,3],interpolation=nearest")
    (('smooth', {'fwhm': 6}), ('resample', {'target': [3, 3, 3], 'interpolation': 'nearest'}))
    """
    name, colon, given = text.partition(":")
    if not colon:
        return name
    # a comma parts parameters only where another one begins
    return name, dict(pair(part) for part in re.split(r",(?=\w+=)", given))


def pair(text: str) -> tuple[str, Any]:
    """Return the key and the value of ``KEY=VALUE``, a JSON value if it parses."""
    key, sign, value = text.partition("=")
    if not (sign and key):
        raise click.BadParameter(f"{text!r} is not key=value")
    return key, _json(value)


def limit(text: str) -> int:
    """Return a number of images, or `ALL`."""
    if text == "all":
        return ALL
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is neither a number of images nor 'all'")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """Return the part of the images that ``I/N`` stands for.

    Examples
    --------
    >>> shard("0/8")
    (0, 8)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise click.BadParameter(f"{text!r} is no part: write 0/8 to 7/8 for eight jobs")
    return int(index), int(count)


def _be_verbose(context: click.Context, _: click.Parameter, level: int) -> None:
    from nvframe.console import log_to_console

    context.with_resource(log_to_console(level))


verbosity = click.option(
    "-v", "--verbose", count=True, expose_value=False, callback=_be_verbose, help="Log more; up to -vvv."
)

_conditions = partial(click.option, multiple=True, type=condition, metavar="FIELD=VALUE")

_SELECTION = (
    click.argument("source", default="neurovault", type=selector, metavar="[SOURCE]"),
    click.option(
        "--where",
        multiple=True,
        type=condition,
        metavar="FIELD=VALUE",
        help="Condition on images; repeat to add.",
    ),
    click.option(
        "--collection-where",
        multiple=True,
        type=condition,
        metavar="FIELD=VALUE",
        help="Condition on collections.",
    ),
    click.option(
        "--collection-id", "collection_ids", multiple=True, metavar="ID", help="Images of this collection."
    ),
    click.option("--image-id", "image_ids", multiple=True, metavar="ID", help="This image."),
    click.option(
        "--max-images",
        type=limit,
        metavar="N|all",
        help=f"How many at most.  [default: {DEFAULT_MAX_IMAGES}, or all that ids name]",
    ),
    click.option(
        "--shard",
        type=shard,
        metavar="I/N",
        help="Only part I of N, counted from 0: for N jobs side by side.",
    ),
    click.option(
        "--default-terms/--no-default-terms",
        default=True,
        help="Leave out thresholded, non-MNI, ROI and atlas images.  [default: yes, unless ids are given]",
    ),
    click.option(
        "--data-dir", metavar="PATH|URL", help="Where datasets are stored.  [default: NVFRAME_DATA, ...]"
    ),
    click.option(
        "--storage-option",
        multiple=True,
        type=pair,
        metavar="KEY=VALUE",
        help="For a remote data directory; repeat.",
    ),
    click.option(
        "--timeout", default=10.0, show_default=True, help="Seconds to connect, and between two reads."
    ),
    verbosity,
)


def selection(command: Command) -> Command:
    """Add the options that say which images are meant."""
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def query_of(
    *,
    source: Any,
    where: Sequence[Condition],
    collection_where: Sequence[Condition],
    collection_ids: Sequence[str],
    image_ids: Sequence[str],
    max_images: int | None,
    shard: tuple[int, int] | None,
    default_terms: bool,
    data_dir: str | None,
    storage_option: Sequence[tuple[str, Any]],
    timeout: float,
) -> dict[str, Any]:
    """Return what `selection` gathered, as arguments of `nvframe.search` and `nvframe.fetch`.

    A condition on a field takes the place of the default one on it; several on one field must all hold.
    """
    by_ids = bool(collection_ids or image_ids)
    on_collections: dict[str, Any] | None = None if default_terms or by_ids else {}
    on_images: dict[str, Any] | None = None if default_terms or by_ids else {}
    if default_terms and not by_ids and (where or collection_where):
        on_collections, on_images = _default_terms(source)
    if max_images is None:
        max_images = ALL if by_ids else DEFAULT_MAX_IMAGES
    image_terms, image_filter = _terms(on_images, where)
    collection_terms, collection_filter = _terms(on_collections, collection_where)
    return {
        "source": source,
        "image_terms": image_terms,
        "collection_terms": collection_terms,
        "image_filter": image_filter,
        "collection_filter": collection_filter,
        "image_ids": list(image_ids) or None,
        "collection_ids": list(collection_ids) or None,
        "max_images": max_images,
        "shard": shard,
        "data_dir": data_dir,
        "storage_options": dict(storage_option) or None,
        "timeout": timeout,
    }


def _default_terms(source: Any) -> tuple[Any, Any]:
    from nvframe.plugins import MetadataSourcePlugin
    from nvframe.registry import default_registry

    built, _, _ = default_registry().build(MetadataSourcePlugin, source)
    on_collections, on_images = built.default_terms()
    return dict(on_collections), dict(on_images)


def _terms(defaults: dict[str, Any] | None, conditions: Sequence[Condition]) -> tuple[Any, Any]:
    """Return terms, and a filter for what a dict of terms cannot say: two conditions on one field."""
    if not conditions:
        return defaults, None
    first = dict(reversed(conditions))
    more = [(field, wanted) for field, wanted in conditions if first[field] is not wanted]
    return {**(defaults or {}), **first}, partial(_meets, more) if more else None


def _meets(conditions: Sequence[Condition], metadata: Metadata) -> bool:
    from nvframe.filters import matches

    return all(matches({field: wanted}, metadata) for field, wanted in conditions)

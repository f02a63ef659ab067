"""How the values of options are read: conditions, plugins with parameters, limits, parts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nvframe.plugins import Plugin

Condition = tuple[str, Any]

ALL = -1

KIND_NAMES = ("source", "filter", "storage", "processor", "annotator", "result-format")
"""What ``--kind`` takes: the kinds of plugins in one word each."""

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
        raise ValueError(f"{constant} is not JSON")

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
            f"{text!r} is not a condition: write FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE or FIELD~TEXT"
        )
    field, sign, value = found["field"].strip(), found["operator"], found["value"]
    if sign == "=":
        return field, scalar(value)
    from nvframe import filters

    if sign == "=~":
        try:
            re.compile(value)
        except re.error as error:
            raise click.BadParameter(f"{value!r} is not a regular expression: {error}") from error
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
        raise click.BadParameter(f"{text!r} is not a part: write 0/8 to 7/8 for eight jobs")
    return int(index), int(count)


def kind_of(name: str) -> type[Plugin]:
    """Return the class of the descriptors of a kind, given as one of `KIND_NAMES`."""
    from nvframe.plugins import KINDS

    (found,) = (kind for kind in KINDS if kind.kind.replace(" ", "-") == name)
    return found

"""Which storage options may leave this process: none that could hold a credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HARMLESS = frozenset({"anon", "profile", "endpoint_url", "region_name", "requester_pays"})


def travelling(storage_options: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Part storage options into those that travel to a worker and the names of those that stay.

    Parameters
    ----------
    storage_options : Mapping
        For fsspec; ``client_kwargs`` is looked into.

    Returns
    -------
    tuple
        (options that say where and as whom, names of all others)

    Examples
    --------
    >>> travelling({"profile": "lab", "secret": "s3cr3t", "client_kwargs": {"region_name": "eu-west-1"}})
    ({'profile': 'lab', 'client_kwargs': {'region_name': 'eu-west-1'}}, ('secret',))
    """
    kept: dict[str, Any] = {}
    withheld: list[str] = []
    for name, value in storage_options.items():
        if name == "client_kwargs" and isinstance(value, Mapping):
            inner, stay = travelling(value)
            kept |= {name: inner} if inner else {}
            withheld += [f"client_kwargs[{each!r}]" for each in stay]
        elif name in _HARMLESS and not _has_password(value):
            kept[name] = value
        else:
            withheld.append(name)
    return kept, tuple(withheld)


def advice(withheld: tuple[str, ...]) -> str:
    """Return the sentence that ends an error where options were withheld; empty where none were.

    Examples
    --------
    >>> advice(("key", "secret"))
    '; storage options key, secret do not travel to workers: set credentials in their environment'
    >>> advice(())
    ''
    """
    if not withheld:
        return ""
    return f"; storage options {', '.join(withheld)} do not travel to workers: set credentials in their environment"


def _has_password(value: object) -> bool:
    return isinstance(value, str) and "://" in value and "@" in value.partition("://")[2].partition("/")[0]

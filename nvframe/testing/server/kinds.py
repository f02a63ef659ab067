"""Every way in which a server may fail, by the name that tests use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nvframe.testing.server import answer_faults as properties
from nvframe.testing.server import connection_faults as accidents


@dataclass(frozen=True, slots=True)
class FaultKind:
    """How a kind of fault is applied.

    Attributes
    ----------
    apply : callable
        An app around the app.
    path : str
        The requests it is about, unless the script says otherwise.
    lasting : bool
        Whether it is a property of the server; the others are accidents, one to a request.
    outermost : bool
        Whether it comes before any accident.
    """

    apply: Callable[..., Awaitable[None]]
    path: str = ""
    lasting: bool = False
    outermost: bool = False


KINDS: dict[str, FaultKind] = {
    "status": FaultKind(accidents.status),
    "html": FaultKind(accidents.html),
    "redirect": FaultKind(accidents.redirect),
    "drop": FaultKind(accidents.drop),
    "hang": FaultKind(accidents.hang),
    "truncate": FaultKind(accidents.truncate),
    "short": FaultKind(accidents.short),
    "corrupt": FaultKind(accidents.corrupt),
    "trickle": FaultKind(accidents.trickle),
    "words_down": FaultKind(accidents.words_down, "^/api/decode/"),
    "latency": FaultKind(properties.latency, lasting=True, outermost=True),
    "count_too_large": FaultKind(properties.count_too_large, properties.RECORDS, lasting=True),
    "poison": FaultKind(properties.poison, properties.RECORDS, lasting=True),
    "shuffle": FaultKind(properties.shuffle, properties.LISTS, lasting=True),
    "no_range": FaultKind(properties.no_range, "^/media/", lasting=True),
    "no_etag": FaultKind(properties.no_etag, "^/media/", lasting=True),
    "private": FaultKind(properties.private, lasting=True),
}
"""Fault kinds by name."""

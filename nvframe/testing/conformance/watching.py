"""Counts what this process asks the world for: connections made, directories read, files opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NETWORK = frozenset({"socket.connect", "socket.getaddrinfo", "socket.sendto"})
_FILES = frozenset({"os.listdir", "os.scandir", "open"})
_CODE = (".py", ".pyc", ".so", ".pyd", ".dist-info")

_watches: list[list[str]] = []
_installed: list[bool] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect, while the block runs, a line for each connection, directory listing and file that is opened.

    Files of code do not count: a plugin may import what it needs when it needs it.
    """
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_note)  # cannot be taken out again: it looks at nothing while nobody watches
    seen: list[str] = []
    _watches.append(seen)
    try:
        yield seen
    finally:
        _watches.remove(seen)


def network(seen: list[str]) -> list[str]:
    """Return what of `seen` is about the network."""
    return [line for line in seen if line.partition(" ")[0] in _NETWORK]


def _note(event: str, details: tuple[Any, ...]) -> None:
    if not _watches or not (event in _NETWORK or event in _FILES):
        return
    what = str(details[-1] if event == "socket.connect" else details[0] if details else "")
    if event in _FILES and (what.endswith(_CODE) or "__pycache__" in what):
        return
    for seen in _watches:
        seen.append(f"{event} {what}")

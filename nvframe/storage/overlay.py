"""A read-only dataset with a writable layer over it: derived maps of a cache that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.types import Entry


class OverlayStorage:
    """Reads from `upper`, else from `lower`; writes go to `upper` only.

    Parameters
    ----------
    lower : Storage
        The dataset as it is.
    upper : Storage
        Where new objects go.

    Examples
    --------
    >>> from nvframe.storage.remote import FsspecStorage
    >>> lower, upper = FsspecStorage("memory://lower"), FsspecStorage("memory://upper")
    >>> lower.put("a", b"old")
    >>> both = OverlayStorage(lower, upper)
    >>> both.put("a", b"newer")
    >>> both.read("a"), lower.read("a")
    (b'newer', b'old')
    """

    writable = False

    def __init__(self, lower: Storage, upper: Storage) -> None:
        self._lower = lower
        self._upper = upper
        self.url = lower.url

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects of both layers, the upper one's where both have one."""
        merged = {entry.key: entry for entry in self._lower.list(prefix)}
        merged |= {entry.key: entry for entry in self._upper.list(prefix)}
        yield from (merged[key] for key in sorted(merged))

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        try:
            return self._upper.read(key)
        except FileNotFoundError:
            return self._lower.read(key)

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading."""
        try:
            return self._upper.open(key)
        except FileNotFoundError:
            return self._lower.open(key)

    def put(self, key: str, data: Path | bytes) -> None:
        """Store the object in the upper layer."""
        self._upper.put(key, data)

    def delete(self, key: str) -> None:
        """Remove the object from the upper layer; the lower one stays as it is."""
        self._upper.delete(key)

    def tidy(self) -> None:
        """Tidy the upper layer."""
        tidy = getattr(self._upper, "tidy", None)
        if tidy is not None:
            tidy()

    def location(self, key: str) -> str:
        """Return the path, or URL, of the layer that has the object."""
        path = self.local_path(key)
        return f"{self.url}/{key}" if path is None else str(path)

    def local_path(self, key: str) -> Path | None:
        """Return the path of the layer that has the object."""
        upper = self._upper.local_path(key)
        return upper if upper is not None and upper.exists() else self._lower.local_path(key)

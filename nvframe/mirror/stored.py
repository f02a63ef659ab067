"""One stored file, on any file system that fsspec knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from nvframe.errors import IntegrityError

CHUNK = 1 << 20
"""Bytes read at a time: one chunk holds most maps, and a thread is entered once per chunk."""

_MODIFIED_KEYS = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class FileState:
    """What a conditional request is compared with.

    Attributes
    ----------
    size : int
        Bytes.
    etag : str
        Strong validator, with its quotes.
    modified : datetime or None
        Last change in UTC, to the second, as HTTP dates are; None where the file system does not say.
    """

    size: int
    etag: str
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file behind a mirror's answer.

    Attributes
    ----------
    fs : fsspec.AbstractFileSystem
        Where it is.
    path : str
        Its path there.
    size : int
        Bytes when the catalogue was loaded.

    Examples
    --------
    >>> import fsspec
    >>> fs = fsspec.filesystem("memory")
    >>> fs.pipe_file("/stored-file-example", b"0123456789")
    >>> b"".join(StoredFile(fs, "/stored-file-example", 10).chunks(2, 5))
    b'23456'
    >>> fs.rm("/stored-file-example")
    """

    fs: Any
    path: str
    size: int

    def state(self) -> FileState:
        """Return size and validators as they are now; FileNotFoundError if the file is gone."""
        info: Mapping[str, Any] = self.fs.info(self.path)
        modified = _modified(info)
        size = int(info["size"])
        etag = str(info.get("ETag") or "").removeprefix("W/").strip('"')
        if not etag:
            stamp = next((info[key] for key in _MODIFIED_KEYS if info.get(key)), None)
            known = (size, str(stamp), info.get("ino")) if stamp else (size, self.fs.ukey(self.path))
            etag = blake2b(repr(known).encode(), digest_size=12).hexdigest()
        return FileState(size, f'"{etag}"', modified)

    def read(self) -> bytes:
        """Return the whole file."""
        content: bytes = self.fs.cat_file(self.path)
        return content

    def chunks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from `start` on; IntegrityError if the file turns out shorter."""
        with self.fs.open(self.path, "rb") as file:
            file.seek(start)
            while length:
                block: bytes = file.read(min(CHUNK, length))
                if not block:
                    raise IntegrityError(f"{self.path} became shorter while it was served")
                length -= len(block)
                yield block


def _modified(info: Mapping[str, Any]) -> datetime | None:
    """Return the date of the last change under whichever name and type a file system has for it."""
    value = next((info[key] for key in _MODIFIED_KEYS if info.get(key)), None)
    if isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    elif isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    return zoned.astimezone(UTC).replace(microsecond=0)

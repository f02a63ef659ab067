"""Storage in a directory of a local file system."""

from __future__ import annotations

import errno
import itertools
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nvframe.errors import StorageError
from nvframe.storage.keys import STAGING, checked_key
from nvframe.types import Entry
from nvframe.urls import local_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


_WRITER = uuid.uuid4().hex[:12]

_COUNTER = itertools.count()
"""Together with the process, they name a file in staging as no other writer does, on whatever machine."""

_ABANDONED_SECONDS = 86_400
"""Age at which a file in staging belongs to nobody: its writer was killed."""


class LocalStorage:
    """A directory on a local file system.

    Parameters
    ----------
    url : str
        The root; a path or a ``file://`` URL. It is made by the first `put`.

    Attributes
    ----------
    url : str
        The absolute path of the root.
    writable : bool
        Whether files can be put below it.

    Raises
    ------
    StorageError
        If the root is a file, or `url` has another scheme than ``file``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     storage = LocalStorage(directory)
    ...     storage.put("collection_1/note.txt", b"hello")
    ...     [entry.key for entry in storage.list()]
    ['collection_1/note.txt']
    """

    def __init__(self, url: str) -> None:
        try:
            root = local_root(url)
        except ValueError as error:
            raise StorageError(str(error)) from error
        if root.exists() and not root.is_dir():
            raise StorageError(f"data_dir {str(root)!r} is a file: name a directory")
        self.root = root
        self.url = str(root)
        self._root = os.path.join(root, "")  # noqa: PTH118 - with a slash at its end, once for many keys

    @property
    def writable(self) -> bool:
        """Whether files can be put below the root."""
        existing = next(p for p in (self.root, *self.root.parents) if p.exists())
        return existing.is_dir() and os.access(existing, os.W_OK)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Return the files below directory `prefix`, staging left out; `version` joins mtime, ctime and inode."""
        start = self._path(prefix) if prefix else self.root
        return itertools.chain.from_iterable(self._scan(str(start), f"{prefix}/" if prefix else ""))

    def directories(self) -> Iterable[str]:
        """Return the names of the directories in the root."""
        return _listed(self.url, "")[1]

    def _scan(self, directory: str, prefix: str) -> Iterator[Iterable[Entry]]:
        found, below = _listed(directory, prefix)
        yield found
        for name in below:
            if name != STAGING:
                yield from self._scan(f"{directory}/{name}", f"{prefix}{name}/")

    def read(self, key: str) -> bytes:
        """Return the file's bytes."""
        with open(self.location(key), "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs as much as the read
            return file.read()

    def open(self, key: str) -> BinaryIO:
        """Open the file for reading."""
        return self._path(key).open("rb")

    def put(self, key: str, data: Path | bytes) -> None:
        """Write beside, then rename: readers see the old file or the whole new one, also after a kill."""
        target = self.location(key)
        body = data if isinstance(data, bytes) else data.read_bytes()
        staging = f"{self._root}{STAGING}"
        # Each system call lets go of the interpreter, and many workers wait in line to have it back: so few.
        temporary = f"{staging}/{_WRITER}-{os.getpid()}-{next(_COUNTER)}"
        try:
            _with_directory(staging, lambda: _write(temporary, body))
            _with_directory(os.path.dirname(target), lambda: os.replace(temporary, target))  # noqa: PTH105, PTH120
        except BaseException as error:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            if isinstance(error, OSError):
                raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
            raise

    def delete(self, key: str) -> None:
        """Remove the file."""
        self._path(key).unlink()

    def tidy(self) -> None:
        """Remove the staging directory, unless another process is writing through it."""
        staging = self.root / STAGING
        with suppress(OSError):  # not there, or in use
            for left in staging.iterdir():
                if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                    left.unlink()
            staging.rmdir()

    def local_path(self, key: str) -> Path:
        """Return the path behind `key`, whether or not it exists."""
        return self._path(key)

    def location(self, key: str) -> str:
        """Return `local_path` as a string."""
        return f"{self._root}{checked_key(key)}"

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)


def _listed(directory: str, prefix: str) -> tuple[list[Entry], list[str]]:
    """Return the files in a directory and the names of the directories in it, in the order of the names."""
    try:
        return _scanned(directory, prefix)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise StorageError(f"cannot list {directory}: {error.strerror or error}") from error


def _scanned(directory: str, prefix: str) -> tuple[list[Entry], list[str]]:
    found: list[Entry] = []
    below: list[str] = []
    with _opened(directory) as where, os.scandir(where) as entries:
        for each in sorted(entries, key=attrgetter("name")):
            try:
                if each.is_dir():
                    if not (each.is_symlink() and _leads_back(directory, each.name)):
                        below.append(each.name)
                    continue
                stat = each.stat()
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    continue  # removed since the listing, a dangling link, or one to itself
                raise
            version = f"{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
            found.append(Entry(prefix + each.name, stat.st_size, version))
    return found, below


def _leads_back(directory: str, name: str) -> bool:
    """Tell whether a link leads to a directory that it lies in: there is nothing new behind it, and no end."""
    target = Path(directory, name).resolve()
    return Path(directory).resolve().is_relative_to(target)


@contextmanager
def _opened(directory: str) -> Iterator[int | str]:
    """Yield an open directory where that works: a `stat` relative to it walks one name, not the whole path."""
    if os.scandir not in os.supports_fd:
        yield directory
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(path: str, body: bytes) -> None:
    with open(path, "xb", buffering=0) as file:  # noqa: PTH123 - as in `read`
        rest = memoryview(body)
        while rest:
            rest = rest[file.write(rest) :]


def _with_directory(directory: str, act: Callable[[], None]) -> None:
    """Act, and where the directory is not there, make it first; another process may tidy it away at any moment."""
    for last in (False, False, True):
        try:
            act()
        except FileNotFoundError:
            if last:
                raise
            os.makedirs(directory, exist_ok=True)  # noqa: PTH103
        else:
            return

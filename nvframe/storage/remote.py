"""Storage below any URL that fsspec can open."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from nvframe.credentials import advice, travelling
from nvframe.errors import StorageError
from nvframe.storage.keys import STAGING, checked_key
from nvframe.types import Entry
from nvframe.urls import strip_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable


# One PUT or one multipart upload appears as a whole in these; elsewhere a file is written aside and moved.
_ATOMIC_PROTOCOLS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"})

_S3_PROTOCOLS = frozenset({"s3", "s3a"})


class FsspecStorage:
    """A prefix on any file system that fsspec reaches: ``s3://``, ``gs://``, ``memory://``, ``sftp://`` ….

    Parameters
    ----------
    url : str
        The root.
    **storage_options
        For fsspec, such as ``anon=True`` or ``profile="lab"``.

    Raises
    ------
    StorageError
        If the protocol is unknown, or its package is not installed.

    Examples
    --------
    >>> storage = FsspecStorage("memory://docs-example")
    >>> storage.put("a/b.txt", b"hello")
    >>> [(entry.key, entry.size) for entry in storage.list()]
    [('a/b.txt', 5)]
    """

    def __init__(self, url: str, **storage_options: Any) -> None:
        import fsspec

        try:
            self.fs, root = fsspec.core.url_to_fs(url, **storage_options)
        except (ImportError, ValueError) as error:
            raise StorageError(
                f"cannot open {strip_credentials(url)}: {strip_credentials(str(error))}"
            ) from error
        self._prefix = root.rstrip("/")
        self.url = strip_credentials(url).rstrip("/")
        self._options, self._withheld = travelling(storage_options)
        if self.url != url.rstrip("/"):
            self._withheld += ("the URL's user and password",)
        self._advice = ""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without anything that could be a credential; the worker's environment has its own."""
        return _arrived, (self.url, self._options, self._withheld)

    def __deepcopy__(self, memo: dict[int, Any]) -> FsspecStorage:
        """Stay the same: it never changes, and a copy within this process would lose its credentials."""
        return self

    @property
    def writable(self) -> bool:
        """Whether objects can be put: nobody in particular (``anon=True``) is taken to be a reader."""
        return not self._options.get("anon")

    def list(self, prefix: str = "") -> Iterable[Entry]:
        """Yield the objects below `prefix`; `version` is the store's ETag or modification date, if it has one."""
        start = self._path(prefix) if prefix else self._prefix
        try:
            self.fs.invalidate_cache(start)  # another process may have written since
            found = self._found(start)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._problem("list", prefix, error) from error
        for path, info in sorted(found.items()):
            key = path[len(self._prefix) :].lstrip("/")
            if key.startswith(f"{STAGING}/"):
                continue
            yield Entry(key, int(info.get("size") or 0), _version(info))

    def _found(self, start: str) -> dict[str, Any]:
        """Return what is below a directory; s3fs would ask for an empty one once more, as if it were an object."""
        parent, separator, name = start.rpartition("/")
        if separator and not _S3_PROTOCOLS.isdisjoint(_protocols(self.fs)):
            return dict(self.fs.find(parent, prefix=f"{name}/", detail=True))
        return dict(self.fs.find(start, detail=True))

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        try:
            return bytes(self.fs.cat_file(self._path(key), **whole_at_once(self.fs)))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._problem("read", key, error) from error

    def open(self, key: str) -> BinaryIO:
        """Open the object for reading; seeks read ranges."""
        try:
            opened: BinaryIO = self.fs.open(self._path(key), "rb")
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._problem("open", key, error) from error
        return opened

    def put(self, key: str, data: Path | bytes) -> None:
        """Store the object as a whole."""
        target = self._path(key)
        body = data if isinstance(data, bytes) else data.read_bytes()
        try:
            if _ATOMIC_PROTOCOLS.intersection(_protocols(self.fs)):
                self.fs.pipe_file(target, body)
            else:
                self._put_aside(target, body)
        except Exception as error:
            raise self._problem("write", key, error) from error

    def _put_aside(self, target: str, body: bytes) -> None:
        temporary = f"{self._prefix}/{STAGING}/{uuid.uuid4().hex}"
        self.fs.makedirs(temporary.rpartition("/")[0], exist_ok=True)
        self.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            self.fs.pipe_file(temporary, body)
            self.fs.mv(temporary, target)
        except BaseException:
            with suppress(Exception):
                self.fs.rm_file(temporary)
            raise

    def delete(self, key: str) -> None:
        """Remove the object."""
        try:
            self.fs.rm_file(self._path(key))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._problem("delete", key, error) from error

    def tidy(self) -> None:
        """Remove the staging directory where there is one: object stores keep none."""
        if not _ATOMIC_PROTOCOLS.intersection(_protocols(self.fs)):
            with suppress(Exception):  # not there, or in use
                self.fs.rmdir(f"{self._prefix}/{STAGING}")

    def local_path(self, key: str) -> Path | None:
        """Return None: there is no local file."""
        return None

    def _path(self, key: str) -> str:
        return f"{self._prefix}/{checked_key(key)}"

    def _problem(self, verb: str, key: str, error: Exception) -> StorageError:
        what = f"cannot {verb} {self.url}/{key}: {type(error).__name__}: {strip_credentials(str(error))}"
        return StorageError(what + self._advice)


def _arrived(url: str, options: Mapping[str, Any], withheld: tuple[str, ...]) -> FsspecStorage:
    """Return storage in the process that it travelled to."""
    storage = FsspecStorage(url, **options)
    storage._withheld += withheld
    storage._advice = advice(withheld)
    return storage


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def whole_at_once(fs: Any) -> dict[str, int]:
    """Return what keeps s3fs from asking for the size first, to read in parts: that is one more request per object."""
    takes_it = "max_concurrency" in inspect.signature(getattr(fs, "_cat_file", fs.cat_file)).parameters
    return {"max_concurrency": 1} if takes_it and not _S3_PROTOCOLS.isdisjoint(_protocols(fs)) else {}


def _version(info: Mapping[str, Any]) -> str | None:
    for name in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created"):
        if info.get(name) is not None:
            return str(info[name])
    return None

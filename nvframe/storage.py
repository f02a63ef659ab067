"""Rooted storage with all-or-nothing `put`: a local directory, or any URL that fsspec reaches."""

from __future__ import annotations

import errno
import inspect
import itertools
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from nvframe.credentials import advice, bare, travelling
from nvframe.errors import StorageError
from nvframe.hookspecs import hookimpl
from nvframe.options import current_options
from nvframe.plugins import StorageBackendPlugin
from nvframe.types import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STAGING = ".nvframe-staging"
"""Directory below a local root where files are written before they get their name."""

_USUAL_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*+(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*+)*+")
"""A relative path that cannot leave the root, told without taking it apart."""

_WRITER = uuid.uuid4().hex[:12]
_COUNTER = itertools.count()
"""Together with the process, they name a file in staging as no other writer does, on whatever machine."""

_ABANDONED_SECONDS = 86_400
"""Age at which a file in staging belongs to nobody: its writer was killed."""

# One PUT or one multipart upload appears as a whole in these; elsewhere a file is written aside and moved.
_ATOMIC_PROTOCOLS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "memory"})

_S3_PROTOCOLS = frozenset({"s3", "s3a"})


def checked_key(key: str) -> str:
    """Return `key`, or raise StorageError if it could leave the root.

    Examples
    --------
    >>> checked_key("collection_1/image_2.nii.gz")
    'collection_1/image_2.nii.gz'
    >>> checked_key("../secret")
    Traceback (most recent call last):
    ...
    nvframe.errors.StorageError: '../secret' is no valid key
    """
    if _USUAL_KEY.fullmatch(key):
        return key
    parts = PurePosixPath(key).parts
    # One object has one key: "a//b" and "./a/b" would be others to an object store than to a file system.
    odd = key != "/".join(parts) or key.startswith("/") or ".." in parts or "\\" in key or "\0" in key
    if not parts or odd or re.match(r"[A-Za-z]:", key):
        raise StorageError(f"{key!r:.200} is no valid key")
    return key


def local_root(url: str) -> Path:
    """Return the absolute path that a path or a ``file://`` URL means."""
    return Path(re.sub(r"^(file|local)://", "", url)).expanduser().absolute()


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
        If the root is a file.

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
        root = local_root(url)
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
            raise StorageError(f"cannot open {bare(url)}: {bare(str(error))}") from error
        self._prefix = root.rstrip("/")
        self.url = bare(url).rstrip("/")
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
        what = f"cannot {verb} {self.url}/{key}: {type(error).__name__}: {bare(str(error))}"
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


def options_for(url: str, storage_options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what a storage at `url` is opened with: what the call says, else what is set for all calls.

    Options for all calls are meant for those that need them: a local directory needs none.
    """
    if storage_options is None and protocol_of(url) != "local":
        storage_options = current_options().storage_options
    return storage_options or {}


def storage_at(url: str, storage_options: Mapping[str, Any] | None = None) -> LocalStorage | FsspecStorage:
    """Return the built-in storage for a path or URL.

    Parameters
    ----------
    url : str
        The root.
    storage_options : Mapping, optional
        For a remote one; else those of `nvframe.set_options`.

    Examples
    --------
    >>> storage_at("memory://bucket/maps").url
    'memory://bucket/maps'
    """
    if protocol_of(url) == "local":
        return LocalStorage(url)
    return FsspecStorage(url, **options_for(url, storage_options))


def protocol_of(url: str) -> str:
    """Return the name under which the storage backend of `url` is registered.

    Examples
    --------
    >>> protocol_of("/data/maps"), protocol_of("s3://bucket/maps")
    ('local', 's3')
    """
    scheme, separator, _ = url.partition("://")
    return "local" if not separator or scheme == "file" else scheme


@hookimpl
def nvframe_storage_backends() -> Iterator[StorageBackendPlugin]:
    """Yield the built-in storage backends."""
    yield StorageBackendPlugin(
        "local", LocalStorage, "directories of this machine, shared file systems included"
    )
    yield StorageBackendPlugin(
        "s3", FsspecStorage, "Amazon S3 and what speaks its API", requires=("nvframe[s3]",)
    )
    yield StorageBackendPlugin("fsspec", FsspecStorage, "any other URL protocol that fsspec knows")

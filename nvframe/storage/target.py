"""Where a Zarr lies: a directory or a URL that travels to workers without credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvframe.credentials import advice, travelling
from nvframe.errors import StorageError
from nvframe.storage.remote import whole_at_once
from nvframe.types import json_object
from nvframe.urls import is_remote, local_root, protocol_of, strip_credentials

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


def _lock(descriptor: int) -> bool:
    """Tell whether a file could be locked, or lies where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a Zarr lies; it travels without anything that could be a credential.

    Attributes
    ----------
    url : str
        Path or URL.
    storage_options : Mapping
        For a remote one.
    withheld : tuple of str
        Names of the options that did not travel.
    """

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    withheld: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        kept, withheld = travelling(self.storage_options)
        return Target, (strip_credentials(self.url), kept, self.withheld + withheld)

    @classmethod
    def at(cls, url: str, storage_options: Mapping[str, Any] | None) -> Target:
        """Return the target that a user names: a path becomes absolute, as for every storage."""
        if protocol_of(url) == "local":
            return cls(str(local_root(url)))
        return cls(url, storage_options or {})

    def filesystem(self) -> tuple[Any, str]:
        """Return fsspec's file system, and the path in it."""
        import fsspec

        if not is_remote(self.url):  # whose name may hold what would mean something in a URL
            return fsspec.filesystem("file"), self.url
        fs, path = fsspec.core.url_to_fs(self.url, **self.storage_options)
        return fs, path

    def document(self) -> dict[str, Any] | None:
        """Return what the Zarr says of itself; None where there is none."""
        fs, path = self.filesystem()
        try:
            return json_object(fs.cat_file(f"{path.rstrip('/')}/zarr.json", **whole_at_once(fs)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise self.problem("look into", error) from error

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the place: StorageError if another call writes there, as far as that can be told.

        A directory is locked, which ends with the process that did it; a bucket has no such thing.
        """
        if is_remote(self.url) or fcntl is None:
            yield
            return
        directory = Path(self.url)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory, os.O_RDONLY)
        except OSError as error:
            raise self.problem("write", error) from error
        try:
            if not _lock(descriptor):
                raise StorageError(f"another call is writing {self.url}: wait until it is done")
            yield
        finally:
            with suppress(OSError):  # for workers that were forked off meanwhile, and hold it too
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
            with suppress(OSError):  # unless something was written
                directory.rmdir()

    def store(self) -> Any:
        """Return zarr's store; it pickles without credentials, as the target does."""
        from nvframe.storage.zarr_store import local_store, remote_store

        return remote_store(self) if is_remote(self.url) else local_store(self)

    def problem(self, what: str, error: Exception) -> StorageError:
        """Return the error for a place that cannot be reached, without secrets."""
        message = f"cannot {what} {self.url}: {type(error).__name__}: {error}"
        return StorageError(strip_credentials(message) + advice(self.withheld))

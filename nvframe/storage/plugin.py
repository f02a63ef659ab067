"""The built-in storage backends, and how a URL selects one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nvframe.options import current_options
from nvframe.plugins import StorageBackendPlugin
from nvframe.plugins.hookspecs import hookimpl
from nvframe.storage.local import LocalStorage
from nvframe.storage.remote import FsspecStorage
from nvframe.urls import protocol_of


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

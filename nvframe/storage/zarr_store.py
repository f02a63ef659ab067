"""zarr's stores for a target. One in a bucket pickles without credentials, so that a lazy Dataset may travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zarr.storage import FsspecStore, LocalStore, WrapperStore

from nvframe.urls import protocol_of

if TYPE_CHECKING:
    from nvframe.storage.target import Target

_ONE_REQUEST = {"s3": {"max_concurrency": 1}, "s3a": {"max_concurrency": 1}}
"""s3fs asks for an object's size before it reads, to read in parts: one more request for each chunk."""


def local_store(target: Target) -> LocalStore:
    """Return the store of a directory."""
    return LocalStore(target.url)


def remote_store(target: Target) -> TargetStore:
    """Return the store behind a URL."""
    options = {**_ONE_REQUEST.get(protocol_of(target.url), {}), **target.storage_options}
    return TargetStore(FsspecStore.from_url(target.url, storage_options=options), target)


class TargetStore(WrapperStore[FsspecStore]):
    """A store that remembers its target, and is opened again from it in another process.

    Parameters
    ----------
    store : zarr.storage.FsspecStore
        That reads and writes.
    target : Target
        What to open it from.
    """

    def __init__(self, store: FsspecStore, target: Target) -> None:
        super().__init__(store)
        self._opened = store
        self._target = target

    def with_read_only(self, read_only: bool = False) -> TargetStore:
        """Return the same store, for reading only or for both."""
        return type(self)(self._opened.with_read_only(read_only), self._target)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self._target, self.read_only)


def _open_again(target: Target, read_only: bool) -> TargetStore:
    return remote_store(target).with_read_only(read_only)

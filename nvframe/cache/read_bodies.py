"""Small objects read before their turn: on remote storage each costs a round trip, and a few can be on their way."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nvframe.contracts import Storage


class ReadAhead:
    """Reads objects of a storage, those that were announced on threads.

    Parameters
    ----------
    storage : Storage
        Where they are.
    at_once : int
        How many may be on their way at once.

    Examples
    --------
    >>> from nvframe.storage.remote import FsspecStorage
    >>> storage = FsspecStorage("memory://small-objects")
    >>> storage.put("a", b"hello")
    >>> ahead = ReadAhead(storage, at_once=8)
    >>> ahead.announce(["a", "missing"])
    >>> ahead.read("a")
    b'hello'
    >>> ahead.close()
    """

    def __init__(self, storage: Storage, at_once: int) -> None:
        self._storage = storage
        self._at_once = at_once
        self._pool: ThreadPoolExecutor | None = None
        self._announced: dict[str, Future[bytes]] = {}

    def announce(self, keys: Iterable[str]) -> None:
        """Begin to read objects that will be asked for soon."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="nvframe-sidecars")
        for key in keys:
            self._announced[key] = self._pool.submit(self._storage.read, key)

    def read(self, key: str) -> bytes:
        """Return an object's bytes, announced or not; raises what the storage raises."""
        announced = self._announced.pop(key, None)
        return self._storage.read(key) if announced is None else announced.result()

    def close(self) -> None:
        """Forget what was announced and not asked for."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._announced.clear()

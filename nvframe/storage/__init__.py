"""Storage: rooted places for files, local or behind a URL, where a file appears as a whole or not at all."""

from nvframe.storage.local import LocalStorage
from nvframe.storage.plugin import storage_at
from nvframe.storage.remote import FsspecStorage

__all__ = ["FsspecStorage", "LocalStorage", "storage_at"]

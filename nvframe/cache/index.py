"""What sidecars said when they were last read, kept so that a query opens only those that changed since.

The index is a help and never a witness: what it knows of a file counts only while a listing shows the same
(size, version), and whatever is wrong with it means going on without it.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    import sqlite3

    from nvframe.contracts import Storage
    from nvframe.types import Entry

log = logging.getLogger(__name__)

Place = Literal["cache", "beside", "off"]

SCHEMA = 2
"""Version of the table and of what the bodies hold; an index of another version is made anew."""

BESIDE = ".nvframe-index.sqlite"
"""Key of an index that lies beside the data."""

YOUNG_SECONDS = 2.0
"""A file that was younger than this when it was read may have changed since without showing it."""

_BUSY_SECONDS = 0.2
_PAGE_BYTES = 32_768  # a body fills a few of these, or a long chain of the usual 4 096
_CORRUPT, _NOT_A_DATABASE = 11, 26
_LOCAL_VERSION = re.compile(r"(\d+)-\d+-\d+")


def is_settled(entry: Entry) -> bool:
    """Tell whether a later change of an object just read is sure to change its listed version.

    A version that is a time says nothing about two changes within one tick of its clock, so the object must be
    older than that; an ETag is made from the bytes. Without a version nothing is sure.

    Examples
    --------
    >>> from nvframe.types import Entry
    >>> is_settled(Entry("a", 5, "d41d8cd98f00b204")), is_settled(Entry("a", 5, None))
    (True, False)
    >>> is_settled(Entry("a", 5, f"{time.time_ns()}-{time.time_ns()}-7"))
    False
    """
    if entry.version is None:
        return False
    changed = _time_in(entry.version)
    return changed is None or time.time() - changed >= YOUNG_SECONDS


def _time_in(version: str) -> float | None:
    local = _LOCAL_VERSION.fullmatch(version)
    if local:
        return int(local[1]) / 1e9
    with suppress(ValueError):
        return float(version)
    with suppress(ValueError):
        moment = datetime.fromisoformat(version)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


class Index:
    """One dataset's index: a body of bytes for each collection, in one SQLite file.

    Parameters
    ----------
    storage : Storage
        Rooted at the dataset's directory.
    place : {"cache", "beside", "off"}
        In the user's cache directory; as one object beside the data, replaced as a whole; or nowhere.

    Examples
    --------
    >>> from nvframe.storage.local import LocalStorage
    >>> storage = LocalStorage(str(getfixture("tmp_path")))
    >>> with closing(Index(storage, "beside")) as index:
    ...     index.save({"658": b"what its sidecars said"})
    >>> with closing(Index(storage, "beside")) as index:
    ...     index.load(["658", "659"])
    {'658': b'what its sidecars said'}
    """

    def __init__(self, storage: Storage, place: Place) -> None:
        self._storage = storage
        self._place = place
        self._opened = False
        self._connection: sqlite3.Connection | None = None

    def load(self, collection_ids: Sequence[str]) -> dict[str, bytes]:
        """Return what was saved of some collections: each question locks the file, which costs more than the answer."""
        marks = ", ".join("?" * len(collection_ids))
        rows = self._query(
            f"SELECT collection_id, body, checksum FROM bodies WHERE collection_id IN ({marks})",  # noqa: S608
            *collection_ids,
        )
        return {
            each: body
            for each, body, checksum in rows
            if isinstance(body, bytes) and _checksum(body) == checksum
        }

    def collection_ids(self) -> set[str]:
        """Return the ids of the collections that something was saved of."""
        return {row[0] for row in self._query("SELECT collection_id FROM bodies")}

    def _query(self, sql: str, *values: Any) -> list[Any]:
        try:
            if not self._opened:
                self._opened = True
                self._connection = self._open()
            return self._connection.execute(sql, values).fetchall() if self._connection else []
        except Exception as error:  # a lock, damage, no permission: the sidecars say the same
            log.debug("going on without the index of %s: %s", self._storage.url, error)
            self.close()
            return []

    def _open(self) -> sqlite3.Connection | None:
        if self._place == "off":
            return None
        local = self._path_in_cache() if self._place == "cache" else self._storage.local_path(BESIDE)
        if local is None:
            return _in_memory(self._storage.read(BESIDE))
        if not local.exists():
            return None
        # Readers of one that lies beside the data take no locks: it never changes, it is only replaced.
        mode = "ro&immutable=1" if self._place == "beside" else "ro"
        connection = _connect(f"file:{quote(str(local))}?mode={mode}")
        try:
            if _schema(connection) == SCHEMA:
                return connection
        except BaseException:  # locked, or damaged
            connection.close()
            raise
        connection.close()
        return None

    def _path_in_cache(self) -> Path:
        import platformdirs

        name = hashlib.sha256(self._storage.url.encode()).hexdigest()[:16]
        return Path(platformdirs.user_cache_dir("nvframe")) / "index" / f"{name}.sqlite"

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    __del__ = close

    def save(self, bodies: Mapping[str, bytes], vanished: Collection[str] = ()) -> None:
        """Keep bodies by collection, and forget collections, in one transaction; where that fails, do nothing."""
        self.close()
        try:
            if self._place == "cache":
                self._save_in_cache(bodies, vanished)
            elif self._place == "beside" and self._storage.writable:
                self._save_beside(bodies, vanished)
        except Exception as error:
            log.debug("the index of %s stays as it was: %s", self._storage.url, error)

    def _save_in_cache(self, bodies: Mapping[str, bytes], vanished: Collection[str]) -> None:
        import sqlite3

        path = self._path_in_cache()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _update(path, bodies, vanished)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (_CORRUPT, _NOT_A_DATABASE):
                raise
            for damaged in (path.with_name(f"{path.name}-journal"), path):
                damaged.unlink(missing_ok=True)
            _update(path, bodies, vanished)

    def _save_beside(self, bodies: Mapping[str, bytes], vanished: Collection[str]) -> None:
        try:
            connection = _in_memory(self._storage.read(BESIDE))
        except Exception:  # there is none, or it is damaged
            connection = _in_memory(b"")
        with closing(connection):
            _write(connection, bodies, vanished)
            self._storage.put(BESIDE, bytes(connection.serialize()))


def _checksum(body: bytes) -> int:
    from zlib_ng import zlib_ng

    return int(zlib_ng.crc32(body))


def _connect(uri: str) -> sqlite3.Connection:
    import sqlite3

    return sqlite3.connect(
        uri, timeout=_BUSY_SECONDS, isolation_level=None, uri=True, check_same_thread=False
    )


def _in_memory(data: bytes) -> sqlite3.Connection:
    """Return a database in memory with the content of a file; one of another version is emptied."""
    connection = _connect(":memory:")
    try:
        if data:
            connection.deserialize(data)
        if _schema(connection) == SCHEMA:
            return connection
    except BaseException:  # damaged
        connection.close()
        raise
    connection.close()
    return _connect(":memory:")


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _update(path: Path, bodies: Mapping[str, bytes], vanished: Collection[str]) -> None:
    with closing(_connect(f"file:{quote(str(path))}")) as connection:
        # Losing power may cost the index, which the checksums then show; it is not worth waiting for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        _write(connection, bodies, vanished)


def _write(connection: sqlite3.Connection, bodies: Mapping[str, bytes], vanished: Collection[str]) -> None:
    with _transaction(connection):
        if _schema(connection) != SCHEMA:
            connection.execute("DROP TABLE IF EXISTS bodies")
            connection.execute(
                "CREATE TABLE bodies (collection_id TEXT PRIMARY KEY, body BLOB, checksum INTEGER)"
            )
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.executemany("DELETE FROM bodies WHERE collection_id = ?", ((each,) for each in vanished))
        connection.executemany(
            "INSERT OR REPLACE INTO bodies VALUES (?, ?, ?)",
            ((each, body, _checksum(body)) for each, body in bodies.items()),
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()

"""What a worker does for a Zarr: one task writes one whole shard, from files that it alone reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvframe.credentials import advice, bare, travelling
from nvframe.errors import StorageError
from nvframe.layout import is_remote
from nvframe.storage import local_root, protocol_of, whole_at_once
from nvframe.types import Asset, Failure, json_object

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.results.lattice import Lattice, Place

IMAGES = 16
"""Images of one shard, which one task owns; of the (image, voxel) layout, of one chunk."""

DATA = "stat_map"


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
        return Target, (bare(self.url), kept, self.withheld + withheld)

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
        """Return zarr's store."""
        from zarr.storage import FsspecStore, LocalStore

        if is_remote(self.url):
            return FsspecStore.from_url(self.url, storage_options=dict(self.storage_options))
        return LocalStore(self.url)

    def problem(self, what: str, error: Exception) -> StorageError:
        """Return the error for a place that cannot be reached, without secrets."""
        message = f"cannot {what} {bare(self.url)}: {type(error).__name__}: {bare(str(error))}"
        return StorageError(message + advice(self.withheld))


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a shard: its row in the Zarr, its file, and where it lies."""

    number: int
    asset: Asset
    place: Place
    image_id: str
    collection_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Everything that one task needs; it pickles.

    Attributes
    ----------
    start, stop : int
        Rows of the Zarr: all of one shard, up to the last row that there is.
    rows : sequence of Row
        Those to read from their files.
    keeps : bool
        Whether other rows of the shard are stored already.
    storage : Storage
        Where the files are.
    lattice : Lattice
        Of the Zarr.
    positions : ndarray or None
        As `Voxels.positions` gives them; None for whole maps.
    fill : float
        For what lies outside an image's field of view.
    """

    start: int
    stop: int
    rows: Sequence[Row]
    keeps: bool
    storage: Storage
    lattice: Lattice
    positions: Any
    fill: float


def write_shard(target: Target, shard: Shard) -> list[Failure]:
    """Write a shard as a whole and return what could not be read; the same again if it is called again.

    Parameters
    ----------
    target : Target
        The Zarr, whose arrays exist.
    shard : Shard
        What to write.
    """
    import numpy as np
    import zarr

    try:
        array: Any = zarr.open_array(target.store(), path=DATA, mode="r+", zarr_format=3)
    except Exception as error:
        raise target.problem("open", error) from error
    rows = slice(shard.start, shard.stop)
    size = (shard.stop - shard.start, *array.shape[1:])
    block = np.asarray(array[rows]) if shard.keeps else np.full(size, np.nan, dtype=array.dtype)
    failures = []
    for row in shard.rows:
        try:
            block[row.number - shard.start] = _values(shard, row, array.dtype)
        except Exception as error:  # a damaged file, or a store that is down, costs one image
            failures.append(_failure(shard, row, error))
    try:
        array[rows] = block
    except Exception as error:
        raise target.problem(f"write rows {shard.start} to {shard.stop} of", error) from error
    return failures


def _values(shard: Shard, row: Row, dtype: Any) -> Any:
    import numpy as np

    from nvframe.results.lazy import on_box
    from nvframe.results.masking import taken

    with np.errstate(over="ignore", invalid="ignore"):  # what no float32 can hold becomes infinite
        values = on_box(
            shard.storage, row.asset, row.place, shard.lattice.box, dtype, to_the_bit=True
        ).astype(dtype, copy=False)
    return values if shard.positions is None else taken(values, shard.positions, shard.fill)


def _failure(shard: Shard, row: Row, error: Exception) -> Failure:
    url = f"{shard.storage.url}/{row.asset.key}"
    lost = Failure.of(error, "open", "zarr", image_id=row.image_id, collection_id=row.collection_id, url=url)
    return replace(lost, retryable=True)

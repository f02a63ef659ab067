"""`fetch` and `search`: from a query to a Frame, the aligned result that every format is built from."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvframe.cache import layout
from nvframe.cache.stored_image import as_asset, as_record
from nvframe.errors import NOT_FETCHED, NvframeError, StorageError
from nvframe.pipeline import plan as planning
from nvframe.pipeline import run as running
from nvframe.pipeline.session import Session
from nvframe.plugins import ResultFormatPlugin
from nvframe.plugins.registry import default_registry
from nvframe.types import Asset, Failure, Metadata

if TYPE_CHECKING:
    from nvframe.contracts import Annotator, Storage
    from nvframe.pipeline.task import WorkPlan

_QUERY_PARAMETERS = inspect.signature(planning.make_query).parameters.keys() - {"source", "registry"}


def fetch(
    source: Any = "neurovault",
    *,
    image_terms: Metadata | None = None,
    collection_terms: Metadata | None = None,
    image_filter: planning.Predicate | None = None,
    collection_filter: planning.Predicate | None = None,
    filters: Sequence[Any] = (),
    image_ids: Any = None,
    collection_ids: Any = None,
    max_images: float | None = 100,
    mode: str = "download_new",
    shard: tuple[int, int] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    processors: Sequence[Any] = (),
    annotators: Sequence[Any] = (),
    keep_original: bool | None = None,
    executor: Any = None,
    max_workers: int | None = None,
    timeout: float = 10.0,
    on_error: str = "warn",
    progress: Any = None,
) -> Frame:
    """Find images, bring what is missing into storage, and return them as one Frame.

    Parameters
    ----------
    source : str, (str, dict) or MetadataSource, default="neurovault"
        Where the images come from.
    image_terms, collection_terms : dict, optional
        Field to wanted value or value operator. None stands for the source's defaults, unless ids are
        given; ``{}`` for no condition.
    image_filter, collection_filter : callable, optional
        Called with normalised metadata; truthy keeps.
    filters : sequence, default=()
        Filter plugins: names, (name, parameters) or objects.
    image_ids, collection_ids : sequence, optional
        Exactly these, in this order: the images of the collections first.
    max_images : int or None, default=100
        None, a negative number or infinity for all; stored images count.
    mode : str, default="download_new"
        ``download_new`` serves what is stored and fetches what is not; ``update`` also fetches again what
        changed on the server; ``overwrite`` fetches all again; ``offline`` opens no connection.
    shard : (int, int), optional
        (i, n): only the i-th of n parts, counted from 0, for n jobs that work side by side. Each image belongs
        to one part, by its id; `max_images` counts within the part.
    data_dir : path or URL, optional
        Where datasets are stored: see `nvframe.get_data_dirs`.
    storage_options : dict, optional
        For a remote `data_dir`.
    processors : sequence, default=()
        Applied to each image in this order: names, (name, parameters), objects or plain functions.
    annotators : sequence, default=()
        Each adds knowledge to each image.
    keep_original : bool, optional
        Whether the original is stored beside the processed image; by default it is, except where
        ``resample-3mm`` alone is asked for, as in nilearn.
    executor : object, optional
        Anything with `submit` of `concurrent.futures.Executor`, such as ``client.get_executor(pure=False)`` of a
        Dask client; else threads. Workers in other processes use the credentials of their own environment, and
        all must see `data_dir`.
    max_workers : int, default=8
        Threads, and half of the images in flight: with an `executor`, about the number of its workers.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    on_error : {"warn", "raise", "ignore"}, default="warn"
        What to do about images that were lost, after the rest is stored.
    progress : bool or callable, optional
        True draws a bar; a callable gets each `nvframe.types.FetchEvent`.

    Returns
    -------
    Frame
        Aligned images, metadata and annotations.

    Raises
    ------
    TypeError, ValueError, PluginError, StorageError
        For bad input, before any request.
    NvframeError
        The first failure in order, with ``on_error="raise"``.

    Examples
    --------
    >>> import nvframe, nvframe.testing
    >>> data_dir = getfixture("tmp_path")
    >>> with nvframe.testing.NeuroVaultServer.synthetic() as server:
    ...     frame = nvframe.fetch(("neurovault", {"url": server.url}), max_images=2, data_dir=data_dir)
    >>> len(frame)
    2
    """
    session = Session(source, data_dir, storage_options, timeout)
    query = planning.make_query(
        session.source,
        session.registry,
        image_terms=image_terms,
        collection_terms=collection_terms,
        image_filter=image_filter,
        collection_filter=collection_filter,
        filters=filters,
        image_ids=image_ids,
        collection_ids=collection_ids,
        max_images=max_images,
        mode=mode,
        shard=shard,
    )
    work = planning.Work(
        processors=processors,
        annotators=annotators,
        keep_original=keep_original,
        executor=executor,
        max_workers=max_workers,
        on_error=on_error,
        progress=progress,
    )
    return Frame(*session.fetch(query, work))


def search(
    source: Any = "neurovault",
    *,
    data_dir: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    mode: str = "download_new",
    **query: Any,
) -> Frame:
    """Find images and return what the source says of them; nothing is downloaded.

    Parameters
    ----------
    source, data_dir, storage_options, timeout
        As for `fetch`.
    mode : str, default="download_new"
        ``offline`` looks through what is stored; every other mode asks the server.
    **query
        ``image_terms``, ``collection_terms``, ``image_filter``, ``collection_filter``, ``filters``,
        ``image_ids``, ``collection_ids``, ``max_images`` and ``shard`` of `fetch`.

    Returns
    -------
    Frame
        Without assets; its `Frame.fetch` goes on from here.

    Raises
    ------
    TypeError, ValueError, PluginError, StorageError
        For bad input, before any request.

    Examples
    --------
    >>> import nvframe, nvframe.testing
    >>> with nvframe.testing.NeuroVaultServer.synthetic() as server:
    ...     found = nvframe.search(("neurovault", {"url": server.url}), image_terms={"map_type": "T map"})
    >>> {meta["map_type"] for meta in found.images_meta}
    {'T map'}
    """
    unknown = query.keys() - _QUERY_PARAMETERS
    if unknown:
        raise TypeError(f"search() takes no parameter {', '.join(sorted(unknown))}")
    offline = planning.checked_mode(mode) == "offline"
    session = Session(source, data_dir, storage_options, timeout)
    made = planning.make_query(
        session.source, session.registry, **query, mode="offline" if offline else "overwrite"
    )
    return Frame(*session.find(made))


class Frame:
    """Images with what is known about them: aligned lists, sliced together, turned into any format.

    `fetch` and `search` make frames.

    Attributes
    ----------
    images : list of str
        Paths, or URLs on remote storage, of the last processor's asset; empty after a search.
    images_meta, collections_meta : list of dict
        Row i belongs to image i.
    annotations : dict of str to list
        By annotator; None where it failed.
    failures : list of Failure
        What was lost, in order.
    report : Report
        Counts, bytes and seconds of the fetch.

    Examples
    --------
    >>> import nvframe, nvframe.testing
    >>> data_dir = getfixture("tmp_path")
    >>> with nvframe.testing.NeuroVaultServer.synthetic() as server:
    ...     frame = nvframe.fetch(("neurovault", {"url": server.url}), max_images=3, data_dir=data_dir)
    >>> is_t_map = [meta["map_type"] == "T map" for meta in frame.images_meta]
    >>> len(frame[:2]), len(frame[is_t_map]) <= 3
    (2, True)
    """

    def __init__(self, result: running.RunResult, plan: WorkPlan, selector: Any) -> None:
        self._result = result
        self._plan = plan
        self._selector = selector

    @property
    def images(self) -> list[str]:
        """Paths or URLs."""
        keys = [each.asset.key for each in self._result.outcomes if each.asset]
        return layout.locations(self._plan.storage, keys)

    @property
    def images_meta(self) -> list[dict[str, Any]]:
        """Metadata of each image."""
        return self._result.images_meta

    @property
    def collections_meta(self) -> list[dict[str, Any]]:
        """Metadata of each image's collection."""
        return self._result.collections_meta

    @property
    def annotations(self) -> dict[str, list[Mapping[str, Any] | None]]:
        """Annotations by annotator, each aligned with `images`."""
        return {
            annotator.name: [each.annotations.get(annotator.name) for each in self._result.outcomes]
            for annotator in self._plan.annotators
        }

    @property
    def failures(self) -> list[Failure]:
        """What was lost, in order."""
        return self._result.failures

    @property
    def report(self) -> running.Report:
        """Counts, bytes and seconds."""
        return self._result.report

    @property
    def annotators(self) -> Sequence[Annotator]:
        """The annotators of the fetch."""
        return self._plan.annotators

    @property
    def assets(self) -> list[Asset]:
        """The stored file behind each image."""
        return [as_asset(each.asset) for each in self._result.outcomes if each.asset]

    @property
    def storage(self) -> Storage:
        """Where the assets are."""
        return self._plan.storage

    @property
    def source(self) -> str:
        """Name of the metadata source."""
        return self._plan.source.name

    @property
    def description(self) -> str:
        """About the source, for people."""
        return self._plan.source.description

    def __len__(self) -> int:
        return len(self._result.outcomes)

    def __repr__(self) -> str:
        stored = "" if self.images or not len(self) else ", not fetched"
        name = self._plan.source.name
        return f"<nvframe.Frame: {len(self)} images of {name}{stored}, {len(self.failures)} failures>"

    def __getitem__(self, rows: int | slice | Sequence[Any]) -> Frame:
        """Return the frame of some rows: an index, a slice, a boolean mask or a list of indices."""
        result = self._result
        chosen = _rows(rows, len(self))
        part = running.RunResult(
            outcomes=[result.outcomes[i] for i in chosen],
            images_meta=[result.images_meta[i] for i in chosen],
            collections_meta=[result.collections_meta[i] for i in chosen],
            failures=result.failures,
            report=result.report,
        )
        return Frame(part, self._plan, self._selector)

    def fetch(
        self,
        *,
        processors: Sequence[Any] = (),
        annotators: Sequence[Any] = (),
        keep_original: bool | None = None,
        mode: str = "download_new",
        data_dir: str | os.PathLike[str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        executor: Any = None,
        max_workers: int | None = None,
        timeout: float = 10.0,
        on_error: str = "warn",
        progress: Any = None,
    ) -> Frame:
        """Fetch exactly these images, in this order; nothing is listed again.

        Parameters
        ----------
        processors, annotators, keep_original, mode, data_dir, storage_options, executor, max_workers, \
timeout, on_error, progress
            As for `nvframe.fetch`. Without `data_dir` and `storage_options` the frame's own storage is used.

        Returns
        -------
        Frame
            With assets.
        """
        session = Session(self._selector, data_dir, storage_options, timeout)
        if data_dir is None:
            session.storage = self._plan.storage
        records = [as_record(each.record, self.source) for each in self._result.outcomes]
        query = planning.Query(
            image_ids=tuple(record.id for record in records),
            by_ids=True,
            mode=planning.checked_mode(mode),
        )
        work = planning.Work(
            processors=processors,
            annotators=annotators,
            keep_original=keep_original,
            executor=executor,
            max_workers=max_workers,
            on_error=on_error,
            progress=progress,
        )
        found = session.fetch(
            query,
            work,
            known=[
                (record, layout.portable(collection))
                for record, collection in zip(records, self.collections_meta, strict=True)
            ],
        )
        return Frame(*found)

    def load(self, index: int) -> Any:
        """Return one image, held in memory.

        Parameters
        ----------
        index : int
            Row.

        Returns
        -------
        nibabel.spatialimages.SpatialImage
            As the file says: its own grid, data type and header.

        Raises
        ------
        NvframeError
            If the frame comes from a search.
        IntegrityError
            If the stored bytes are damaged.
        """
        from nvframe.imaging import nifti

        asset = self._asset(index)
        return nifti.read(self.storage.read(asset.key))

    def _asset(self, index: int) -> Asset:
        asset = self._result.outcomes[index].asset
        if asset is None:
            raise NvframeError(NOT_FETCHED)
        return as_asset(asset)

    def _all_assets(self) -> list[Asset]:
        return [self._asset(row) for row in range(len(self))]

    def local_paths(self) -> list[Path]:
        """Return a local path for each image; those on remote storage are copied to the user's cache.

        Returns
        -------
        list of pathlib.Path
            Readable by any program.
        """
        return [self._local_path(asset) for asset in self._all_assets()]

    def _local_path(self, asset: Asset) -> Path:
        path = self.storage.local_path(asset.key)
        if path is not None:
            return path
        import platformdirs

        place = Path(platformdirs.user_cache_dir("nvframe")) / "copies"
        copies = default_registry().storage(str(place))
        key = f"{asset.sha256[:2]}/{asset.sha256}.nii.gz"
        local: Path = copies.local_path(key)
        if not local.exists():
            data = self.storage.read(asset.key)
            if hashlib.sha256(data).hexdigest() != asset.sha256:
                raise StorageError(
                    f"{self.storage.url}/{asset.key} changed since it was stored: fetch it again"
                )
            copies.put(key, data)
        return local

    def grids(self) -> dict[tuple[tuple[int, ...], tuple[tuple[float, ...], ...]], int]:
        """Count images per grid, the most frequent first.

        Returns
        -------
        dict
            (shape, affine) to number of images; affine as a tuple of rows, voxel indices to mm.
        """
        return dict(Counter((asset.shape, asset.affine) for asset in self._all_assets()).most_common())

    def duplicates(self) -> list[list[int]]:
        """Find images with equal voxels, such as one map in two collections.

        Such images leak from the training folds into the test folds of a cross-validation. Files are not
        compared, since every upload is compressed anew, but what they hold, as float32 and turned to RAS+; every
        image is read once.

        Returns
        -------
        list of list of int
            Groups of two and more rows, each in the frame's order.

        Raises
        ------
        IntegrityError
            If a stored file is damaged; names it.

        Examples
        --------
        >>> import nvframe, nvframe.testing
        >>> data_dir = getfixture("tmp_path")
        >>> with nvframe.testing.NeuroVaultServer.synthetic() as server:
        ...     frame = nvframe.fetch(("neurovault", {"url": server.url}), max_images=3, data_dir=data_dir)
        >>> frame[[0, 1, 0, 2]].duplicates()
        [[0, 2]]
        """
        from nvframe.results.duplicates import duplicates

        return duplicates(self.storage, self._all_assets())

    def to(self, name: str, **params: Any) -> Any:
        """Return the frame in a result format.

        Parameters
        ----------
        name : str
            Of a result format plugin.
        **params
            For it.

        Returns
        -------
        object
            What the format builds.
        """
        built, _, _ = default_registry().build(ResultFormatPlugin, name)
        return built.build(self, **params)

    def to_bunch(self, **params: Any) -> Any:
        """Return a `sklearn.utils.Bunch`, as nilearn's fetchers do; see `nvframe.results.bunch`."""
        return self.to("bunch", **params)

    def to_pandas(self, **params: Any) -> Any:
        """Return a `pandas.DataFrame`, a row per image; see `nvframe.results.table`."""
        return self.to("pandas", **params)

    def to_xarray(self, **params: Any) -> Any:
        """Return a lazy `xarray.Dataset` on ``(image, x, y, z)``; see `nvframe.results.dataset`."""
        return self.to("xarray", **params)

    def to_zarr(self, url: str | os.PathLike[str], **params: Any) -> str:
        """Write the images into a Zarr, or add them to one, and return its url; see `nvframe.results.zarr.format`."""
        written: str = self.to("zarr", url=os.fspath(url), **params)
        return written


def _rows(rows: int | slice | Sequence[Any], length: int) -> list[int]:
    import numpy as np

    if isinstance(rows, slice):
        return list(range(length))[rows]
    chosen = np.atleast_1d(np.asarray(rows))
    if chosen.size == 0:
        return []
    if chosen.dtype == bool and len(chosen) != length:
        raise IndexError(f"the mask has {len(chosen)} rows, the frame {length}")
    return [int(i) for i in np.arange(length)[chosen]]

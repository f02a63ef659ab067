"""BIDS derivatives as a metadata source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nvframe.errors import DownloadError, SourceError
from nvframe.types import ByteStream, CollectionRecord, Failure, ImageRecord, Metadata
from nvframe_bids.datasets import DESCRIPTION, Images, dataset_paths
from nvframe_bids.names import Name, collection_id, image_id
from nvframe_bids.tree import File, Tree

NAME = "bids"

# What NeuroVault calls the same, so that terms, processors and results work alike for both.
MAP_TYPES = {
    "t": "T map",
    "z": "Z map",
    "F": "F map",
    "p": "P map (given null hypothesis)",
    "effect": "univariate-beta map",
    "variance": "variance",
}


class BidsDerivatives:
    """Maps in BIDS derivatives: statistics, parameters, means and references of one volume.

    Images are ``*_statmap``, whatever has a ``stat-`` entity, other suffixes that end in ``map``, ``*_boldref``, and
    summaries such as ``*_desc-mean_bold``. Collections are datasets: the root if it has a
    ``dataset_description.json``, those in ``derivatives`` below it, else those up to three directories down.

    Parameters
    ----------
    root : str or path
        A directory, or any URL that fsspec knows, such as ``s3://openneuro-derivatives/fmriprep``.
    storage_options : Mapping, optional
        For fsspec, such as ``{"anon": True}``.

    Raises
    ------
    SourceError
        If nothing can open such a URL.

    Notes
    -----
    An image's metadata are its sidecars, the nearer and more specific ones last, then the entities of its name
    (``sub``, ``task``, ``contrast``, ``space`` …), ``suffix`` and ``datatype``. Ids are the file's name and a digest
    of its path below the root, so they stay when the tree is moved.

    Examples
    --------
    >>> source = BidsDerivatives(getfixture("tmp_path"))
    >>> [failure.message.rpartition("/")[2] for failure in source.collections({})][0].partition(" ")[2]
    'has no BIDS dataset: no dataset_description.json down to 3 directories'
    """

    name = NAME
    server_terms: frozenset[str] = frozenset()

    def __init__(self, root: Any, storage_options: Mapping[str, Any] | None = None) -> None:
        self.tree = Tree(str(root), storage_options)
        self._paths: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"BidsDerivatives({self.tree.url!r})"

    @property
    def description(self) -> str:
        """About the tree, for people."""
        return f"Maps in the BIDS derivatives at {self.tree.url}; see each collection's own description.\n"

    def parameters(self) -> dict[str, Any]:
        """Return what tells these images from another tree's: where they are, not with which credentials."""
        return {"root": self.tree.url}

    def default_terms(self) -> tuple[Metadata, Metadata]:
        """Return no terms."""
        return {}, {}

    def collections(self, terms: Metadata) -> Iterator[CollectionRecord | Failure]:
        """Yield the datasets, in the order of their paths."""
        found = False
        self.tree.refresh()
        try:
            for path in dataset_paths(self.tree):
                found = True
                self._paths[self._collection_id(path)] = path
                yield self._collection(path)
            if not found:
                raise SourceError(self._emptiness())
        except (DownloadError, SourceError) as error:
            yield self._failure("", error)

    def _emptiness(self) -> str:
        if not self.tree.exists():
            return f"{self.tree.url} is not there"
        return f"{self.tree.url} has no BIDS dataset: no {DESCRIPTION} down to 3 directories"

    def _collection(self, path: str) -> CollectionRecord | Failure:
        try:
            return self._collection_record(path)
        except (DownloadError, SourceError) as error:
            return self._failure(path, error, self._collection_id(path))

    def _collection_record(self, path: str) -> CollectionRecord:
        described = self.tree.json(f"{path}/{DESCRIPTION}" if path else DESCRIPTION)
        identifier = self._collection_id(path)
        metadata = {
            **described,
            "id": identifier,
            "name": described.get("Name") or identifier,
            "DOI": str(described.get("DatasetDOI") or "").removeprefix("doi:") or None,
            "licence": described.get("License"),
            "url": self.tree.url_of(path) if path else self.tree.url,
        }
        return CollectionRecord(NAME, identifier, metadata)

    def _collection_id(self, path: str) -> str:
        return collection_id(path, self.tree.url.rstrip("/").rpartition("/")[2])

    def images(self, collection: CollectionRecord | None) -> Iterator[ImageRecord | Failure]:
        """Yield a dataset's maps, a directory at a time, by name; those of all datasets for None."""
        try:
            for path in [self._dataset(collection.id)] if collection else dataset_paths(self.tree):
                yield from self._images(path)
        except (DownloadError, SourceError) as error:
            yield self._failure("", error, collection.id if collection else None)

    def _images(self, dataset: str, only: str = "") -> Iterator[ImageRecord | Failure]:
        for found in Images(self.tree, dataset, only):
            if len(found) == 2:
                yield self._failure(*found, self._collection_id(dataset))
                continue
            try:
                yield self._image_record(dataset, *found)
            except (
                UnicodeError
            ):  # a file system takes names that no text holds, and so no id, and no metadata
                path = ascii(found[0].path)[1:-1]
                error = SourceError(f"the name {path} is not valid text: rename the file")
                yield self._failure(path, error, self._collection_id(dataset))

    def get_collection(self, collection_id: str) -> CollectionRecord:
        """Return one dataset."""
        return self._collection_record(self._dataset(collection_id))

    def _dataset(self, collection_id: str) -> str:
        if collection_id in self._paths:
            return self._paths[collection_id]
        for path in dataset_paths(self.tree):
            self._paths[self._collection_id(path)] = path
            if self._collection_id(path) == collection_id:
                return path
        raise SourceError(f"{self.tree.url} has no dataset {collection_id!r:.160}")

    def get_image(self, image_id: str) -> ImageRecord:
        """Return one image's record; lists the directories of its subject, or all of them."""
        head = image_id.partition("_")[0]
        only = head if head.startswith("sub-") else ""
        for dataset in dataset_paths(self.tree):
            for found in self._images(dataset, only):
                if isinstance(found, ImageRecord) and found.id == image_id:
                    return found
        raise SourceError(f"{self.tree.url} has no image {image_id!r:.160}")

    def _image_record(self, dataset: str, file: File, name: Name, metadata: dict[str, Any]) -> ImageRecord:
        identifier, collection = image_id(file.path), self._collection_id(dataset)
        space = name.entities.get("space")
        known = {
            "name": file.name.partition(".")[0],
            "map_type": MAP_TYPES.get(name.entities.get("stat", "")),
            "target_template_image": space,
            "analysis_level": "single-subject" if "sub" in name.entities else "group",
        }
        below = file.path.removeprefix(f"{dataset}/").split("/")
        own = {
            "id": identifier,
            "collection_id": collection,
            "suffix": name.suffix,
            "datatype": below[-2] if len(below) > 1 and "-" not in below[-2] else None,
            "bids_path": "/".join(below),
            "file": self.tree.url_of(file.path),
            "file_size": file.size,
            "modify_date": file.modified,
        }
        return ImageRecord(
            source=NAME,
            id=identifier,
            collection_id=collection,
            url=self.tree.url_of(file.path),
            metadata={**known, **metadata, **name.entities, **own},
            size=file.size,
            modified=file.modified,
        )

    @contextmanager
    def open_image(
        self, record: ImageRecord, start: int = 0, validator: str | None = None
    ) -> Iterator[ByteStream]:
        """Open a file; from `start` on if it is still the same."""
        file = self.tree.file(self.tree.path_of(record.url))
        offset = start if start and validator and validator == file.validator else 0
        yield ByteStream(file.size, file.validator, self.tree.chunks(file.path, offset), offset)

    def _failure(self, path: str, error: Exception, collection: str | None = None) -> Failure:
        url = self.tree.url_of(path) if path else self.tree.url
        return Failure.of(error, "list", NAME, collection_id=collection, url=url)

"""A frame written as BIDS derivatives: a study with a derivative dataset for each collection."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from nvframe.errors import IntegrityError, SourceError
from nvframe.imaging import nifti
from nvframe.storage import storage_at
from nvframe.types import Failure, checked_id, parsed_json
from nvframe_bids.datasets import DESCRIPTION
from nvframe_bids.labels import file_stem, label, suffix_of

if TYPE_CHECKING:
    from nvframe.contracts import FrameView, Storage

BIDS_VERSION = "1.10.0"
GENERATOR = "nvframe-bids"

_COGNITIVE_ATLAS = "https://www.cognitiveatlas.org/task/id/"


class BidsFormat:
    """Writes a frame's images, with what is known of them, as BIDS derivatives."""

    def build(
        self,
        frame_view: FrameView,
        *,
        url: Any,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> str:
        """Write the frame and return where it is.

        Parameters
        ----------
        frame_view : FrameView
            The frame.
        url : path or URL
            The study's root; each collection becomes ``derivatives/collection-<id>`` in it.
        overwrite : bool, default=False
            Whether to replace what an earlier call wrote there; anything else is never replaced.
        storage_options : Mapping, optional
            For fsspec, where `url` is remote.

        Returns
        -------
        str
            `url`, without credentials. An image that cannot be read is left out and stands in the frame's failures.

        Raises
        ------
        ValueError
            If the frame comes from a search.
        FileExistsError
            If something is at `url` that may not be replaced.
        StorageError
            If it cannot be written.
        """
        if frame_view.images_meta and not frame_view.images:
            raise ValueError("this frame comes from a search and has no images: call its fetch() first")
        storage = storage_at(str(url), storage_options or {})
        _make_room(storage, overwrite)
        writer = _Writer(frame_view, storage)
        writer.put_json(DESCRIPTION, _study())
        writer.put_text("README.md", _STUDY_README)
        for i in range(len(frame_view.images)):
            writer.put_image(i)
        writer.put_ignored()
        storage.tidy()
        return str(storage.url)


class _Writer:
    """What is written so far."""

    def __init__(self, frame_view: FrameView, storage: Storage) -> None:
        self._frame = frame_view
        self._storage = storage
        self._taken: dict[str, set[str]] = {}
        self._suffixes: dict[str, set[str]] = {}

    def put_json(self, key: str, value: Mapping[str, Any]) -> None:
        self.put_text(key, json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str))

    def put_text(self, key: str, text: str) -> None:
        self._storage.put(key, f"{text.rstrip()}\n".encode())

    def put_image(self, i: int) -> None:
        """Put an image and its sidecar; what cannot be read is a failure of the frame."""
        meta, collection = self._frame.images_meta[i], self._frame.collections_meta[i]
        try:
            data = self._frame.storage.read(self._frame.assets[i].key)
            nifti.verify(data)
        except (IntegrityError, OSError) as error:
            self._report(i, error)
            return
        dataset = self._dataset(collection, meta)
        stem = file_stem(meta, self._taken[dataset])
        self._suffixes[dataset].add(suffix_of(meta))
        self.put_json(f"{dataset}/{stem}.json", _sidecar(meta))
        self._storage.put(f"{dataset}/{stem}.nii.gz", data)

    def _dataset(self, collection: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
        """Return where a collection's dataset is, described before its first image."""
        identifier = collection.get("id") or meta.get("collection_id")
        dataset = f"derivatives/collection-{_directory_name(identifier)}"
        if dataset not in self._taken:
            self._taken[dataset], self._suffixes[dataset] = set(), set()
            described = _dataset_description(collection, identifier)
            self.put_json(f"{dataset}/{DESCRIPTION}", described)
            self.put_text(f"{dataset}/README.md", _readme(described, collection))
        return dataset

    def put_ignored(self) -> None:
        """Name the files that BIDS has no rule for yet, as its validator wants it."""
        for dataset, suffixes in self._suffixes.items():
            patterns = [
                f"*_{suffix}.{ending}" for suffix in sorted(suffixes) for ending in ("nii.gz", "json")
            ]
            self.put_text(f"{dataset}/.bidsignore", "\n".join(patterns))

    def _report(self, i: int, error: Exception) -> None:
        meta = self._frame.images_meta[i]
        failure = Failure.of(
            error,
            "open",
            "bids",
            image_id=str(meta.get("id")),
            collection_id=str(meta.get("collection_id")),
            url=self._frame.images[i],
        )
        if failure not in self._frame.failures:
            self._frame.failures.append(failure)


_STUDY_README = """# Maps fetched with nvframe

Each directory in `derivatives` is one collection of the repository that the maps come from: a BIDS derivative dataset.
BIDS has no rule for statistical maps yet; their names follow its proposal for them (`_contrast-…_stat-…_statmap`).
"""


def _make_room(storage: Any, overwrite: bool) -> None:
    keys = [entry.key for entry in storage.list()]
    if not keys:
        return
    if not overwrite:
        raise FileExistsError(f"{storage.url} is not empty: name another url, or pass overwrite=True")
    if not _is_ours(storage):
        raise FileExistsError(f"{storage.url} holds what {GENERATOR} did not write: name another url")
    for key in sorted(keys, key=lambda key: key == DESCRIPTION):  # the one by which we know it goes last
        storage.delete(key)


def _is_ours(storage: Any) -> bool:
    try:
        generators = parsed_json(storage.read(DESCRIPTION))["GeneratedBy"]
        return any(each["Name"] == GENERATOR for each in generators)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _directory_name(identifier: object) -> str:
    """Return a collection's id, which is one directory's name; what is not an id as a label."""
    try:
        return checked_id(identifier)
    except SourceError:
        return label(identifier) or "unknown"


def _generated_by() -> list[dict[str, str]]:
    return [
        {"Name": GENERATOR, "Version": version(GENERATOR)},
        {"Name": "nvframe", "Version": version("nvframe")},
    ]


def _study() -> dict[str, Any]:
    return {
        "Name": "Maps fetched with nvframe",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "study",
        "GeneratedBy": _generated_by(),
    }


def _dataset_description(collection: Mapping[str, Any], identifier: object) -> dict[str, Any]:
    doi, url = collection.get("DOI"), collection.get("url")
    source = {"URL": url, "DOI": doi and f"doi:{doi}"}
    described = {
        "Name": str(collection.get("name") or f"collection {identifier}"),
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": _generated_by(),
        "Authors": _authors(collection.get("authors") or collection.get("Authors")),
        "License": collection.get("licence") or collection.get("license") or collection.get("License"),
        "HowToAcknowledge": f"Please cite https://doi.org/{doi}" if doi else None,
        "SourceDatasets": [{key: str(value) for key, value in source.items() if value}],
    }
    return {key: value for key, value in described.items() if value and value != [{}]}


def _authors(said: object) -> list[str]:
    """Return names: they come as a list, or as text; where semicolons part them, commas are within names."""
    if not isinstance(said, str):
        return [str(each) for each in said] if isinstance(said, list) else []
    names = said.split(";" if ";" in said else ",")
    return [name.strip() for name in names if name.strip()]


def _readme(described: Mapping[str, Any], collection: Mapping[str, Any]) -> str:
    about = str(collection.get("description") or "").strip()
    return f"# {described['Name']}\n\n{about or 'Statistical maps, fetched with nvframe.'}\n"


def _sidecar(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's sidecar: BIDS' own keys where something fills them, and every field of the metadata."""
    task_id = meta.get("cognitive_paradigm_cogatlas_id")
    known = {
        "Description": meta.get("description") or meta.get("name"),
        "TaskName": meta.get("cognitive_paradigm_cogatlas"),
        "CogAtlasID": f"{_COGNITIVE_ATLAS}{task_id}" if task_id else None,
    }
    said = {**known, **meta}
    return {key: value for key, value in said.items() if _can_be_written(key, value)}


def _finite(value: Any) -> Any:
    """Return a value whose NaN and infinities are null: they are not JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _can_be_written(key: str, value: object) -> bool:
    is_path = "relative_path" in key or "absolute_path" in key  # of where nvframe has stored it
    return value is not None and value == value and not is_path  # NaN is not JSON

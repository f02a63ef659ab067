"""Where things lie: data directories, keys below a dataset's root, and the form of a sidecar. nilearn's layout."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson

from nvframe.cache.stored_image import as_dict, path_keys
from nvframe.errors import StorageError
from nvframe.types import ORIGINAL, Asset, checked_id, json_bytes
from nvframe.urls import is_remote

if TYPE_CHECKING:
    from nvframe.contracts import Storage

SCHEMA = 1
"""Version of the ``nvframe`` key of a sidecar."""

RESAMPLED = "resampled"
"""Role of what `resample-3mm` with defaults makes: the name nilearn uses."""

OWN_KEY = "nvframe"
COLLECTION_FILE = "collection_metadata.json"


def get_data_dirs(data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the places where datasets may be, in the order they are looked through.

    Parameters
    ----------
    data_dir : str or PathLike, optional
        Used instead of the environment; several paths may be joined by `os.pathsep`. A URL is one place.

    Returns
    -------
    list of str
        `data_dir`, or ``NVFRAME_DATA`` (one location), then each of ``NILEARN_SHARED_DATA`` and
        ``NILEARN_DATA`` (lists), then ``~/nilearn_data``.

    Examples
    --------
    >>> get_data_dirs("/scratch/maps:/home/me/maps")
    ['/scratch/maps', '/home/me/maps']
    >>> get_data_dirs("s3://bucket/prefix")
    ['s3://bucket/prefix']
    """
    if data_dir is not None:
        given = os.fspath(data_dir)
        return [given] if is_remote(given) else given.split(os.pathsep)
    places = [place] if (place := os.environ.get("NVFRAME_DATA")) else []
    for name in ("NILEARN_SHARED_DATA", "NILEARN_DATA"):
        places += filter(None, os.environ.get(name, "").split(os.pathsep))
    return [*places, str(Path("~/nilearn_data").expanduser())]


def dataset_root(data_dir: str | os.PathLike[str] | None, dataset: str) -> str:
    """Return the root of `dataset`: the first place that holds it, else the first that can.

    Parameters
    ----------
    data_dir : str or PathLike or None
        As for `get_data_dirs`.
    dataset : str
        Name of the dataset's directory, such as ``neurovault``.

    Returns
    -------
    str
        An absolute path, or a URL. Nothing is created.

    Raises
    ------
    StorageError
        If no place can hold the dataset.
    """
    places = get_data_dirs(data_dir)
    if is_remote(places[0]):
        return f"{places[0].rstrip('/')}/{dataset}"
    roots = [Path(place).expanduser().absolute() / dataset for place in places if not is_remote(place)]
    for root in roots:
        if root.is_dir():
            return str(root)
    for root in roots:
        if _can_be_made(root):
            return str(root)
    raise StorageError(_no_room(roots))


def _nearest_existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def _can_be_made(root: Path) -> bool:
    parent = _nearest_existing(root)
    return parent.is_dir() and os.access(parent, os.W_OK)


def _no_room(roots: list[Path]) -> str:
    for root in roots:
        obstacle = _nearest_existing(root)
        if not obstacle.is_dir():
            return f"data_dir {str(obstacle)!r} is a file: name a directory"
    return f"none of these can be written: {', '.join(str(r.parent) for r in roots)}; name another data_dir"


def dataset_name(source: str, params: Mapping[str, Any] | None = None) -> str:
    """Return the directory name of a source's dataset: its name, and a digest of its parameters if it has any.

    Examples
    --------
    >>> dataset_name("neurovault")
    'neurovault'
    >>> dataset_name("bids", {"root": "/data/ds1"})
    'bids-476cecc1'
    """
    return f"{source}-{digest(sorted(params.items()))}" if params else source


def digest(value: Any) -> str:
    """Return eight hex digits that stand for a JSON-like value."""
    data = orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
    return hashlib.sha256(data).hexdigest()[:8]


def collection_prefix(collection_id: str) -> str:
    """Return the key of a collection's directory."""
    return f"collection_{checked_id(collection_id)}"


def collection_key(collection_id: str) -> str:
    """Return the key of a collection's metadata."""
    return f"{collection_prefix(collection_id)}/{COLLECTION_FILE}"


def sidecar_key(collection_id: str, image_id: str) -> str:
    """Return the key of an image's sidecar."""
    return f"{collection_prefix(collection_id)}/image_{checked_id(image_id)}_metadata.json"


def asset_key(collection_id: str, image_id: str, role: str) -> str:
    """Return the key of an image's file.

    Examples
    --------
    >>> asset_key("658", "10426", "original"), asset_key("658", "10426", "resampled")
    ('collection_658/image_10426.nii.gz', 'collection_658/image_10426_resampled.nii.gz')
    """
    stem = _stem(collection_id, image_id)
    return f"{stem}.nii.gz" if role == ORIGINAL else f"{stem}_{role}.nii.gz"


def _stem(collection_id: str, image_id: str) -> str:
    return f"collection_{checked_id(collection_id)}/image_{checked_id(image_id)}"


def annotation_key(collection_id: str, image_id: str, sidecar_name: str) -> str:
    """Return the key of an annotation, such as Neurosynth's words."""
    return f"{collection_prefix(collection_id)}/{sidecar_name.format(id=checked_id(image_id))}"


def image_paths(
    collection_id: str, image_id: str, annotations: Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return the path keys of a sidecar, whether or not the files exist, as nilearn writes them.

    Parameters
    ----------
    collection_id, image_id : str
        Whose.
    annotations : iterable of (str, str)
        (metadata key, sidecar name) of each annotator that was asked.
    """
    stem = _stem(collection_id, image_id)
    paths = {
        "relative_path": f"{stem}.nii.gz",
        "resampled_relative_path": f"{stem}_{RESAMPLED}.nii.gz",
    }
    for metadata_key, sidecar_name in annotations:
        paths[f"{metadata_key}_relative_path"] = annotation_key(collection_id, image_id, sidecar_name)
    return paths


def rerooted(metadata: Mapping[str, Any], collection_id: str) -> dict[str, Any]:
    """Return stored metadata with every path below this collection, and none absolute.

    nilearn writes absolute paths into ``relative_path`` on a second visit; they break when a cache is moved.
    """
    prefix = collection_prefix(collection_id)
    stored = portable(metadata)
    for key in path_keys(stored):
        if isinstance(stored[key], str):
            name = stored[key].rpartition("/")[2]
            stored[key] = f"{prefix}/{name or PurePosixPath(stored[key]).name}"
    return stored


def with_absolute_paths(metadata: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Return `metadata` without the ``nvframe`` key and with an absolute path or URL beside each relative one."""
    shown = as_dict(metadata)
    shown.pop(OWN_KEY, None)
    for relative, absolute in path_keys(metadata).items():
        path = shown[relative]
        if isinstance(path, str):
            shown[absolute] = f"{root}/{path}"
    return shown


def assets_of(sidecar: Mapping[str, Any]) -> dict[str, Asset]:
    """Return the assets that a sidecar records, by role; none for nilearn's or a malformed record."""
    own = sidecar.get(OWN_KEY)
    if not isinstance(own, dict) or own.get("schema") != SCHEMA:
        return {}
    try:
        return {str(role): Asset.from_json(asset) for role, asset in own["assets"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def sidecar_json(metadata: Mapping[str, Any], assets: Mapping[str, Asset]) -> bytes:
    """Return the bytes of a sidecar: nilearn's keys, nothing absolute, and what nvframe knows of the assets."""
    shown = portable(metadata)
    shown[OWN_KEY] = {"schema": SCHEMA, "assets": {role: asset.to_json() for role, asset in assets.items()}}
    return json_bytes(shown)


def locations(storage: Storage, keys: Iterable[str]) -> list[str]:
    """Return where objects are, for people and programs: paths, or URLs on remote storage."""
    direct = getattr(storage, "location", None)
    if direct is not None:  # of our own storages: as many are asked for as there are images
        return list(map(direct, keys))
    paths = ((key, storage.local_path(key)) for key in keys)
    return [f"{storage.url}/{key}" if path is None else str(path) for key, path in paths]


def portable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of `metadata` may be written to disk: no absolute path, no key of our own."""
    portable = dict(metadata)
    for key in _bound_to_here(tuple(metadata)):
        del portable[key]
    return portable


@lru_cache(maxsize=256)  # the images of a collection have the same fields
def _bound_to_here(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in fields if "absolute" in key or key == OWN_KEY)

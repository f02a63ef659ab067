"""Fill a catalogue from what is stored: a dataset directory or a corpus folder."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import orjson

from nvframe.errors import NvframeError, SourceError
from nvframe.mirror.catalogue import StoredCatalogue, media_key_of
from nvframe.mirror.stored import StoredFile

logger = logging.getLogger("nvframe.mirror")

_SIDECAR = re.compile(r"collection_(?P<collection>[\w.-]+)/image_(?P<image>[\w.-]+)_metadata\.json")
_IN_COLLECTION = re.compile(r"collection_(?P<collection>[\w.-]+)/[^/]+")
_CORPUS_COLLECTION = re.compile(r"collections/(?P<collection>\d+)\.json")
_CORPUS_WORDS = re.compile(r"words/(?P<image>\d+)\.json")
_REMOTE_READERS = 16

Listing = Mapping[str, StoredFile]


def load(url: str, **storage_options: Any) -> StoredCatalogue:
    """Load the catalogue of whatever is stored at `url`.

    Parameters
    ----------
    url : str
        A local path or any URL that fsspec opens: a dataset directory (``collection_<id>/…``, as nvframe
        and nilearn leave it) or a corpus folder (``collections/<id>.json`` beside ``media/``).
    **storage_options
        For the file system.

    Returns
    -------
    StoredCatalogue
        What is there now; later changes need a new one.

    Raises
    ------
    SourceError
        If neither layout is found there.

    Notes
    -----
    An image whose JSON is damaged, or of which no file is stored, is left out and logged.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nvframe.testing import synthetic_corpus
    >>> with TemporaryDirectory() as directory:
    ...     _ = synthetic_corpus(directory, 1, 2, grids=("RAS-8mm",))
    ...     load(directory).page("images", None, limit=100, offset=0)
    (2, ['1001', '1002'])
    """
    listing = _listing(url, storage_options)
    if any(_CORPUS_COLLECTION.fullmatch(key) for key in listing):
        return _from_corpus(listing)
    if any(_IN_COLLECTION.fullmatch(key) for key in listing):
        return _from_dataset(listing)
    raise SourceError(
        f"nothing to serve at {url}: neither collection_<id>/ nor collections/<id>.json is there"
    )


def load_dataset(url: str, **storage_options: Any) -> StoredCatalogue:
    """Load a dataset directory, which may still be empty; see `load`."""
    return _from_dataset(_listing(url, storage_options))


def load_corpus(url: str, **storage_options: Any) -> StoredCatalogue:
    """Load a corpus folder, which may still be empty; see `load`."""
    return _from_corpus(_listing(url, storage_options))


def _from_dataset(listing: Listing) -> StoredCatalogue:
    catalogue = StoredCatalogue()
    collections = {m["collection"] for key in listing if (m := _IN_COLLECTION.fullmatch(key))}
    described = dict(_documents(listing, (f"collection_{c}/collection_metadata.json" for c in collections)))
    for collection_id in collections:
        metadata = described.get(f"collection_{collection_id}/collection_metadata.json")
        if not isinstance(metadata, dict) or str(metadata.get("id")) != collection_id:
            # its images are good all the same, and clients ask for the collection of every image
            metadata = {"id": _json_id(collection_id), "name": None}
        _try(f"collection {collection_id}", catalogue.add_collection, metadata)
    for key, sidecar in _documents(listing, filter(_SIDECAR.fullmatch, listing)):
        _try(key, _add_stored_image, catalogue, listing, key, sidecar)
    return catalogue


def _add_stored_image(
    catalogue: StoredCatalogue, listing: Listing, key: str, sidecar: dict[str, Any]
) -> None:
    """Add the image of one sidecar with the file that stands beside it: the original, else the resampled."""
    match = _SIDECAR.fullmatch(key)
    if match is None or str(sidecar["id"]) != match["image"]:
        raise SourceError(f"it describes image {sidecar['id']}")
    directory, image_id = key.rpartition("/")[0], match["image"]
    metadata = sidecar | {"collection_id": sidecar.get("collection_id", _json_id(match["collection"]))}
    if str(metadata["collection_id"]) != match["collection"]:
        raise SourceError(f"it belongs to collection {metadata['collection_id']}")
    original = listing.get(f"{directory}/image_{image_id}.nii.gz")
    stored = original or listing.get(f"{directory}/image_{image_id}_resampled.nii.gz")
    if stored is None:
        raise SourceError("no file of it is stored")
    own_key = f"images/{match['collection']}/{PurePosixPath(stored.path).name}"
    media_key = (original and _key_in_url(metadata.get("file"), match["collection"])) or own_key
    if catalogue.media(media_key) is not None:
        media_key = own_key
    catalogue.add_media(media_key, stored)
    catalogue.add_image(metadata, media_key)
    if words := listing.get(f"{directory}/neurosynth_words_for_image_{image_id}.json"):
        catalogue.add_words(image_id, words)


def _key_in_url(url: object, collection_id: str) -> str | None:
    """Return under which key NeuroVault served a file; what is stored is always compressed."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name if isinstance(url, str) else ""
    key = media_key_of(url) or (f"images/{collection_id}/{name}" if name else None)
    return f"{key}.gz" if key and key.endswith(".nii") else key


def _from_corpus(listing: Listing) -> StoredCatalogue:
    catalogue = StoredCatalogue()
    for key, stored in listing.items():
        if key.startswith("media/"):
            catalogue.add_media(key.removeprefix("media/"), stored)
        elif match := _CORPUS_WORDS.fullmatch(key):
            catalogue.add_words(match["image"], stored)
    ids = [m["collection"] for key in listing if (m := _CORPUS_COLLECTION.fullmatch(key))]
    for key, metadata in _documents(listing, (f"collections/{c}.json" for c in ids)):
        _try(key, catalogue.add_collection, metadata)
    for key, page in _documents(listing, (f"collections/{c}_images.json" for c in ids)):
        rows = page.get("results") if isinstance(page, dict) else page
        for row in rows if isinstance(rows, list) else ():
            _try(f"a row of {key}", catalogue.add_image, row)
    return catalogue


def _json_id(text: str) -> int | str:
    """Return an id as NeuroVault writes it: a number."""
    return int(text) if text.isdecimal() else text


def _try(what: str, add: Callable[..., None], *args: Any) -> None:
    """Add one record; what cannot be served is logged and left out."""
    try:
        add(*args)
    except (NvframeError, KeyError, TypeError, ValueError, AttributeError) as error:
        logger.warning("left out %s: %s: %s", what, type(error).__name__, error)


def _listing(url: str, storage_options: Mapping[str, Any]) -> Listing:
    """Return every file below `url` by its relative key: one listing, however many files."""
    fs, root = fsspec.core.url_to_fs(str(url), **storage_options)
    fs.invalidate_cache()
    prefix = root.rstrip("/") + "/"
    found = fs.find(root, detail=True)
    return {
        path[len(prefix) :]: StoredFile(fs, path, int(info.get("size") or 0))
        for path, info in found.items()
        if path.startswith(prefix)
    }


def _documents(listing: Listing, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield the JSON at each of `keys` that is there; what cannot be read is logged and left out."""
    present = [key for key in keys if key in listing]
    local = not present or "file" in _protocols(listing[present[0]].fs)
    with ThreadPoolExecutor(1 if local else _REMOTE_READERS, "nvframe-mirror") as pool:
        parse = map if local else pool.map
        for key, document in zip(present, parse(_document, [listing[key] for key in present]), strict=True):
            if isinstance(document, Exception):
                logger.warning("left out %s: %s: %s", key, type(document).__name__, document)
            else:
                yield key, document


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _document(stored: StoredFile) -> Any:
    try:
        content = stored.read()
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return json.loads(content)  # nilearn writes NaN and Infinity, which are not JSON
    except (OSError, ValueError, RecursionError) as error:
        return error

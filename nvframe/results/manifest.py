"""A manifest of what is stored: which images, under which keys, with which checksums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nvframe.errors import NOT_FETCHED, NvframeError, StorageError
from nvframe.storage.plugin import storage_at
from nvframe.types import parsed_json

if TYPE_CHECKING:
    from nvframe.contracts import FrameView, Storage
    from nvframe.types import Asset, Metadata

SCHEMA = 1


class ManifestFormat:
    """Writes a JSON document with a row per stored image, for those who check or cite what a store holds."""

    def build(
        self,
        frame_view: FrameView,
        url: str,
        overwrite: bool = False,
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> str:
        """Write the manifest and return its url.

        Parameters
        ----------
        frame_view : FrameView
            The frame; after a fetch.
        url : str
            Path or URL of the file, such as ``s3://bucket/maps/neurovault-manifest.json``.
        overwrite : bool, default=False
            Whether to forget the rows of a manifest that is there. They stay otherwise, but for those of the same
            images.
        storage_options : dict, optional
            For a remote `url`.

        Returns
        -------
        str
            `url`.

        Raises
        ------
        StorageError
            If a file that is not a manifest of the same dataset lies at `url`, or it cannot be written.
        NvframeError
            If the frame comes from a search: nothing is stored then.

        Notes
        -----
        Each row has ``id``, ``collection_id``, ``key`` below ``root``, ``size`` in bytes, ``sha256``, ``steps``
        (what made the file of the original; empty for the original itself), ``source_sha256`` (of that original),
        ``modify_date`` and ``doi``.
        """
        if len(frame_view.assets) != len(frame_view.images_meta):
            raise NvframeError(NOT_FETCHED)
        place, _, name = url.rpartition("/")
        storage = storage_at(place or ".", storage_options)
        known = {} if overwrite else _rows_of(storage, name, frame_view.storage.url)
        views = zip(frame_view.assets, frame_view.images_meta, frame_view.collections_meta, strict=True)
        rows = known | {asset.key: _row(asset, image, collection) for asset, image, collection in views}
        document = {
            "schema": SCHEMA,
            "root": frame_view.storage.url,
            "images": [rows[key] for key in sorted(rows)],
        }
        storage.put(name, _json(document))
        storage.tidy()
        return url


def _rows_of(storage: Storage, name: str, root: str) -> dict[str, dict[str, Any]]:
    """Return the rows of the manifest that is there, by key."""
    try:
        document = parsed_json(storage.read(name))
        if document["schema"] == SCHEMA and document["root"] == root:
            return {row["key"]: row for row in document["images"]}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError):
        pass
    raise StorageError(
        f"{storage.url}/{name} is not a manifest of {root}: name another file, or replace it with overwrite=True"
    )


def _row(asset: Asset, image: Metadata, collection: Metadata) -> dict[str, Any]:
    return {
        "id": image.get("id"),
        "collection_id": image.get("collection_id"),
        "key": asset.key,
        "size": asset.size,
        "sha256": asset.sha256,
        "steps": list(asset.chain[1:]),
        "source_sha256": asset.chain[0] if asset.chain else asset.sha256,
        "modify_date": image.get("modify_date"),
        "doi": collection.get("DOI"),
    }


def _json(document: dict[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)

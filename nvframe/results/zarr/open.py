"""Open a Zarr as a lazy Dataset with xarray, after a check that its document can do no harm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

import nvframe.results.accessor  # noqa: F401 - importing it registers `ds.nvframe`
from nvframe.errors import StorageError
from nvframe.urls import strip_credentials

if TYPE_CHECKING:
    from nvframe.storage.target import Target

_CODECS = frozenset(
    {"bytes", "transpose", "sharding_indexed", "blosc", "zstd", "gzip", "crc32c", "vlen-utf8", "vlen-bytes"}
)
"""Codecs of Zarr 3 that decode to numbers or text. Others, such as ``pickle``, can run code when they decode."""


def open_zarr(target: Target) -> xr.Dataset:
    """Return the lazy Dataset that ``xr.open_zarr(url, chunks=None)`` gives of a Zarr.

    Parameters
    ----------
    target : Target
        Where it lies, in format 3.

    Raises
    ------
    FileNotFoundError
        If there is no Zarr of format 3.
    StorageError
        If the place cannot be reached, its document is damaged, or it names a codec that may run code.
    """
    url = strip_credentials(target.url)
    document = target.document()
    if document is None:
        raise FileNotFoundError(
            f"no Zarr of format 3 found at {url}; open one of format 2 with xarray.open_zarr"
        )
    consolidated = document.get("consolidated_metadata")
    _refuse_unsafe(document, url)
    dataset: xr.Dataset = xr.open_zarr(
        target.store(), chunks=None, consolidated=bool(consolidated), zarr_format=3
    )
    dataset.encoding["source"] = url
    return dataset


def _refuse_unsafe(document: Mapping[str, Any], url: str) -> None:
    for entry in _entries(document):
        if entry.get("zarr_format") != 3:
            raise StorageError(f"{url} mixes Zarr formats in one document: it was damaged or tampered with")
        unknown = set(_codec_names(entry.get("codecs", ()))) - _CODECS
        if unknown:
            names = ", ".join(sorted(map(repr, unknown)))
            raise StorageError(f"{url} uses codecs that nvframe does not open, as they may run code: {names}")


def _entries(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the metadata of a group and of all that its document describes, groups in groups included."""
    yield document
    consolidated = document.get("consolidated_metadata") or {}
    for entry in (consolidated.get("metadata") or {}).values():
        yield from _entries(entry)


def _codec_names(codecs: Any) -> Iterator[str]:
    for codec in codecs:
        yield str(codec["name"] if isinstance(codec, Mapping) else codec)
        inner = codec.get("configuration", {}) if isinstance(codec, Mapping) else {}
        for nested in ("codecs", "index_codecs"):  # of a sharding codec
            yield from _codec_names(inner.get(nested, ()))

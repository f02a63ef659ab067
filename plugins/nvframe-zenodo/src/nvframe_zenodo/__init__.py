"""Maps in records of Zenodo, or of another archive with its API, as an nvframe source."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe import hookimpl
from nvframe.plugins import MetadataSourcePlugin


@hookimpl
def nvframe_metadata_sources() -> Iterator[MetadataSourcePlugin]:
    """Yield the source ``zenodo``."""
    yield MetadataSourcePlugin(
        "zenodo",
        "nvframe_zenodo.source:Zenodo",
        summary="NIfTI files in Zenodo's records",
        url="https://developers.zenodo.org",
        conformance="nvframe_zenodo.conformance:SourceKit",
    )

"""BIDS derivatives at any URL as an nvframe source, and a result format that writes them."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe import hookimpl
from nvframe.plugins import MetadataSourcePlugin, ResultFormatPlugin

_SPECIFICATION = "https://bids-specification.readthedocs.io"


@hookimpl
def nvframe_metadata_sources() -> Iterator[MetadataSourcePlugin]:
    """Yield the source ``bids``."""
    yield MetadataSourcePlugin(
        "bids",
        "nvframe_bids.source:BidsDerivatives",
        summary="maps in BIDS derivatives, in a directory or a bucket",
        url=_SPECIFICATION,
        conformance="nvframe_bids.conformance:SourceKit",
    )


@hookimpl
def nvframe_result_formats() -> Iterator[ResultFormatPlugin]:
    """Yield the result format ``bids``."""
    yield ResultFormatPlugin(
        "bids",
        "nvframe_bids.writer:BidsFormat",
        summary="BIDS derivatives, a dataset per collection",
        url=_SPECIFICATION,
        conformance="nvframe_bids.conformance:ResultFormatKit",
    )

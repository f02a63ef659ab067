"""Maps as (image × region) tables by an atlas that the user names: a result format and an annotator."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe import hookimpl
from nvframe.plugins import AnnotatorPlugin, ResultFormatPlugin


@hookimpl
def nvframe_result_formats() -> Iterator[ResultFormatPlugin]:
    """Yield the result format ``regions``."""
    yield ResultFormatPlugin(
        "regions",
        "nvframe_atlas.table:RegionsFormat",
        summary="a DataFrame, a column per region of an atlas",
        conformance="nvframe_atlas.conformance:ResultFormatKit",
    )


@hookimpl
def nvframe_annotators() -> Iterator[AnnotatorPlugin]:
    """Yield the annotator ``regions``."""
    yield AnnotatorPlugin(
        "regions",
        "nvframe_atlas.annotator:Regions",
        summary="values in an atlas' regions, stored beside each map",
        conformance="nvframe_atlas.conformance:AnnotatorKit",
    )

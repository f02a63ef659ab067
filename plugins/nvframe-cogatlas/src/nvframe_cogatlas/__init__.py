"""Cognitive Atlas tasks and contrasts as an nvframe annotator, from what the images' metadata say."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe import hookimpl
from nvframe.plugins import AnnotatorPlugin


@hookimpl
def nvframe_annotators() -> Iterator[AnnotatorPlugin]:
    """Yield the annotator ``cogatlas``."""
    yield AnnotatorPlugin(
        "cogatlas",
        "nvframe_cogatlas.annotator:CognitiveAtlas",
        summary="tasks and contrasts of the Cognitive Atlas, without a network",
        url="https://www.cognitiveatlas.org",
    )

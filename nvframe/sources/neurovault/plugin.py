"""What the NeuroVault set registers."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe.plugins import AnnotatorPlugin, FilterPlugin, MetadataSourcePlugin
from nvframe.plugins.hookspecs import hookimpl

_HERE = "nvframe.sources.neurovault"


@hookimpl
def nvframe_metadata_sources() -> Iterator[MetadataSourcePlugin]:
    """Yield the NeuroVault source."""
    yield MetadataSourcePlugin(
        "neurovault",
        f"{_HERE}.source:NeuroVault",
        "statistical maps on neurovault.org",
        url="https://neurovault.org",
    )


@hookimpl
def nvframe_filters() -> Iterator[FilterPlugin]:
    """Yield NeuroVault's default terms as filters that can be named."""
    yield FilterPlugin(
        "neurovault-basic-collections", f"{_HERE}.filters:BasicCollections", "collections that hold images"
    )
    yield FilterPlugin(
        "neurovault-basic-images",
        f"{_HERE}.filters:BasicImages",
        "unthresholded statistical maps in MNI space",
    )


@hookimpl
def nvframe_annotators() -> Iterator[AnnotatorPlugin]:
    """Yield the Neurosynth words."""
    yield AnnotatorPlugin(
        "neurosynth-words",
        f"{_HERE}.neurosynth:NeurosynthWords",
        "weights of Neurosynth's words",
        url="https://neurosynth.org",
    )

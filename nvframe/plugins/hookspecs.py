"""The seven hooks. Six say what exists; one tells observers what happens. None is called per image by a worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from nvframe.types import FetchEvent

if TYPE_CHECKING:
    from nvframe.plugins import (
        AnnotatorPlugin,
        FilterPlugin,
        ImageProcessorPlugin,
        MetadataSourcePlugin,
        ResultFormatPlugin,
        StorageBackendPlugin,
    )

PROJECT = "nvframe"
OBSERVERS = "nvframe.observers"
"""Entry-point group of observers, loaded only when a fetch starts."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def nvframe_metadata_sources() -> Iterable[MetadataSourcePlugin]:  # type: ignore[empty-body]
    """Yield descriptors of metadata sources."""


@hookspec
def nvframe_filters() -> Iterable[FilterPlugin]:  # type: ignore[empty-body]
    """Yield descriptors of filters."""


@hookspec
def nvframe_storage_backends() -> Iterable[StorageBackendPlugin]:  # type: ignore[empty-body]
    """Yield descriptors of storage backends, named by URL protocol."""


@hookspec
def nvframe_image_processors() -> Iterable[ImageProcessorPlugin]:  # type: ignore[empty-body]
    """Yield descriptors of image processors."""


@hookspec
def nvframe_annotators() -> Iterable[AnnotatorPlugin]:  # type: ignore[empty-body]
    """Yield descriptors of annotators."""


@hookspec
def nvframe_result_formats() -> Iterable[ResultFormatPlugin]:  # type: ignore[empty-body]
    """Yield descriptors of result formats."""


@hookspec
def nvframe_fetch_event(event: FetchEvent) -> None:
    """Observe a fetch; nothing returned or raised here changes it."""

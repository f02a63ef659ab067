"""Plugins: the descriptors that hooks yield. Finding and loading them is in the modules below."""

from nvframe.plugins.descriptors import (
    API_VERSION,
    KINDS,
    AnnotatorPlugin,
    FilterPlugin,
    ImageProcessorPlugin,
    MetadataSourcePlugin,
    Plugin,
    ResultFormatPlugin,
    StorageBackendPlugin,
)

__all__ = [
    "API_VERSION",
    "KINDS",
    "AnnotatorPlugin",
    "FilterPlugin",
    "ImageProcessorPlugin",
    "MetadataSourcePlugin",
    "Plugin",
    "ResultFormatPlugin",
    "StorageBackendPlugin",
]

"""Descriptors: what a hook yields, one small frozen class per kind of plugin."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from nvframe.errors import PluginError

API_VERSION = 1
"""Version of the plugin API that this nvframe speaks."""

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A name and a factory; the base of all descriptors.

    Attributes
    ----------
    name : str
        How users select it: kebab-case.
    factory : callable or str
        Called with the user's parameters; ``"package.module:attr"`` is imported on first use.
    summary : str
        One line for ``nvframe plugins``.
    requires : tuple of str
        Distributions to install when the factory cannot be imported.
    url : str
        Where its documentation is.
    api : int
        Version of the plugin API it was written for.
    conformance : str
        ``"package.module:Class"`` of its conformance kit, for ``nvframe plugins check``.

    Raises
    ------
    PluginError
        If the name is not kebab-case or `api` is newer than this nvframe's.

    Examples
    --------
    >>> MetadataSourcePlugin("lab-archive", "lab_archive.source:LabArchive").name
    'lab-archive'
    """

    kind: ClassVar[str] = ""
    plural: ClassVar[str] = ""

    name: str
    factory: Callable[..., Any] | str
    summary: str = ""
    requires: tuple[str, ...] = ()
    url: str = ""
    api: int = API_VERSION
    conformance: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _KEBAB.fullmatch(self.name):
            raise PluginError(f"plugin name {self.name!r} is not kebab-case (a-z, 0-9 and single hyphens)")
        if not isinstance(self.api, int) or self.api < 1:
            raise PluginError(f"plugin {self.name!r}: api is {self.api!r}, not the number of a plugin API")
        if self.api > API_VERSION:
            raise PluginError(
                f"plugin {self.name!r} needs plugin API {self.api}, this nvframe speaks {API_VERSION}: "
                "update nvframe"
            )


class MetadataSourcePlugin(Plugin):
    """Describes a `nvframe.contracts.MetadataSource`."""

    __slots__ = ()
    kind = "source"
    plural = "metadata_sources"


class FilterPlugin(Plugin):
    """Describes a `nvframe.contracts.Filter`."""

    __slots__ = ()
    kind = "filter"
    plural = "filters"


class StorageBackendPlugin(Plugin):
    """Describes a `nvframe.contracts.Storage`; the name is a URL protocol, or ``fsspec`` for all others."""

    __slots__ = ()
    kind = "storage"
    plural = "storage_backends"


class ImageProcessorPlugin(Plugin):
    """Describes a `nvframe.contracts.ImageProcessor`."""

    __slots__ = ()
    kind = "processor"
    plural = "image_processors"


class AnnotatorPlugin(Plugin):
    """Describes a `nvframe.contracts.Annotator`."""

    __slots__ = ()
    kind = "annotator"
    plural = "annotators"


class ResultFormatPlugin(Plugin):
    """Describes a `nvframe.contracts.ResultFormat`."""

    __slots__ = ()
    kind = "result format"
    plural = "result_formats"


KINDS: tuple[type[Plugin], ...] = (
    MetadataSourcePlugin,
    FilterPlugin,
    StorageBackendPlugin,
    ImageProcessorPlugin,
    AnnotatorPlugin,
    ResultFormatPlugin,
)

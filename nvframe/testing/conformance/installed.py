"""The kit of a plugin that is installed: its own, or as much of ours as goes without its author's fixtures."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from nvframe.errors import PluginError
from nvframe.plugins import KINDS, Plugin
from nvframe.plugins.registry import default_registry, load_factory
from nvframe.testing.conformance.annotator import AnnotatorConformance
from nvframe.testing.conformance.base import Conformance
from nvframe.testing.conformance.filter import FilterConformance
from nvframe.testing.conformance.processor import ProcessorConformance
from nvframe.testing.conformance.result_format import ResultFormatConformance
from nvframe.testing.conformance.source import SourceConformance
from nvframe.testing.conformance.storage import StorageConformance

_NEEDS_FIXTURES = (
    "only its author's kit can set up what this needs: name it in the descriptor's `conformance`"
)


class _Unaided(Conformance):
    """Skips where the factory cannot be called without parameters."""

    def _cannot_build(self, error: PluginError) -> NoReturn:
        pytest.skip(f"{error}; {_NEEDS_FIXTURES}")


class _Source(_Unaided, SourceConformance):
    @pytest.fixture
    def source(self) -> Any:
        """Skip: checks would ask a server somewhere."""
        pytest.skip(_NEEDS_FIXTURES)


class _Storage(_Unaided, StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Any:
        """Return a directory or a place in memory where the protocol has them; else skip."""
        name = self.plugin.name if self.plugin else ""
        urls = {"local": str(tmp_path / "storage"), "fsspec": f"memory://{uuid.uuid4().hex}"}
        return self.build(url=urls[name]) if name in urls else pytest.skip(_NEEDS_FIXTURES)


class _Processor(_Unaided, ProcessorConformance):
    pass


class _Annotator(_Unaided, AnnotatorConformance):
    @pytest.fixture
    def annotator(self) -> Any:
        """Return the annotator, unless its checks would ask a server somewhere."""
        made = self.build()
        return pytest.skip(_NEEDS_FIXTURES) if getattr(made, "needs_network", False) else made


class _Filter(_Unaided, FilterConformance):
    pass


class _ResultFormat(_Unaided, ResultFormatConformance):
    pass


_UNAIDED: dict[str, type[Conformance]] = {
    kit.kind.kind: kit for kit in (_Source, _Storage, _Processor, _Annotator, _Filter, _ResultFormat)
}


def kit_of(kind: str, name: str) -> type[Conformance]:
    """Return the kit of a plugin, to be collected by pytest.

    Parameters
    ----------
    kind, name : str
        As ``nvframe plugins`` lists them.

    Returns
    -------
    type
        The class that its descriptor names, else a subclass of ours whose checks skip what they cannot set up.

    Raises
    ------
    PluginError
        If there is no such plugin, or what it names is not a kit.
    """
    (wanted,) = (each for each in KINDS if each.kind == kind)
    plugin = default_registry().get(wanted, name).plugin
    if not plugin.conformance:
        return type("TestKit", (_UNAIDED[kind],), {"plugin": plugin})
    kit = load_factory(_standing_for(plugin))
    if not (isinstance(kit, type) and issubclass(kit, Conformance) and kit.kind is wanted):
        raise PluginError(f"{kind} {name!r}: conformance={plugin.conformance!r} is not a kit for a {kind}")
    return kit if kit.plugin is not None else type("TestKit", (kit,), {"plugin": plugin})


def _standing_for(plugin: Plugin) -> Plugin:
    return replace(plugin, factory=plugin.conformance, requires=())

"""What plugin authors and our own tests share: the conformance kit, a scripted NeuroVault, a corpus, fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nvframe.testing.conformance.annotator import AnnotatorConformance
    from nvframe.testing.conformance.base import checks
    from nvframe.testing.conformance.filter import FilterConformance
    from nvframe.testing.conformance.processor import ProcessorConformance
    from nvframe.testing.conformance.result_format import ResultFormatConformance
    from nvframe.testing.conformance.source import SourceConformance
    from nvframe.testing.conformance.storage import StorageConformance
    from nvframe.testing.corpus.synthetic import synthetic_corpus
    from nvframe.testing.server.faults import Fault
    from nvframe.testing.server.server import NeuroVaultServer, Request

__all__ = [
    "AnnotatorConformance",
    "Fault",
    "FilterConformance",
    "NeuroVaultServer",
    "ProcessorConformance",
    "Request",
    "ResultFormatConformance",
    "SourceConformance",
    "StorageConformance",
    "checks",
    "synthetic_corpus",
]

_HOMES = {
    "AnnotatorConformance": "conformance.annotator",
    "Fault": "server.faults",
    "FilterConformance": "conformance.filter",
    "NeuroVaultServer": "server.server",
    "ProcessorConformance": "conformance.processor",
    "Request": "server.server",
    "ResultFormatConformance": "conformance.result_format",
    "SourceConformance": "conformance.source",
    "StorageConformance": "conformance.storage",
    "checks": "conformance.base",
    "synthetic_corpus": "corpus.synthetic",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: pytest loads this package in every run."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

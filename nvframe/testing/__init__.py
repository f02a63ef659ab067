"""What plugin authors and our own tests share: a scripted NeuroVault, a synthetic corpus, fixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nvframe.testing.corpus import synthetic_corpus
    from nvframe.testing.faults import Fault
    from nvframe.testing.server import NeuroVaultServer, Request

__all__ = ["Fault", "NeuroVaultServer", "Request", "synthetic_corpus"]

_HOMES = {
    "Fault": "faults",
    "NeuroVaultServer": "server",
    "Request": "server",
    "synthetic_corpus": "corpus",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: pytest loads this package in every run."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

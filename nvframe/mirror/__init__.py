"""Serve a stored dataset over NeuroVault's API, to colleagues or to tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nvframe.mirror.app import create_app
    from nvframe.mirror.catalogue import Catalogue, StoredCatalogue
    from nvframe.mirror.loaders import load, load_corpus, load_dataset
    from nvframe.mirror.server import Server, serve

__all__ = [
    "Catalogue",
    "Server",
    "StoredCatalogue",
    "create_app",
    "load",
    "load_corpus",
    "load_dataset",
    "serve",
]

_HOMES = {
    "Catalogue": "catalogue",
    "Server": "server",
    "StoredCatalogue": "catalogue",
    "create_app": "app",
    "load": "loaders",
    "load_corpus": "loaders",
    "load_dataset": "loaders",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the web packages are an extra."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

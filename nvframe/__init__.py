"""nvframe: plugin-based dataset adapters for brain images.

Names are imported when they are first used, so that ``import nvframe`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from nvframe import errors, imaging, neurovault, options, testing
    from nvframe.cache.layout import get_data_dirs
    from nvframe.errors import Skip
    from nvframe.frame import Frame, fetch, search
    from nvframe.neurovault import (
        fetch_neurovault,
        fetch_neurovault_auditory_computation_task,
        fetch_neurovault_ids,
    )
    from nvframe.options import set_options
    from nvframe.plugins.hookspecs import hookimpl
    from nvframe.results.accessor import to_nifti

__all__ = [
    "Frame",
    "Skip",
    "errors",
    "fetch",
    "fetch_neurovault",
    "fetch_neurovault_auditory_computation_task",
    "fetch_neurovault_ids",
    "get_data_dirs",
    "hookimpl",
    "imaging",
    "neurovault",
    "options",
    "search",
    "set_options",
    "testing",
    "to_nifti",
]

_HOME = {
    "Frame": "nvframe.frame",
    "Skip": "nvframe.errors",
    "fetch": "nvframe.frame",
    "search": "nvframe.frame",
    "fetch_neurovault": "nvframe.neurovault",
    "fetch_neurovault_auditory_computation_task": "nvframe.neurovault",
    "fetch_neurovault_ids": "nvframe.neurovault",
    "get_data_dirs": "nvframe.cache.layout",
    "hookimpl": "nvframe.plugins.hookspecs",
    "set_options": "nvframe.options",
    "to_nifti": "nvframe.results.accessor",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nvframe' has no attribute {name!r}")
    module = import_module(_HOME.get(name, f"nvframe.{name}"))
    return getattr(module, name) if name in _HOME else module


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

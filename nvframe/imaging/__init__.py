"""Images as bytes, on grids, and from one grid to another."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["grids", "nifti", "resample"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nvframe.imaging' has no attribute {name!r}")
    return import_module(f"nvframe.imaging.{name}")

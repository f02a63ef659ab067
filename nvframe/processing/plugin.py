"""Registers the built-in image processors; factories are strings, so nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator

from nvframe.plugins import ImageProcessorPlugin
from nvframe.plugins.hookspecs import hookimpl

_MODULE = "nvframe.processing.processors"


@hookimpl
def nvframe_image_processors() -> Iterator[ImageProcessorPlugin]:
    """Yield the descriptors of ``resample-3mm``, ``resample``, ``smooth``, ``mask`` and ``t-to-z``."""
    yield ImageProcessorPlugin(
        "resample-3mm", f"{_MODULE}:Resample3mm", summary="3 mm, as fetch_neurovault(resample=True) does"
    )
    yield ImageProcessorPlugin(
        "resample", f"{_MODULE}:Resample", summary="onto a named grid, or the grid of a file or an affine"
    )
    yield ImageProcessorPlugin("smooth", f"{_MODULE}:Smooth", summary="Gaussian smoothing, fwhm in mm")
    yield ImageProcessorPlugin("mask", f"{_MODULE}:Mask", summary="0 outside a mask")
    yield ImageProcessorPlugin("t-to-z", f"{_MODULE}:TToZ", summary="T maps to Z maps by degrees of freedom")

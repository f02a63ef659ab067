"""An nvframe plugin in twenty lines: a processor called ``threshold``."""

from collections.abc import Iterator

from nvframe import hookimpl
from nvframe.plugins import ImageProcessorPlugin


@hookimpl
def nvframe_image_processors() -> Iterator[ImageProcessorPlugin]:
    """Yield the processor."""
    yield ImageProcessorPlugin(
        "threshold", "nvframe_example.threshold:Threshold", summary="0 where a map is weak"
    )

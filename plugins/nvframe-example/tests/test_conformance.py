"""nvframe's kit, on the processor."""

from nvframe.testing import ProcessorConformance
from nvframe_example import nvframe_image_processors


class TestThreshold(ProcessorConformance):
    (plugin,) = nvframe_image_processors()
    refused_parameters = ({"threshold": "high"},)

"""nvframe's kit, on the annotator."""

from nvframe.testing import AnnotatorConformance
from nvframe_cogatlas import nvframe_annotators


class TestCognitiveAtlas(AnnotatorConformance):
    (plugin,) = nvframe_annotators()

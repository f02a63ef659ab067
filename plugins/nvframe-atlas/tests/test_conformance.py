"""nvframe's kit, on the result format and the annotator."""

from nvframe_atlas.conformance import AnnotatorKit, ResultFormatKit


class TestRegionsFormat(ResultFormatKit):
    pass


class TestRegions(AnnotatorKit):
    pass

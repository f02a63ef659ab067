"""nvframe's kit, on the source and the result format."""

from nvframe_bids.conformance import ResultFormatKit, SourceKit


class TestBidsDerivatives(SourceKit):
    pass


class TestBidsFormat(ResultFormatKit):
    pass

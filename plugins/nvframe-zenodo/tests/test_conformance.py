"""nvframe's kit, on Zenodo's stand-in: records that are named, and records that a query finds."""

from nvframe_zenodo.conformance import SearchKit, SourceKit


class TestZenodo(SourceKit):
    pass


class TestZenodoSearch(SearchKit):
    pass

"""nvframe's kit, on Zenodo's stand-in."""

import pytest

from nvframe.http import Retry
from nvframe.testing import SourceConformance
from nvframe_zenodo import nvframe_metadata_sources
from nvframe_zenodo.source import Zenodo

QUICK = Retry(tries=2, backoff=0.0)
(PLUGIN,) = nvframe_metadata_sources()


class TestZenodo(SourceConformance):
    plugin = PLUGIN
    parameters = {"records": [103, 202]}
    refused_parameters = ({"records": ["no record"]}, {"records": [1], "query": "x"})
    requests_to_first = 2

    @pytest.fixture
    def source(self, filled):
        return self.build(retry=QUICK)

    @pytest.fixture
    def make_source(self, archive):
        def make(number):
            archive.add(7, {f"{n:03}.nii.gz": b"x" for n in range(number)})
            return Zenodo(records=[7], retry=QUICK)

        return make

    @pytest.fixture
    def count_requests(self, archive):
        return lambda: len(archive.requests)

    @pytest.fixture
    def break_listing(self, filled, source):
        def broken():
            filled.broken = True
            source._listed.clear()  # a record comes with its files: they would need no further request

        return broken

    @pytest.fixture
    def truncate(self, filled):
        return lambda: setattr(filled, "cuts", 100)


class TestZenodoSearch(TestZenodo):
    parameters = {"query": "fMRI"}
    refused_parameters = ()

"""nvframe's kit, on the source and the result format."""

import pytest

from nvframe.testing import ResultFormatConformance, SourceConformance
from nvframe_bids import nvframe_metadata_sources, nvframe_result_formats
from nvframe_bids.source import BidsDerivatives
from nvframe_bids.tree import Tree


class TestBidsDerivatives(SourceConformance):
    (plugin,) = nvframe_metadata_sources()

    @pytest.fixture
    def source(self, tree):
        return self.build(root=tree)

    @pytest.fixture
    def make_source(self, make):
        def made(number):
            make.dataset("")
            for n in range(number):
                make.text(f"sub-{n:03}/func/sub-{n:03}_stat-t_statmap.nii.gz", "x")
            return BidsDerivatives(make.root)

        return made

    requests_to_first = 4  # directories on the way to the first image

    @pytest.fixture
    def count_requests(self, monkeypatch):
        asked = []
        for name in ("listed", "json"):
            method = getattr(Tree, name)
            monkeypatch.setattr(
                Tree, name, lambda tree, path, method=method: asked.append(path) or method(tree, path)
            )
        return lambda: len(asked)

    @pytest.fixture
    def break_listing(self, source, monkeypatch):
        def fail(path, detail):
            raise OSError(5, "Input/output error")

        return lambda: monkeypatch.setattr(source.tree._fs, "ls", fail)

    @pytest.fixture
    def truncate(self, source, monkeypatch):
        chunks = source.tree.chunks
        cut = lambda path, start: iter([b"".join(chunks(path, start))[:-10]])  # noqa: E731
        return lambda: monkeypatch.setattr(source.tree, "chunks", cut)


class TestBidsFormat(ResultFormatConformance):
    (plugin,) = nvframe_result_formats()
    writes = True

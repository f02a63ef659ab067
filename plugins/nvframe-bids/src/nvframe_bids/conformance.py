"""What nvframe asks of a source and of a result format, for ``nvframe plugins check`` and our own tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nvframe.imaging import nifti
from nvframe.testing import ResultFormatConformance, SourceConformance
from nvframe.testing.conformance.examples import example_image
from nvframe_bids import nvframe_metadata_sources, nvframe_result_formats
from nvframe_bids.datasets import DESCRIPTION
from nvframe_bids.tree import Tree


class SourceKit(SourceConformance):
    """The kit, on trees in a directory."""

    plugin = next(iter(nvframe_metadata_sources()))
    requests_to_first = 4  # directories on the way to the first image

    @pytest.fixture
    def make_source(self, tmp_path: Path) -> Callable[[int], Any]:
        """Return a function that makes a source over a dataset of so many subjects with a map each."""

        def made(number: int) -> Any:
            root = tmp_path / f"of-{number}"
            root.mkdir()
            description = {"Name": "Maps", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
            (root / DESCRIPTION).write_text(json.dumps(description))
            (root / "statmap.json").write_text(json.dumps({"TaskName": "finger tapping"}))
            body = nifti.encode(example_image())
            for n in range(number):
                path = root / f"sub-{n:03}/func/sub-{n:03}_stat-t_statmap.nii.gz"
                path.parent.mkdir(parents=True)
                path.write_bytes(body)
            return self.build(root=root)

        return made

    @pytest.fixture
    def source(self, make_source: Callable[[int], Any]) -> Any:
        """Return a source of three images."""
        return make_source(3)

    @pytest.fixture
    def count_requests(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        """Return a function that counts listed directories and read JSON files."""
        asked: list[str] = []

        def counted(name: str) -> Callable[[Tree, str], Any]:
            method = getattr(Tree, name)

            def count(tree: Tree, path: str) -> Any:
                asked.append(path)
                return method(tree, path)

            return count

        for name in ("listed", "json"):
            monkeypatch.setattr(Tree, name, counted(name))
        return lambda: len(asked)

    @pytest.fixture
    def break_listing(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Return a function after which no directory can be listed."""

        def fail(tree: Tree, path: str) -> Any:
            raise tree.lost(path, OSError(5, "Input/output error"))

        return lambda: monkeypatch.setattr(Tree, "listed", fail)

    @pytest.fixture
    def truncate(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Return a function after which every file ends ten bytes early."""
        chunks = Tree.chunks

        def cut(tree: Tree, path: str, start: int) -> Any:
            yield b"".join(chunks(tree, path, start))[:-10]

        return lambda: monkeypatch.setattr(Tree, "chunks", cut)


class ResultFormatKit(ResultFormatConformance):
    """The kit, on what is written into a directory."""

    plugin = next(iter(nvframe_result_formats()))
    writes = True

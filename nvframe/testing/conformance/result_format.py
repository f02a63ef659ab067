"""What a result format must do."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nvframe.contracts import FrameView, ResultFormat
from nvframe.errors import NvframeError
from nvframe.plugins import Plugin, ResultFormatPlugin
from nvframe.storage.local import LocalStorage
from nvframe.testing.conformance.base import Conformance
from nvframe.testing.conformance.frames import ExampleFrame, example_frame

_WHOLE = (0, 1, 2)
_ODD = 3


class ResultFormatConformance(Conformance):
    """Checks a result format; set `plugin`, or give a fixture `result_format`.

    Attributes
    ----------
    writes : bool
        Whether it writes to a `url` and returns that.
    build_parameters : Mapping
        What `build` is called with besides the frame.

    Examples
    --------
    >>> class TestTable(ResultFormatConformance):
    ...     def ids(self, result):
    ...         return result.index
    """

    kind: ClassVar[type[Plugin]] = ResultFormatPlugin
    writes: ClassVar[bool] = False
    build_parameters: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def result_format(self) -> Any:
        """Return the format under test."""
        return self.build()

    @pytest.fixture
    def frame(self, tmp_path: Path) -> ExampleFrame:
        """Return a frame of three images on one grid; its `part` makes smaller ones."""
        return self._everything(tmp_path).part(_WHOLE)

    @pytest.fixture
    def odd_frame(self, tmp_path: Path) -> ExampleFrame:
        """Return a frame with a fourth image that is 4-D."""
        return self._everything(tmp_path).part((*_WHOLE, _ODD))

    def ids(self, result: Any) -> Sequence[Any] | None:
        """Return the ids of the images in what was built, in order; override it to have them compared."""
        return None

    def test_fulfils_the_contract(self, result_format: Any) -> None:
        """It has a method `build` whose first argument is the frame."""
        assert isinstance(result_format, ResultFormat), (
            f"{type(result_format).__name__} lacks build(frame_view)"
        )

    def test_builds(self, result_format: Any, frame: FrameView, tmp_path: Path) -> None:
        """It builds something from a frame; one that writes returns the url where it did."""
        built = self._built(result_format, frame, tmp_path / "built")
        assert built is not None, "build must return the result"
        if self.writes:
            assert str(built) == str(tmp_path / "built"), f"a writing format returns its url, not {built!r}"
            assert (tmp_path / "built").exists(), "nothing is at the url that it returned"

    def test_images_keep_their_order(self, result_format: Any, frame: ExampleFrame, tmp_path: Path) -> None:
        """The result holds the frame's images, all of them, in the frame's order."""
        for n, rows in enumerate((_WHOLE, (2, 0), (1,))):
            built = self._built(result_format, frame.part(rows), tmp_path / f"built{n}")
            self._compare(built, [str(frame.images_meta[i]["id"]) for i in rows])

    def test_frame_stays_as_it_is(self, result_format: Any, frame: FrameView, tmp_path: Path) -> None:
        """The frame is only looked at; failures may be added to it, never taken away."""
        before = copy.deepcopy((frame.images_meta, frame.collections_meta, frame.annotations))
        images, failures = list(frame.images), list(frame.failures)
        self._built(result_format, frame, tmp_path / "built")
        assert (frame.images_meta, frame.collections_meta, frame.annotations) == before, (
            "it changed the frame's metadata: copy a dict before you add to it"
        )
        assert frame.images == images, "it changed the frame's list of images"
        assert frame.failures[: len(failures)] == failures, "it took away failures: only add to them"

    def test_builds_the_same_again(self, result_format: Any, frame: FrameView, tmp_path: Path) -> None:
        """A second result has the same images as the first, and the first stays usable."""
        first = self._built(result_format, frame, tmp_path / "first")
        second = self._built(result_format, frame, tmp_path / "second")
        one, other = self.ids(first), self.ids(second)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert [*map(str, one)] == [*map(str, other)], "two results of one frame differ"

    def test_empty_frame_is_no_trouble(self, result_format: Any, frame: ExampleFrame, tmp_path: Path) -> None:
        """A frame without images gives an empty result, or a ValueError or NvframeError that says so."""
        self._or_refuses(result_format, frame.part(()), tmp_path / "built", "an empty frame")

    def test_search_is_no_trouble(self, result_format: Any, frame: ExampleFrame, tmp_path: Path) -> None:
        """A frame that comes from a search, without files, gives a result or a ValueError or NvframeError."""
        searched = frame.part(_WHOLE, fetched=False)
        self._or_refuses(result_format, searched, tmp_path / "built", "a frame without files")

    def test_odd_image_is_its_own_trouble(
        self, result_format: Any, odd_frame: FrameView, tmp_path: Path
    ) -> None:
        """An image that it cannot take is added to the failures, and the others are in the result."""
        known = len(odd_frame.failures)
        built = self._built(result_format, odd_frame, tmp_path / "built")
        ids = [str(meta["id"]) for meta in odd_frame.images_meta]
        added = {failure.image_id for failure in odd_frame.failures[known:]}
        assert added <= {ids[_ODD]}, f"images {added} were reported, and only {ids[_ODD]} is odd"
        self._compare(built, [image_id for image_id in ids if image_id not in added])

    def test_misspelt_option_is_refused(self, result_format: Any, frame: FrameView, tmp_path: Path) -> None:
        """An option that `build` does not have is a TypeError."""
        with pytest.raises((TypeError, ValueError, NvframeError)):
            self._built(result_format, frame, tmp_path / "built", no_such_option=1)

    def test_overwrites_only_when_told(self, result_format: Any, frame: ExampleFrame, tmp_path: Path) -> None:
        """One that writes leaves what is at the url alone, unless it is told to overwrite it."""
        if not self.writes:
            pytest.skip("writes = False")
        url = tmp_path / "built"
        self._built(result_format, frame, url)
        before = _files(url)
        with pytest.raises((OSError, ValueError, NvframeError)):
            self._built(result_format, frame.part((0,)), url)
        assert _files(url) == before, "a refused build changed what was there"
        built = self._built(result_format, frame.part((0,)), url, overwrite=True)
        self._compare(built, [str(frame.images_meta[0]["id"])])

    def _built(self, result_format: Any, frame: FrameView, url: Path, **more: Any) -> Any:
        where = {"url": str(url)} if self.writes else {}
        return result_format.build(frame, **self.build_parameters, **where, **more)

    def _or_refuses(self, result_format: Any, frame: FrameView, url: Path, what: str) -> None:
        try:
            built = self._built(result_format, frame, url)
        except (ValueError, NvframeError) as reason:
            assert str(reason), f"{type(reason).__name__} must say why"
            return
        except Exception as error:
            pytest.fail(f"{what} raised {type(error).__name__}: {error}; say what is missing in a ValueError")
        assert built is not None, "build must return the result"

    def _compare(self, built: Any, wanted: list[str]) -> None:
        found = self.ids(built)
        if found is not None:
            assert [str(each) for each in found] == wanted, (
                f"the result holds images {list(found)}, not {wanted}"
            )

    def _everything(self, tmp_path: Path) -> ExampleFrame:
        return example_frame(LocalStorage(str(tmp_path / "stored")))


def _files(url: Path) -> dict[str, bytes]:
    if url.is_file():
        return {"": url.read_bytes()}
    return {str(p.relative_to(url)): p.read_bytes() for p in sorted(url.rglob("*")) if p.is_file()}

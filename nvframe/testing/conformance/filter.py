"""What a filter must do."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from nvframe.filters import matches
from nvframe.plugins import FilterPlugin, Plugin
from nvframe.testing.conformance.base import Conformance
from nvframe.types import Metadata


class FilterConformance(Conformance):
    """Checks a filter; set `plugin`, or give a fixture `filter_`.

    Attributes
    ----------
    kept, dropped : sequence of Mapping
        Metadata that it must keep, and that it must drop.

    Examples
    --------
    >>> class TestLarge(FilterConformance):
    ...     kept = [{"number_of_subjects": 40}]
    ...     dropped = [{"number_of_subjects": 8}, {}]
    """

    kind: ClassVar[type[Plugin]] = FilterPlugin
    kept: ClassVar[Sequence[Metadata]] = ()
    dropped: ClassVar[Sequence[Metadata]] = ()

    @pytest.fixture
    def filter_(self) -> Any:
        """Return the filter under test, fresh."""
        return self.build()

    def test_level_and_terms_are_there(self, filter_: Any) -> None:
        """It says whether it is about collections or images, and which terms a source may push down."""
        assert getattr(filter_, "level", None) in ("collection", "image"), (
            "`level` must be 'collection' or 'image'"
        )
        assert isinstance(getattr(filter_, "terms", None), Mapping), (
            "`terms` must be a dict; {} pushes nothing down"
        )
        assert callable(filter_), "a filter is called with metadata"

    def test_keeps_what_it_should(self, filter_: Any) -> None:
        """It keeps every example of `kept` and none of `dropped`."""
        if not (self.kept and self.dropped):
            pytest.skip("list metadata in `kept` and `dropped` to have this checked")
        for metadata in self.kept:
            assert filter_(copy.deepcopy(metadata)), f"it drops {metadata!r:.200}"
        for metadata in self.dropped:
            assert not filter_(copy.deepcopy(metadata)), f"it keeps {metadata!r:.200}"

    def test_answer_is_true_or_false(self, filter_: Any) -> None:
        """The answer is a bool: an array or a missing return would be taken for one."""
        for metadata in self._varied():
            answer = filter_(metadata)
            assert isinstance(answer, bool), f"it answers {answer!r:.80} instead of True or False"

    def test_fields_may_be_missing(self, filter_: Any) -> None:
        """Any field may be missing or None: uploaders leave out what they like."""
        for metadata in self._varied():
            try:
                filter_(metadata)
            except Exception as error:
                pytest.fail(f"{type(error).__name__}: {error} for {metadata!r:.200}; use metadata.get(...)")

    def test_metadata_stay_as_they_are(self, filter_: Any) -> None:
        """It only looks: the same dict goes on to the result."""
        for metadata in self._varied():
            before = copy.deepcopy(metadata)
            filter_(metadata)
            assert metadata == before, f"it changed the metadata from {before!r:.200} to {metadata!r:.200}"

    def test_terms_hold_for_what_is_kept(self, filter_: Any) -> None:
        """Whatever it keeps meets its terms, so a source that filters by them loses nothing."""
        for metadata in self._varied():
            if filter_(metadata):
                assert matches(filter_.terms, metadata), (
                    f"it keeps {metadata!r:.200}, which its terms {dict(filter_.terms)!r} exclude: a server that "
                    "honours the terms would hide it"
                )

    def test_fresh_instances_agree(self, filter_: Any) -> None:
        """A fresh instance answers alike: nothing is remembered from one fetch to the next."""
        first, second = copy.deepcopy(filter_), copy.deepcopy(filter_)
        answers = [first(metadata) for metadata in self._varied()]
        assert [second(metadata) for metadata in self._varied()] == answers, (
            "two instances answer differently: keep what you count on the instance, not on the class or module"
        )

    def _varied(self) -> Iterator[dict[str, Any]]:
        """Yield the examples, each without one of its fields, with it None, and nothing at all."""
        yield {}
        for example in (*self.kept, *self.dropped):
            yield copy.deepcopy(dict(example))
            for field in example:
                yield copy.deepcopy({key: value for key, value in example.items() if key != field})
                yield copy.deepcopy({**example, field: None})

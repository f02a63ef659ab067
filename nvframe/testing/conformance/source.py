"""What a metadata source must do: how it lists."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import pytest

from nvframe.contracts import MetadataSource
from nvframe.errors import DownloadError, SourceError
from nvframe.filters import IsIn, matches, normalise
from nvframe.testing.conformance.image_bytes import ImageBytesConformance
from nvframe.testing.conformance.watching import watched
from nvframe.types import (
    CollectionRecord,
    Failure,
    ImageRecord,
    Metadata,
    checked_id,
    json_bytes,
    parsed_json,
)

PAGE_BORDERS = (0, 1, 99, 100, 101)
HOSTILE_IDS = ("../../etc/passwd", "1/../2", "", "a b", "1?x=1", "%2e%2e")

_LOOKED_AT = 20


class SourceConformance(ImageBytesConformance):
    """Checks a metadata source; give a fixture `source` of a repository with at least two images.

    Give `make_source` too where you can make a repository of any size, `count_requests` where you can count what
    it is asked, and the fixtures that break it where its stand-in can be broken.

    Attributes
    ----------
    flat_listing : bool
        Whether ``images(None)`` lists all images.
    resumes : bool
        Whether `open_image` can begin in the middle.
    requests_to_first : int
        How many requests the first record may cost: a page of it, and what has to come before.

    Examples
    --------
    >>> import pytest
    >>> class TestLabArchive(SourceConformance):
    ...     flat_listing = False
    ...
    ...     @pytest.fixture
    ...     def source(self, archive_on_loopback):
    ...         return LabArchive(archive_on_loopback.url)
    """

    flat_listing: ClassVar[bool] = True
    requests_to_first: ClassVar[int] = 1

    @pytest.fixture
    def make_source(self) -> Callable[[int], Any]:
        """Return a function that makes a source over one collection of so many images."""
        pytest.skip("give a fixture `make_source`, a function of the number of images, to have this checked")

    @pytest.fixture
    def count_requests(self) -> Callable[[], int]:
        """Return a function that tells how many requests the repository has been sent."""
        pytest.skip("give a fixture `count_requests` to have this checked")

    @pytest.fixture
    def break_listing(self) -> Callable[[], None]:
        """Return a function that makes every list request fail from now on, without a pause between attempts."""
        pytest.skip("give a fixture `break_listing` to have this checked")

    def test_attributes_are_there(self, source: Any) -> None:
        """It has all that the contract names, with the types that it names."""
        assert isinstance(source, MetadataSource), f"{type(source).__name__} lacks a member of MetadataSource"
        assert isinstance(source.server_terms, frozenset), "`server_terms` must be a frozenset of field names"
        assert isinstance(source.description, str), "`description` must be a str"
        assert source.description.strip(), "`description` must say something: it goes into the Bunch"
        assert checked_id(source.name) == source.name, "`name` must be fit for a directory's name"
        if self.plugin is not None:
            assert source.name == self.plugin.name, (
                f"the source is called {source.name!r}, its descriptor {self.plugin.name!r}: use one name"
            )

    def test_default_terms_are_fresh(self, source: Any) -> None:
        """`default_terms` gives (collection terms, image terms), which a caller may edit."""
        pair = source.default_terms()
        assert len(pair) == 2, "default_terms must return (collection terms, image terms)"
        for terms in pair:
            assert isinstance(terms, Mapping), f"terms must be a dict, not {type(terms).__name__}"
            dict(terms)
            if isinstance(terms, dict):
                terms["edited"] = True
        assert not any("edited" in terms for terms in source.default_terms()), (
            "what a caller edits must not stay: return new dicts each time"
        )

    def test_listing_is_lazy(self, source: Any) -> None:
        """`collections` and `images` ask for nothing until somebody iterates."""
        some = next(iter(self._collections(source)))
        fresh = _travelled(source)
        with watched() as seen:
            fresh.collections({})
            fresh.images(some)
        assert not seen, f"it asked for {seen[0]} before anybody iterated: make them generators"

    def test_first_record_costs_one_page(
        self, make_source: Callable[[int], Any], count_requests: Callable[[], int]
    ) -> None:
        """The first record costs one page of the listing, however long it is."""
        source = make_source(PAGE_BORDERS[-1])
        some = next(iter(self._collections(source)))
        for listing in (source.collections({}), source.images(some)):
            before = count_requests()
            next(iter(listing))
            spent = count_requests() - before
            assert spent <= self.requests_to_first, (
                f"{spent} requests for one record: fetch a page when it is due"
            )

    def test_collections_are_records(self, source: Any) -> None:
        """Each collection is a CollectionRecord with a valid id, and metadata of JSON values that name it."""
        for record in self._collections(source):
            assert isinstance(record, CollectionRecord), (
                f"yield CollectionRecord or Failure, not {record!r:.80}"
            )
            _check_record(record, source)

    def test_images_are_records(self, source: Any) -> None:
        """Each image is an ImageRecord of its collection, with metadata that say what the record says."""
        for collection, images in self._listing(source):
            for record in images:
                assert isinstance(record, ImageRecord), f"yield ImageRecord or Failure, not {record!r:.80}"
                assert record.collection_id == collection.id, (
                    f"image {record.id} is listed in collection {collection.id} and says {record.collection_id}"
                )
                _check_record(record, source)
                _check_metadata(record)

    def test_each_id_comes_once(self, source: Any) -> None:
        """No collection and no image is listed twice."""
        collections = [record.id for record in self._collections(source)]
        assert len(set(collections)) == len(collections), (
            "a collection is listed twice: remember what was yielded"
        )
        images = [record.id for _, records in self._listing(source) for record in records]
        assert len(set(images)) == len(images), "an image is listed twice: ids are unique within a source"

    def test_order_is_stable(self, source: Any) -> None:
        """Two listings have the same order: a limit means the same images each time."""
        first, second = ([r.id for _, records in self._listing(source) for r in records] for _ in range(2))
        assert first == second, (
            f"two listings differ in order: {first[:5]} and {second[:5]}; sort what has no order"
        )

    @pytest.mark.parametrize("number", PAGE_BORDERS)
    def test_page_borders_lose_nothing(self, make_source: Callable[[int], Any], number: int) -> None:
        """Empty, single, full and just overfull pages list each image once, without failures."""
        source = make_source(number)
        found = [each for collection in self._collections(source) for each in source.images(collection)]
        failures = [each for each in found if isinstance(each, Failure)]
        assert not failures, f"a whole listing of {number} images reports {failures[0]}"
        assert len({record.id for record in found}) == len(found) == number, (
            f"{len(found)} of {number} images listed"
        )

    def test_flat_listing_has_the_same_images(self, source: Any) -> None:
        """``images(None)``, where it is offered, lists what the collections list."""
        if not self.flat_listing:
            pytest.skip("flat_listing = False")
        flat = {record.id: record for record in _records(source.images(None))}
        for _, records in self._listing(source):
            for record in records:
                assert record.id in flat, f"image {record.id} is missing from images(None)"
                assert flat[record.id].collection_id == record.collection_id, (
                    f"image {record.id} is in another collection in images(None)"
                )

    def test_push_down_loses_nothing(self, source: Any) -> None:
        """Terms given to the source leave all that match them: it may send more, never less."""
        everything = list(self._collections(source))
        for terms in _narrowing(source.server_terms, everything):
            wanted = [each.id for each in everything if matches(terms, normalise(each.metadata))]
            sent = self._collections(source, terms)
            found = [each.id for each in sent if matches(terms, normalise(each.metadata))]
            assert found == wanted, (
                f"with terms {terms!r} it lists {found[:5]}, without them {wanted[:5]} match"
            )

    def test_one_is_as_it_was_listed(self, source: Any) -> None:
        """`get_collection` and `get_image` return what the listing shows."""
        for collection, records in islice(self._listing(source), 2):
            assert source.get_collection(collection.id).id == collection.id, (
                "get_collection returned another one"
            )
            for record in records[:2]:
                found = source.get_image(record.id)
                same = (found.id, found.collection_id) == (record.id, record.collection_id)
                assert same, f"get_image({record.id!r}) returned {found.id!r} of {found.collection_id!r}"
                assert found.size == record.size or None in (found.size, record.size), "the sizes differ"

    @pytest.mark.parametrize("bad_id", [*HOSTILE_IDS, "999999999"], ids=ascii)
    def test_unknown_id_is_an_error(self, source: Any, bad_id: str) -> None:
        """An id that does not exist, or could not, is a SourceError or DownloadError with a reason."""
        for verb in ("get_collection", "get_image"):
            try:
                found = getattr(source, verb)(bad_id)
            except (SourceError, DownloadError) as reason:
                assert str(reason), f"{type(reason).__name__} must say why"
            except Exception as error:
                pytest.fail(f"{verb}({bad_id!r}) raised {type(error).__name__}: raise SourceError")
            else:
                pytest.fail(f"{verb}({bad_id!r}) returned {found!r:.80}: raise SourceError")

    def test_lost_listing_is_a_failure(self, source: Any, break_listing: Callable[[], None]) -> None:
        """A listing that breaks ends in a Failure among the records: what came before is kept."""
        some = next(iter(self._collections(source)))
        break_listing()
        for verb, listing in (("collections", source.collections({})), ("images", source.images(some))):
            try:
                found = list(listing)
            except Exception as error:
                pytest.fail(f"{verb} raised {type(error).__name__}: {error}; yield a Failure instead")
            failures = [each for each in found if isinstance(each, Failure)]
            assert failures, f"{verb} ended as if the list were complete: yield a Failure"
            assert failures[0].stage == "list", "the Failure's stage must be 'list'"

    def test_pickles(self, source: Any) -> None:
        """It travels to a worker process, and its records too; there it lists the same."""
        there = [record for _, records in self._listing(source) for record in records]
        back = [record for _, records in self._listing(_travelled(source)) for record in records]
        assert [r.id for r in back] == [r.id for r in there], "after pickling it lists other images"
        assert _travelled(there[0]) == there[0], (
            "a record differs after pickling: metadata must be plain values"
        )

    def test_serves_again_after_close(self, source: Any) -> None:
        """After `close`, where it has one, it can be used again: a frame is fetched further."""
        if not callable(getattr(source, "close", None)):
            pytest.skip("it has no close()")
        some = next(iter(self._collections(source)))
        source.close()
        assert source.get_collection(some.id).id == some.id, "after close() it cannot be used"

    def _collections(self, source: Any, terms: Metadata | None = None) -> Iterator[CollectionRecord]:
        return islice(_records(source.collections(terms or {})), _LOOKED_AT)

    def _listing(self, source: Any) -> Iterator[tuple[CollectionRecord, list[ImageRecord]]]:
        for collection in self._collections(source):
            yield collection, list(islice(_records(source.images(collection)), _LOOKED_AT))


def _records(listing: Any) -> Iterator[Any]:
    for each in listing:
        assert not isinstance(each, Failure), f"the fixture's repository is whole, and yet: {each}"
        yield each


def _check_record(record: CollectionRecord | ImageRecord, source: Any) -> None:
    assert record.source == source.name, (
        f"record {record.id}: source is {record.source!r}, not {source.name!r}"
    )
    assert isinstance(record.id, str), f"the id {record.id!r} must be a str"
    assert checked_id(record.id) == record.id
    fields = dict(record.metadata)
    assert parsed_json(json_bytes(fields)) == fields, f"metadata of {record.id} are not plain JSON values"
    assert str(fields.get("id")) == record.id, (
        f"metadata of {record.id} must say so: 'id' is {fields.get('id')!r}"
    )


def _check_metadata(record: ImageRecord) -> None:
    """A stored image is known by its metadata alone: they must say again what the record says."""
    fields = record.metadata
    said = str(fields.get("collection_id"))
    assert said == record.collection_id, f"metadata of image {record.id}: 'collection_id' is {said!r}"
    assert bool(fields.get("file")) == bool(record.url), (
        f"metadata of image {record.id} must hold its url as 'file'"
    )
    for attribute, field in (("size", "file_size"), ("modified", "modify_date")):
        stated = getattr(record, attribute)
        if stated is not None:
            assert fields.get(field) == stated, (
                f"image {record.id} has {attribute} {stated!r} and metadata {field!r} {fields.get(field)!r}: an "
                "image that is stored is known by its metadata alone"
            )


def _narrowing(server_terms: frozenset[str], records: Sequence[CollectionRecord]) -> Iterator[dict[str, Any]]:
    """Yield terms that a source might push down, and some that it cannot know."""
    for field in sorted({*server_terms, "id", "name"}):
        values = list(dict.fromkeys(v for r in records if isinstance(v := r.metadata.get(field), str | int)))
        for value in values[:3]:
            yield {field: value}
            yield {field: IsIn(value, values[-1])}
    yield {"no such field": None}


def _travelled(value: Any) -> Any:
    try:
        return pickle.loads(pickle.dumps(value))  # noqa: S301 - what we pickled ourselves
    except Exception as error:
        pytest.fail(f"{type(value).__name__} does not pickle ({error}): drop open connections on the way")

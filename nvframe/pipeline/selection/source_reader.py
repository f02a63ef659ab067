"""Asks a source for collections and images, a few at a time and in order; what it cannot tell is a Failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from nvframe.concurrency.read_ahead import read_ahead
from nvframe.errors import DownloadError, SourceError
from nvframe.filters import normalise
from nvframe.pipeline.validate import Border
from nvframe.types import CollectionRecord, Failure, ImageRecord, Metadata

if TYPE_CHECKING:
    from nvframe.contracts import MetadataSource

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Asking:
    """A source as the core asks it; what it answers has passed the border.

    Parameters
    ----------
    source : MetadataSource
        Who is asked.
    at_once : int
        How many questions may be open.
    """

    def __init__(self, source: MetadataSource, at_once: int) -> None:
        self._source = Border(source)
        self._at_once = at_once
        self._flat: dict[str, dict[str, ImageRecord]] | None = None
        self.failure = self._source.failure

    def collections(self, terms: Metadata) -> Iterator[CollectionRecord | Failure]:
        """Yield the source's collections, their metadata normalised."""
        for found in self._source.collections(terms):
            yield found if isinstance(found, Failure) else described_collection(found)

    def collection(self, collection_id: str) -> CollectionRecord | Failure:
        """Return one collection, its metadata normalised."""
        try:
            return described_collection(self._source.get_collection(collection_id))
        except (DownloadError, SourceError) as error:
            return self.failure(error, collection_id=collection_id)

    def image(self, image_id: str) -> ImageRecord | Failure:
        """Return one image's record, its metadata normalised."""
        try:
            return described(self._source.get_image(image_id))
        except (DownloadError, SourceError) as error:
            return self.failure(error, image_id=image_id)

    def each(
        self,
        ids: Iterable[str],
        look: Callable[[str], Answer | None],
        ask: Callable[[str], Answer],
        is_enough: Callable[[int], bool],
    ) -> Iterator[Answer]:
        """Yield for each id what `look` finds on this thread, else what `ask` brings, the next ones being asked for.

        Parameters
        ----------
        ids : iterable of str
            In the order wanted.
        look, ask : callable
            Id to answer.
        is_enough : callable
            Whether so many answers, which wait for their turn, are likely to be all that will be wanted.
        """
        looked = ((each, look(each)) for each in ids)

        def begin(question: tuple[str, Answer | None]) -> Iterator[Answer]:
            each, found = question
            return iter((found,)) if found is not None else _answer(ask, each)

        for _, answers in read_ahead(looked, begin, self._at_once, lambda begun: is_enough(len(begun))):
            yield from answers

    def with_collections(
        self,
        found: Iterable[Answer],
        collection_of: Callable[[Answer], str | None],
        is_enough: Callable[[int], bool],
    ) -> Iterator[tuple[Answer, CollectionRecord | Failure | None]]:
        """Yield each item with its collection, which is asked for once; None where `collection_of` names none."""
        begun: set[str] = set()
        answered: dict[str, CollectionRecord | Failure] = {}

        def begin(item: Answer) -> Iterator[CollectionRecord | Failure]:
            collection_id = collection_of(item)
            if collection_id is None or collection_id in begun:
                return iter(())
            begun.add(collection_id)
            return _answer(self.collection, collection_id)

        for item, answers in read_ahead(found, begin, self._at_once, lambda items: is_enough(len(items))):
            for answer in answers:
                answered[str(collection_of(item))] = answer
            yield item, answered.get(collection_of(item) or "")

    def images(self, collection: CollectionRecord, flat: bool = False) -> Iterator[ImageRecord | Failure]:
        """Return a collection's images, lazily; with `flat`, from one listing of all images where that is whole."""
        rows = self._listed_flat().get(collection.id, {}) if flat else {}
        promised = collection.metadata.get("number_of_images")
        if rows and len(rows) == promised:
            return iter(rows.values())
        if flat and promised != 0:
            log.debug(
                "collection %s: %d of %s images in the listing of all; listed by its own pages",
                collection.id,
                len(rows),
                promised,
            )
        return iter(self._source.images(collection))

    def _listed_flat(self) -> dict[str, dict[str, ImageRecord]]:
        """Return all images that the source lists in one go, by collection: rows may be lost, or come twice."""
        if self._flat is None:
            self._flat = {}
            try:
                for each in self._source.images(None):
                    if isinstance(each, ImageRecord):
                        self._flat.setdefault(each.collection_id, {})[each.id] = each
            except NotImplementedError:
                log.debug("%s has no listing of all images", self._source.name)
        return self._flat


def _answer(ask: Callable[[str], Answer], each: str) -> Iterator[Answer]:
    yield ask(each)


def described_collection(collection: CollectionRecord) -> CollectionRecord:
    """Return a collection whose metadata are normalised."""
    return replace(collection, metadata=normalise(collection.metadata))


def described(record: ImageRecord) -> ImageRecord:
    """Return a record whose metadata are normalised, and say themselves what the record says besides."""
    metadata = normalise(record.metadata)
    stated = {
        "id": record.id,
        "collection_id": record.collection_id,
        "file": record.url,
        "file_size": record.size,
        "modify_date": record.modified,
    }
    for name, value in stated.items():
        if value:
            metadata.setdefault(name, value)
    return replace(record, metadata=metadata)

"""Which images a query touches, in order: what storage holds first, then what the source lists."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from nvframe.cache import layout
from nvframe.cache.listing import Cache
from nvframe.cache.stored_image import Fields, RecordedAsset, StoredImage, as_asset, as_dict
from nvframe.concurrency.read_ahead import read_ahead
from nvframe.errors import SourceError
from nvframe.filters import keep_all, matches
from nvframe.pipeline.plan import Query
from nvframe.pipeline.selection.reuse import Found, Reuse
from nvframe.pipeline.selection.source_reader import Asking, described
from nvframe.pipeline.task import WorkPlan
from nvframe.types import Asset, CollectionRecord, Failure, ImageRecord, Metadata, checked_id

Candidate = Found | Failure


class Candidates:
    """Yields a Task for each image that the query keeps, and a Failure for what could not be listed.

    Parameters
    ----------
    query : Query
        What is wanted.
    plan : WorkPlan
        What is to be done with it: decides whether a stored image is at hand.
    cache : Cache
        What storage holds.
    known : sequence of (ImageRecord, collection metadata)
        What an earlier search described already.
    at_once : int
        How many lists or records the source may be asked for at once.
    only_metadata : bool
        Whether nothing will be downloaded: then all images may be listed in one go before the first is handed on.

    Attributes
    ----------
    collections : dict
        Normalised metadata of each collection that an image came from, by id.
    """

    def __init__(
        self,
        query: Query,
        plan: WorkPlan,
        cache: Cache,
        known: Sequence[tuple[ImageRecord, Metadata]] = (),
        at_once: int = 1,
        only_metadata: bool = False,
    ) -> None:
        self._at_once = at_once
        self._query = query
        self._plan = plan
        self._cache = cache
        self._asking = Asking(plan.source, at_once)
        self._reuse = Reuse(plan, cache, query.mode)
        self._image_filters = tuple(each for each in query.image_filters if each is not keep_all)
        self._is_part = query.shard.count > 1
        self._flat = only_metadata and self._nothing_limits()
        self._visited: set[str] = set()
        self._given_up: set[str] = set()
        self._stopped = False
        self._examined: dict[str, set[str]] = {"collection": set(), "image": set()}
        self._unseen = {"collection": set(query.collection_terms), "image": set(query.image_terms)}
        self._known = {record.id: record for record, _ in known}
        self.collections = {record.collection_id: dict(collection) for record, collection in known}

    def _nothing_limits(self) -> bool:
        query = self._query
        terms = query.collection_terms or query.image_terms or query.collection_filters or self._image_filters
        return not terms and query.max_images is None and query.shard.count == 1

    def stop(self) -> None:
        """Yield nothing more."""
        self._stopped = True

    def give_up(self, collection_id: str) -> None:
        """Yield nothing more of one collection."""
        self._given_up.add(collection_id)

    def __iter__(self) -> Iterator[Candidate]:
        for candidate in self._by_ids() if self._query.by_ids else self._by_terms():
            if self._stopped:
                return
            if (
                self._given_up
                and not isinstance(candidate, Failure)
                and candidate.record.collection_id in self._given_up
            ):
                continue
            yield candidate

    # By terms: local hits by (collection id, id), then the server's order.

    def _by_terms(self) -> Iterator[Candidate]:
        stored = self._stored() if self._uses_stored() else ()
        return chain(
            stored, self._listed(self._wanted_collections()) if self._query.mode != "offline" else ()
        )

    def _uses_stored(self) -> bool:
        return self._query.mode in ("download_new", "offline")

    def _stored(self) -> Iterator[Found]:
        cache = self._cache
        return chain.from_iterable(
            self._stored_collection(collection_id, collection)
            for collection_id in cache.collection_ids()
            if (collection := cache.collection(collection_id)) is not None
            and self._keeps_collection(collection)
        )

    def _stored_collection(self, collection_id: str, collection: Metadata) -> Iterator[Found]:
        for stored in self._cache.images(collection_id):
            if stored.id in self._visited:
                continue
            if self._keeps_image(stored):
                found = self._reuse.at_hand(stored)
                if found is not None:
                    yield self._hand_out(found, collection)

    def _wanted_collections(self) -> Iterator[CollectionRecord | Failure]:
        for collection in self._asking.collections(self._query.collection_terms):
            if isinstance(collection, Failure):
                yield collection
                continue
            if self._stopped:
                return
            if self._keeps_collection(collection.metadata) and not self._reuse.is_complete(collection):
                yield collection

    def _listed(self, collections: Iterable[CollectionRecord | Failure]) -> Iterator[Candidate]:
        for collection, images in read_ahead(collections, self._begin, self._at_once, self._promise_enough):
            if isinstance(collection, Failure):
                yield collection
                continue
            yield from self._collection_images(collection, images)
            if self._query.by_ids and self._uses_stored():
                # What a failed page hid from us, or the server no longer lists, is still served.
                stored = self._cache.collection(collection.id) or {"id": collection.id}
                yield from self._stored_collection(collection.id, stored)

    def _begin(self, collection: CollectionRecord | Failure) -> Iterator[ImageRecord | Failure]:
        if isinstance(collection, Failure) or self._query.mode == "offline":
            return iter(())
        if self._query.by_ids and self._reuse.is_complete(collection):
            return iter(())
        return self._asking.images(collection, self._flat)

    def _promise_enough(self, collections: list[CollectionRecord | Failure]) -> bool:
        """Tell whether collections seem to hold all that is still wanted: a limit may make further lists needless."""
        return self._query.max_images is not None and self._are_enough(sum(map(_promised, collections)))

    def _are_enough(self, more: float) -> bool:
        return self._query.max_images is not None and len(self._visited) + more >= self._query.max_images

    def _collection_images(
        self, collection: CollectionRecord, images: Iterable[ImageRecord | Failure]
    ) -> Iterator[Candidate]:
        for found in images:
            if self._stopped or collection.id in self._given_up:
                return
            if isinstance(found, Failure):
                yield found
            elif found.id not in self._visited:
                record = described(found)
                if self._keeps_image(record):
                    yield self._hand_out(self._reuse.task(record), collection.metadata)

    # By ids: the images of the collections, then the images, in the order asked for; first mention wins.

    def _by_ids(self) -> Iterator[Candidate]:
        yield from self._listed(self._named_collections())
        images = self._asking.each(
            self._query.image_ids, self._image_at_hand, self._asking.image, self._are_enough
        )
        found = self._asking.with_collections(images, self._unknown_collection, self._are_enough)
        for image, collection in found:
            if isinstance(image, Failure):
                yield image
            elif isinstance(collection, Failure):
                yield replace(collection, image_id=_id_of(image), collection_id=None)
            elif _id_of(image) not in self._visited:
                yield from self._named_image(image, collection)

    def _named_collections(self) -> Iterator[CollectionRecord | Failure]:
        for found in self._asking.each(
            self._query.collection_ids, self._collection_at_hand, self._asking.collection, lambda more: False
        ):
            if isinstance(found, Failure) or self._keeps_collection(found.metadata):
                yield found

    def _collection_at_hand(self, collection_id: str) -> CollectionRecord | Failure | None:
        if (odd := _problem_with(collection_id)) is not None:
            return self._asking.failure(odd, collection_id=collection_id)
        stored = self._cache.collection(collection_id) if self._uses_stored() else None
        if stored is not None:
            return CollectionRecord(self._plan.source.name, collection_id, stored)
        if self._query.mode == "offline":
            return self._asking.failure(_not_stored(), collection_id=collection_id)
        return None

    def _image_at_hand(self, image_id: str) -> Found | ImageRecord | Failure | None:
        """Return an image as it is stored, or as an earlier search described it; None where the source must tell."""
        if (odd := _problem_with(image_id)) is not None:
            return self._asking.failure(odd, image_id=image_id)
        stored = self._cache.find(image_id) if self._uses_stored() else None
        found = self._reuse.at_hand(stored) if stored else None
        if stored is not None and found is not None:
            described_here = self._cache.collection(stored.collection_id) is not None
            if described_here or self._query.mode == "offline":
                return found
        if self._query.mode == "offline":
            return self._asking.failure(_not_stored(), image_id=image_id)
        record = self._known.get(image_id)
        return None if record is None else described(record)

    def _unknown_collection(self, image: Found | ImageRecord | Failure) -> str | None:
        """Return the id of an image's collection, if only the source can tell of it."""
        if not isinstance(image, ImageRecord) or image.collection_id in self.collections:
            return None
        at_hand = self._uses_stored() and self._cache.collection(image.collection_id) is not None
        return None if at_hand else image.collection_id

    def _named_image(
        self, image: Found | ImageRecord, collection: CollectionRecord | None
    ) -> Iterator[Found]:
        record = image if isinstance(image, ImageRecord) else image.record
        metadata = collection.metadata if collection else self._collection_metadata(record.collection_id)
        if self._keeps_collection(metadata) and self._keeps_image(record):
            yield self._hand_out(
                self._reuse.task(image) if isinstance(image, ImageRecord) else image, metadata
            )

    def _collection_metadata(self, collection_id: str) -> Metadata:
        known = self.collections.get(collection_id) or self._cache.collection(collection_id)
        return known or {"id": collection_id}

    # One image.

    def _hand_out(self, found: Found, collection: Metadata) -> Found:
        record = found.record
        self._visited.add(record.id)
        if record.collection_id not in self.collections:
            self.collections[record.collection_id] = dict(collection)
        return found

    # Conditions.

    def _keeps_collection(self, metadata: Metadata) -> bool:
        query = self._query
        return self._keeps("collection", metadata, query.collection_terms, query.collection_filters)

    def _keeps_image(self, image: ImageRecord | StoredImage) -> bool:
        query, filters = self._query, self._image_filters
        if filters and isinstance(image, StoredImage):  # a caller's own are given a dict
            image.metadata = as_dict(image.metadata)
        if self._is_part and not query.shard.holds(image.id):
            return False
        return self._keeps("image", image.metadata, query.image_terms, filters)

    def _keeps(self, level: str, metadata: Metadata, terms: Metadata, filters: tuple[Any, ...]) -> bool:
        if self._unseen[level]:
            self._examined[level] |= metadata.keys()
            self._unseen[level] -= metadata.keys()
        try:
            agrees = metadata.match(terms) if isinstance(metadata, Fields) else matches(terms, metadata)
            return agrees and (not filters or all(keep(metadata) for keep in filters))
        except Exception as error:
            error.add_note(f"while filtering {level} {metadata.get('id')}")
            raise

    def unknown_terms(self) -> Iterator[str]:
        """Yield a sentence for each term whose field no examined record had."""
        for level, known in self._examined.items():
            for key in self._unseen[level] if known else ():
                near = difflib.get_close_matches(str(key), sorted(known), n=3)
                hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
                yield f"no {level} has a field {key!r}{hint}"


def _not_stored() -> SourceError:
    return SourceError("not stored, and the network is off")


def _problem_with(asked: str) -> SourceError | None:
    try:
        checked_id(asked)
    except SourceError as error:
        return error
    return None


def _id_of(image: Found | ImageRecord) -> str:
    return image.id if isinstance(image, ImageRecord) else image.record.id


def _promised(collection: CollectionRecord | Failure) -> float:
    """Return how many images a collection says it has; one that does not say may have any number."""
    if isinstance(collection, Failure):
        return 0
    number = collection.metadata.get("number_of_images")
    return max(0, number) if isinstance(number, int) else math.inf


def shown_metadata(
    record: ImageRecord | StoredImage, asset: Asset | RecordedAsset | None, plan: WorkPlan, root: str
) -> dict[str, Any]:
    """Return what ``images_meta`` shows of an image: its fields, what processors changed, and its paths."""
    metadata, changed = record.metadata, asset.metadata if asset else None
    # What storage says of an image has its paths already.
    if changed or plan.annotators or not isinstance(record, StoredImage):
        paths = plan.paths(record, as_asset(asset) if asset else None)
        metadata = {**as_dict(metadata), **(changed or {}), **paths}
    return layout.with_absolute_paths(metadata, root)

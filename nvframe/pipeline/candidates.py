"""Which images a query touches, in order: what storage holds first, then what the source lists."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nvframe import layout
from nvframe.cache import Cache
from nvframe.errors import DownloadError, SourceError
from nvframe.filters import keep_all, matches, normalise
from nvframe.http import without_secrets
from nvframe.pipeline.ahead import read_ahead
from nvframe.pipeline.plan import Query
from nvframe.pipeline.work import Outcome, Task, WorkPlan
from nvframe.stored import Fields, StoredImage, as_dict, path_keys
from nvframe.types import ORIGINAL, Asset, CollectionRecord, Failure, ImageRecord, Metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Found = Task | Outcome
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
        How many collections may be listed at once.

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
    ) -> None:
        self._at_once = at_once
        self._query = query
        self._plan = plan
        self._cache = cache
        self._visited: set[str] = set()
        self._given_up: set[str] = set()
        self._stopped = False
        self._examined: dict[str, set[str]] = {"collection": set(), "image": set()}
        self._image_filters = tuple(each for each in query.image_filters if each is not keep_all)
        self._known = {record.id: record for record, _ in known}
        self.collections = {record.collection_id: dict(collection) for record, collection in known}

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
        if self._query.mode in ("download_new", "offline"):
            yield from self._stored()
        if self._query.mode != "offline":
            yield from self._listed()

    def _stored(self) -> Iterator[Found]:
        for collection_id in self._cache.collection_ids():
            collection = self._cache.collection(collection_id)
            if collection is None or not self._keeps_collection(collection):
                continue
            for stored in self._cache.images(collection_id):
                metadata = self._examinable(stored)
                if not self._keeps_image(stored.image_id, metadata):
                    continue
                found = self._at_hand(stored, metadata)
                if found is not None:
                    yield self._hand_out(found, collection)

    def _listed(self) -> Iterator[Candidate]:
        wanted = self._wanted_collections()
        for collection, images in read_ahead(wanted, self._begin, self._at_once, self._promise_enough):
            if isinstance(collection, Failure):
                yield collection
            else:
                yield from self._collection_images(collection, images)

    def _promise_enough(self, collections: list[CollectionRecord | Failure]) -> bool:
        """Tell whether collections seem to hold all that is still wanted: a limit may make further lists needless."""
        if self._query.max_images is None:
            return False
        return len(self._visited) + sum(map(_promised, collections)) >= self._query.max_images

    def _wanted_collections(self) -> Iterator[CollectionRecord | Failure]:
        for found in self._plan.source.collections(self._query.collection_terms):
            if isinstance(found, Failure):
                yield found
                continue
            collection = replace(found, metadata=normalise(found.metadata))
            if self._stopped:
                return
            if self._keeps_collection(collection.metadata) and not self._is_complete(collection):
                yield collection

    def _begin(self, collection: CollectionRecord | Failure) -> Iterator[ImageRecord | Failure]:
        return iter(()) if isinstance(collection, Failure) else iter(self._plan.source.images(collection))

    def _collection_images(
        self, collection: CollectionRecord, images: Iterable[ImageRecord | Failure]
    ) -> Iterator[Candidate]:
        for found in images:
            if self._stopped or collection.id in self._given_up:
                return
            if isinstance(found, Failure):
                yield found
            elif found.id not in self._visited:
                record = _described(found)
                if self._keeps_image(record.id, record.metadata):
                    yield self._remote(record, collection.metadata)

    # By ids: the images of the collections, then the images, in the order asked for; first mention wins.

    def _by_ids(self) -> Iterator[Candidate]:
        for collection_id in self._query.collection_ids:
            yield from self._wanted_collection(collection_id)
        for image_id in self._query.image_ids:
            if image_id not in self._visited:
                yield from self._wanted_image(image_id)

    def _wanted_collection(self, collection_id: str) -> Iterator[Candidate]:
        try:
            collection = self._collection_record(collection_id)
        except (DownloadError, SourceError) as error:
            yield self._failure(error, collection_id=collection_id)
            return
        if not self._keeps_collection(collection.metadata):
            return
        if self._query.mode == "offline" or self._is_complete(collection):
            yield from self._stored_collection(collection_id)
            return
        yield from self._collection_images(collection, self._plan.source.images(collection))
        if self._query.mode == "download_new":
            # What a failed page hid from us, or the server no longer lists, is still served.
            yield from self._stored_collection(collection_id)

    def _stored_collection(self, collection_id: str) -> Iterator[Found]:
        collection = self._cache.collection(collection_id) or {"id": collection_id}
        for stored in self._cache.images(collection_id):
            metadata = self._examinable(stored)
            if stored.image_id not in self._visited and self._keeps_image(stored.image_id, metadata):
                found = self._at_hand(stored, metadata)
                if found is not None:
                    yield self._hand_out(found, collection)

    def _collection_record(self, collection_id: str) -> CollectionRecord:
        stored = None
        if self._query.mode in ("download_new", "offline"):
            stored = self._cache.collection(collection_id)
        if stored is None and self._query.mode == "offline":
            raise SourceError("not stored, and the network is off")
        if stored is not None:
            return CollectionRecord(self._plan.source.name, collection_id, stored)
        found = self._plan.source.get_collection(collection_id)
        return replace(found, metadata=normalise(found.metadata))

    def _wanted_image(self, image_id: str) -> Iterator[Candidate]:
        try:
            stored = self._cache.find(image_id) if self._query.mode in ("download_new", "offline") else None
            found = self._at_hand(stored, stored.metadata) if stored else None
            if stored is not None and found is not None:
                known = self._cache.collection(stored.collection_id)
                if known is not None or self._query.mode == "offline":
                    yield from self._kept(found, known or {"id": stored.collection_id}, self._hand_out)
                    return
            if self._query.mode == "offline":
                raise SourceError("not stored, and the network is off")
            record = self._known.get(image_id) or self._plan.source.get_image(image_id)
            record = _described(record)
            collection = self._collection_of(record)
        except (DownloadError, SourceError) as error:
            yield self._failure(error, image_id=image_id)
            return
        yield from self._kept(
            self._task(record), collection, lambda task, meta: self._remote(task.record, meta)
        )

    def _collection_of(self, record: ImageRecord) -> Metadata:
        known = self.collections.get(record.collection_id)
        return known if known is not None else self._collection_record(record.collection_id).metadata

    def _kept(
        self, found: Found, collection: Metadata, handing: Callable[[Any, Metadata], Found]
    ) -> Iterator[Found]:
        record = found.record
        if self._keeps_collection(collection) and self._keeps_image(record.id, record.metadata):
            yield handing(found, collection)

    # One image.

    def _remote(self, record: ImageRecord, collection: Metadata) -> Found:
        return self._hand_out(self._task(record), collection)

    def _hand_out(self, found: Found, collection: Metadata) -> Found:
        record = found.record
        self._visited.add(record.id)
        if record.collection_id not in self.collections:
            self.collections[record.collection_id] = dict(collection)
        return found

    def _task(self, record: ImageRecord) -> Task:
        """Return the task for an image that the source described; reuses what is stored, as the mode allows."""
        stored = self._cache.image(record.collection_id, record.id)
        if stored is None:
            return Task(record, stale=self._files(record))
        moved = stored.fields.get("modify_date") != record.metadata.get("modify_date")
        if self._query.mode == "overwrite" or (self._query.mode == "update" and moved):
            return Task(record, previous=True, recorded=stored.assets, stale=self._files(record))
        return self._reusing(record, stored)

    def _reusing(self, record: ImageRecord, stored: StoredImage) -> Task:
        assets = self._sound_assets(stored)
        annotated = self._annotated(stored, assets.get(self._plan.role))
        return Task(record, assets, annotated, previous=True, recorded=stored.assets)

    def _files(self, record: ImageRecord) -> tuple[str, ...]:
        """Return the keys of the files that would be believed without a record."""
        present = self._cache.entries(record.collection_id)
        keys = (
            layout.asset_key(record.collection_id, record.id, role) for role in (ORIGINAL, layout.RESAMPLED)
        )
        return tuple(key for key in keys if key in present)

    def _examinable(self, stored: StoredImage) -> Metadata:
        """Return metadata to decide by; a caller's own filters are given a dict."""
        return stored.metadata if self._image_filters else stored.fields

    def _at_hand(self, stored: StoredImage, metadata: Metadata) -> Found | None:
        """Return what makes of a stored image what is wanted; None where that takes a server."""
        wanted = None if self._plan.annotators else self._sound(stored)
        if wanted is not None:
            return Outcome(self._record_of(stored, metadata), wanted)
        record = self._record_of(stored, metadata if isinstance(metadata, dict) else as_dict(metadata))
        task = self._reusing(record, stored)
        at_hand = self._plan.role in task.assets or (self._plan.steps and ORIGINAL in task.assets)
        return task if at_hand else None

    def _record_of(self, stored: StoredImage, metadata: Metadata) -> ImageRecord:
        url, size, modified = map(metadata.get, ("file", "file_size", "modify_date"))
        return ImageRecord(
            self._plan.source.name,
            stored.image_id,
            stored.collection_id,
            str(url or ""),
            metadata,
            size if isinstance(size, int) and size > 0 else None,
            modified if isinstance(modified, str) else None,
        )

    def _sound_assets(self, stored: StoredImage) -> dict[str, Asset]:
        """Return the stored assets that this plan can use; a processed one only if its whole chain is the same."""
        wanted = self._sound(stored)
        if wanted is not None:
            return {self._plan.role: wanted}  # nothing has to be made, so nothing else is looked at
        assets = dict(stored.assets)
        assets.pop(self._plan.role, None)
        original = self._cache.asset(stored, ORIGINAL)
        return assets if original is None else {**assets, ORIGINAL: original}

    def _sound(self, stored: StoredImage) -> Asset | None:
        """Return the wanted asset, if it is stored and made as this plan would make it."""
        wanted = self._cache.asset(stored, self._plan.role)
        if wanted is None or (self._plan.steps and not self._is_current(stored, wanted)):
            return None
        return wanted

    def _is_current(self, stored: StoredImage, asset: Asset) -> bool:
        if not asset.chain:
            return True  # nilearn's own, taken as made with its defaults
        original = self._cache.asset(stored, ORIGINAL)
        same_source = original is None or original.sha256 == asset.chain[0]
        return same_source and asset.chain[1:] == self._plan.identities

    def _annotated(self, stored: StoredImage, asset: Asset | None) -> frozenset[str]:
        if not self._plan.annotators:
            return frozenset()
        return frozenset(
            name
            for name, file in self._plan.annotation_names(asset).items()
            if self._cache.has_annotation(stored.collection_id, stored.image_id, file)
        )

    def _is_complete(self, collection: CollectionRecord) -> bool:
        """Tell whether storage holds all of a collection, so that it need not be listed."""
        promised = collection.metadata.get("number_of_images")
        if (
            self._query.mode not in ("download_new", "offline")
            or not isinstance(promised, int)
            or not promised
        ):
            return False
        at_hand = sum(
            self._at_hand(each, each.fields) is not None for each in self._cache.images(collection.id)
        )
        return at_hand >= promised

    # Conditions.

    def _keeps_collection(self, metadata: Metadata) -> bool:
        query = self._query
        return self._keeps("collection", metadata, query.collection_terms, query.collection_filters)

    def _keeps_image(self, image_id: str, metadata: Metadata) -> bool:
        query = self._query
        return query.shard.holds(image_id) and self._keeps(
            "image", metadata, query.image_terms, self._image_filters
        )

    def _keeps(self, level: str, metadata: Metadata, terms: Metadata, filters: tuple[Any, ...]) -> bool:
        if not terms.keys() <= self._examined[level]:
            self._examined[level] |= metadata.keys()
        try:
            agrees = metadata.match(terms) if isinstance(metadata, Fields) else matches(terms, metadata)
            return agrees and (not filters or all(keep(metadata) for keep in filters))
        except Exception as error:
            error.add_note(f"while filtering {level} {metadata.get('id')}")
            raise

    def unknown_terms(self) -> Iterator[str]:
        """Yield a sentence for each term whose field no examined record had."""
        for level, terms in (
            ("collection", self._query.collection_terms),
            ("image", self._query.image_terms),
        ):
            known = self._examined[level]
            for key in terms.keys() - known if known else ():
                near = difflib.get_close_matches(str(key), sorted(known), n=3)
                hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
                yield f"no {level} has a field {key!r}{hint}"

    def _failure(
        self, error: Exception, image_id: str | None = None, collection_id: str | None = None
    ) -> Failure:
        source = self._plan.source
        url = without_secrets(getattr(getattr(source, "client", None), "base_url", source.name))
        retryable = isinstance(error, DownloadError) and error.retryable
        return Failure(
            "list", source.name, image_id, collection_id, url, type(error).__name__, str(error), retryable
        )


def _described(record: ImageRecord) -> ImageRecord:
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


def _promised(collection: CollectionRecord | Failure) -> float:
    """Return how many images a collection says it has; one that does not say may have any number."""
    if isinstance(collection, Failure):
        return 0
    number = collection.metadata.get("number_of_images")
    return max(0, number) if isinstance(number, int) else math.inf


def shown_metadata(record: ImageRecord, asset: Asset | None, plan: WorkPlan, root: str) -> dict[str, Any]:
    """Return what ``images_meta`` shows of an image: its fields, what processors changed, and its paths."""
    metadata, changed = record.metadata, asset.metadata if asset else None
    shown = as_dict(metadata)
    if changed or plan.annotators or not isinstance(metadata, Fields):
        shown.update(changed or {})
        shown.update(plan.paths(record, asset))
        metadata = shown
    # What storage says of an image has its paths already.
    layout.add_absolute_paths(shown, path_keys(metadata), root)
    return shown

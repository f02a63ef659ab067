"""The border where plugins' objects and answers come in: nothing that they say is believed unseen."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from nvframe.contracts import MetadataSource
from nvframe.errors import DownloadError, PluginError, SourceError
from nvframe.types import CollectionRecord, Failure, ImageRecord, Metadata, checked_id
from nvframe.urls import without_secrets

log = logging.getLogger(__name__)

Record = TypeVar("Record", CollectionRecord, ImageRecord)

_MEMBERS = (
    "name",
    "description",
    "server_terms",
    "default_terms",
    "collections",
    "images",
    "get_collection",
    "get_image",
    "open_image",
)


def checked_source(source: Any) -> MetadataSource:
    """Return `source`, or raise PluginError where it is not a source, or would be stored outside the data directory."""
    lacking = [member for member in _MEMBERS if not hasattr(source, member)]
    if lacking:
        raise PluginError(f"{source!r:.80} is not a metadata source: it has no {', '.join(lacking)}")
    try:
        _check_id(source.name)
    except SourceError as error:
        raise PluginError(f"a source's name is that of a directory: {error}") from error
    made: MetadataSource = source
    return made


_NEEDED = ("name", "needs_network", "needs_image", "sidecar_name", "metadata_key", "annotate")


def check_annotators(annotators: Sequence[Any]) -> None:
    """Raise PluginError for what is not an annotator, and where two files, of images or annotators, would be one."""
    for each in annotators:
        lacking = [member for member in _NEEDED if not hasattr(each, member)]
        if lacking:
            raise PluginError(f"{each!r:.80} is not an annotator: it has no {', '.join(lacking)}")
        name = each.sidecar_name
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]*\{id\}[A-Za-z0-9._-]*\.json", name):
            raise PluginError(
                f"annotator {each.name!r} has sidecar_name {name!r:.80}: it must be a plain file name with {{id}} in "
                "it once, and end in .json, or the annotations of all images would be one file"
            )
    for name, number in Counter(each.name for each in annotators).items():
        if number > 1:
            raise PluginError(f"{number} annotators are called {name!r}: annotate with one of them per fetch")


class Border:
    """Asks a source for its listings and believes nothing: one bad record costs no other.

    Parameters
    ----------
    source : MetadataSource
        Who is asked.
    """

    def __init__(self, source: MetadataSource) -> None:
        self._source = source
        self.name = source.name

    def collections(self, terms: Metadata) -> Iterator[CollectionRecord | Failure]:
        """Yield the source's collections; what is invalid, or went wrong, is a Failure among them."""
        return self._listed(lambda: self._source.collections(terms), CollectionRecord, None)

    def images(self, collection: CollectionRecord | None) -> Iterator[ImageRecord | Failure]:
        """Yield a collection's images; what is invalid, or went wrong, is a Failure among them."""
        where = collection.id if collection else None
        return self._listed(lambda: self._source.images(collection), ImageRecord, where)

    def get_collection(self, collection_id: str) -> CollectionRecord:
        """Return one collection, or raise SourceError or DownloadError."""
        return _one(lambda: self._source.get_collection(collection_id), CollectionRecord)

    def get_image(self, image_id: str) -> ImageRecord:
        """Return one image's record, or raise SourceError or DownloadError."""
        return _one(lambda: self._source.get_image(image_id), ImageRecord)

    def _listed(
        self, ask: Callable[[], Iterable[Any]], kind: type[Record], collection_id: str | None
    ) -> Iterator[Record | Failure]:
        try:
            for each in ask():
                yield each if isinstance(each, Failure) else self._let_in(each, kind, collection_id)
        except NotImplementedError:  # there is no such listing
            raise
        except Exception as error:
            log.debug("%s: a listing broke off", self.name, exc_info=True)
            yield self.failure(_told(error), collection_id=collection_id)

    def _let_in(self, found: Any, kind: type[Record], collection_id: str | None) -> Record | Failure:
        try:
            return _checked(found, kind)
        except SourceError as error:
            return self.failure(error, collection_id=collection_id)

    def failure(
        self, error: Exception, image_id: str | None = None, collection_id: str | None = None
    ) -> Failure:
        """Return the Failure of what the source could not tell."""
        url = without_secrets(getattr(getattr(self._source, "client", None), "base_url", self.name))
        return Failure.of(error, "list", self.name, image_id=image_id, collection_id=collection_id, url=url)


def _one(ask: Callable[[], Any], kind: type[Record]) -> Record:
    try:
        found = ask()
    except Exception as error:
        raise _told(error) from error
    return _checked(found, kind)


def _told(error: Exception) -> DownloadError | SourceError:
    """Return an error as one that a source may raise."""
    if isinstance(error, DownloadError | SourceError):
        return error
    return SourceError(f"{type(error).__name__}: {error}")


def _checked(found: Any, kind: type[Record]) -> Record:
    """Return a record whose ids are fit for keys and whose metadata are a mapping, or raise SourceError."""
    if not isinstance(found, kind):
        raise SourceError(f"the source gave {found!r:.80} and no {kind.__name__}")
    for each in (found.id, found.collection_id) if isinstance(found, ImageRecord) else (found.id,):
        _check_id(each)
    if not isinstance(found.metadata, Mapping):
        raise SourceError(f"the metadata of {found.id} are {found.metadata!r:.80} and no mapping")
    return found


def _check_id(value: object) -> None:
    if not isinstance(value, str):
        raise SourceError(f"the id {value!r:.80} is not a str")
    checked_id(value)

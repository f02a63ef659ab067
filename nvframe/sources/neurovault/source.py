"""NeuroVault as a metadata source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from nvframe.errors import DownloadError, SourceError
from nvframe.filters import IsIn
from nvframe.http.client import HttpClient
from nvframe.http.retry import Retry
from nvframe.sources.neurovault.paging import Pager, Row
from nvframe.sources.neurovault.terms import basic_collection_terms, basic_image_terms
from nvframe.types import ByteStream, CollectionRecord, Failure, ImageRecord, Metadata
from nvframe.urls import without_secrets

NAME = "neurovault"
URL = "https://neurovault.org"
URL_VARIABLE = "NVFRAME_NEUROVAULT_URL"
MAX_IMAGE_BYTES = 4 << 30
"""No map on NeuroVault comes near; a body that goes on for ever ends here."""


class NeuroVault:
    """The statistical maps on neurovault.org, or on a mirror of it.

    Parameters
    ----------
    url : str, optional
        Of the server; else ``NVFRAME_NEUROVAULT_URL``, else https://neurovault.org.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    retry : Retry, optional
        For metadata.

    Raises
    ------
    SourceError
        If the URL is not an http(s) URL.

    Notes
    -----
    Gorgolewski et al. (2015), NeuroVault.org: a web-based repository for collecting and sharing unthresholded
    statistical maps of the human brain, Frontiers in Neuroinformatics 9:8, doi:10.3389/fninf.2015.00008.

    Examples
    --------
    >>> sorted(NeuroVault("https://neurovault.org").server_terms)
    ['DOI', 'name', 'owner']
    """

    name = NAME
    # Older versions of the server honour these, today's ignore them: the core applies them again.
    server_terms = frozenset({"DOI", "name", "owner"})

    def __init__(self, url: str | None = None, timeout: float = 10.0, retry: Retry | None = None) -> None:
        base = url or os.environ.get(URL_VARIABLE) or URL
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
            raise SourceError(f"{without_secrets(base)!r} is not an http or https URL: check {URL_VARIABLE}")
        self.client = HttpClient(base, timeout, retry)

    @property
    def description(self) -> str:
        """About NeuroVault, for people."""
        return _description()

    def abort(self) -> None:
        """Ask for nothing more: the call was interrupted."""
        self.client.abort()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def default_terms(self) -> tuple[Metadata, Metadata]:
        """Return NeuroVault's default (collection terms, image terms)."""
        return basic_collection_terms(), basic_image_terms()

    def collections(self, terms: Metadata) -> Iterator[CollectionRecord | Failure]:
        """Yield collections; where `terms` name their ids, only those are asked for."""
        wanted = _ids_in(terms.get("id"))
        if wanted is not None:
            for collection_id in wanted:
                yield self._one_collection(collection_id)
            return
        pushed = {k: v for k, v in terms.items() if k in self.server_terms and isinstance(v, str | int)}
        for row in Pager(self.client, "/api/collections/", pushed).rows():
            yield self._checked(row, self._collection_record, None)

    def _one_collection(self, collection_id: str) -> CollectionRecord | Failure:
        try:
            return self.get_collection(collection_id)
        except (DownloadError, SourceError) as error:
            return self._failure(error, collection_id)

    def images(self, collection: CollectionRecord | None) -> Iterator[ImageRecord | Failure]:
        """Yield a collection's images in the order of their ids; all of the server's for None."""
        path = f"/api/collections/{collection.id}/images/" if collection else "/api/images/"
        collection_id = collection.id if collection else None
        for row in Pager(self.client, path).rows():
            yield self._checked(row, lambda row: self._image_record(row, collection_id), collection_id)

    def get_collection(self, collection_id: str) -> CollectionRecord:
        """Return one collection."""
        return self._collection_record(self._get(f"/api/collections/{_decimal(collection_id)}/"))

    def get_image(self, image_id: str) -> ImageRecord:
        """Return one image's record."""
        return self._image_record(self._get(f"/api/images/{_decimal(image_id)}/"), None)

    def _get(self, path: str) -> Row:
        row = self.client.get_json(path)
        if not isinstance(row, dict) or "id" not in row:
            raise SourceError(f"{path} answered no such object: is this NeuroVault's API?")
        return row

    @contextmanager
    def open_image(
        self, record: ImageRecord, start: int = 0, validator: str | None = None
    ) -> Iterator[ByteStream]:
        """Open an image's bytes; from `start` on where the server still has the same file and offers ranges."""
        if not record.url:
            raise DownloadError("the record names no file")
        with self.client.file(record.url, start, validator, MAX_IMAGE_BYTES) as stream:
            yield stream

    def _checked(
        self,
        row: Row | DownloadError,
        build: Callable[[Row], Any],
        collection_id: str | None,
    ) -> Any:
        if isinstance(row, DownloadError):
            return self._failure(row, collection_id)
        try:
            return build(row)
        except SourceError as error:
            return self._failure(error, collection_id)

    def _collection_record(self, row: Row) -> CollectionRecord:
        return CollectionRecord(NAME, _decimal(row.get("id")), row)

    def _image_record(self, row: Row, collection_id: str | None) -> ImageRecord:
        size = row.get("file_size")
        modified = row.get("modify_date")
        return ImageRecord(
            source=NAME,
            id=_decimal(row.get("id")),
            collection_id=_decimal(collection_id or row.get("collection_id")),
            url=self._file_url(row.get("file")),
            metadata=row,
            size=size if isinstance(size, int) and size > 0 else None,
            modified=modified if isinstance(modified, str) else None,
        )

    def _file_url(self, file: object) -> str:
        if not file:
            return ""
        try:
            return self._quoted(str(file))
        except ValueError:  # no address at all: said when it is opened
            return str(file)

    def _quoted(self, file: str) -> str:
        base = urlsplit(self.client.base_url)
        url = quote(urljoin(self.client.base_url, file), safe="%/:=&?~#+!$,;'@()*[]")
        # Old rows link to http: asking the same host over https saves a redirect in clear text.
        if base.scheme == "https" and urlsplit(url).hostname == base.hostname:
            return url.replace("http://", "https://", 1) if url.startswith("http://") else url
        return url

    def _failure(self, error: Exception, collection_id: str | None) -> Failure:
        url = without_secrets(self.client.base_url)
        return Failure.of(error, "list", NAME, collection_id=collection_id, url=url)


def _decimal(value: object) -> str:
    """Return a NeuroVault id as text; anything else is a private collection's token, or hostile."""
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,18}", text):
        raise SourceError(
            f"{value!r:.80} is not a NeuroVault id: ids are whole numbers; tokens of private collections are not opened"
        )
    return str(int(text))


def _ids_in(term: object) -> Iterable[str] | None:
    """Return the ids that a term on ``id`` names, or None where it leaves them open."""
    if isinstance(term, IsIn):
        return dict.fromkeys(str(value) for value in term.values)
    # numpy integers are not int, but stand for one by __index__.
    named = isinstance(term, str) or (hasattr(term, "__index__") and not isinstance(term, bool))
    return [str(term)] if named else None


@cache
def _description() -> str:
    return (files(__package__) / "description.rst").read_text(encoding="utf-8")

"""Zenodo as a metadata source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from nvframe.errors import DownloadError, SourceError
from nvframe.http import HttpClient, Retry, without_secrets
from nvframe.types import ByteStream, CollectionRecord, Failure, ImageRecord, Metadata
from nvframe_zenodo.records import NAME, Row, collection_record, image_records, record_id, record_of_image

URL = "https://zenodo.org"
URL_VARIABLE = "NVFRAME_ZENODO_URL"
TOKEN_VARIABLE = "ZENODO_TOKEN"  # noqa: S105 - the name of a variable
MAX_IMAGE_BYTES = 4 << 30

PAGE = 25
"""Records on a page: the most that Zenodo gives to callers without an account."""

WINDOW = 10_000
"""Zenodo lists no more of a query than that."""


class Zenodo:
    """NIfTI files in Zenodo's records: a version of a record is a collection.

    Parameters
    ----------
    records : sequence, optional
        Records by number, DOI or address; a concept stands for its latest version.
    query : str, optional
        Instead: a search in Zenodo's query language, such as ``"keywords:fMRI AND title:statistical"``; of each
        record the latest version.
    url : str, optional
        Of the archive; else ``NVFRAME_ZENODO_URL``, else https://zenodo.org.
    timeout : float, default=10.0
        Seconds to connect and between two reads.
    retry : Retry, optional
        For metadata.

    Raises
    ------
    ValueError
        If neither or both of `records` and `query` are given.
    SourceError
        If a record is named that cannot be one, or the URL is not an http(s) URL.

    Notes
    -----
    ``ZENODO_TOKEN`` in the environment is sent as a bearer token, which opens restricted records and more requests
    per minute; it is read for each request and stands nowhere else.

    Examples
    --------
    >>> Zenodo(records=["10.5281/zenodo.1234567", 42]).parameters()
    {'url': 'https://zenodo.org', 'records': ['1234567', '42']}
    """

    name = NAME
    description = (
        "Maps in records of Zenodo (https://zenodo.org), the archive of CERN. Each record has its own DOI, authors and "
        "licence: they are in its collection's metadata. Cite the record's DOI.\n"
    )
    server_terms: frozenset[str] = frozenset()

    def __init__(
        self,
        records: Sequence[Any] = (),
        query: str = "",
        url: str | None = None,
        timeout: float = 10.0,
        retry: Retry | None = None,
    ) -> None:
        named = [records] if isinstance(records, str | int) else list(records)
        if bool(named) == bool(query):
            raise ValueError("give either `records`, a list of numbers or DOIs, or a `query`")
        base = url or os.environ.get(URL_VARIABLE) or URL
        if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
            raise SourceError(f"{without_secrets(base)!r} is not an http or https URL: check {URL_VARIABLE}")
        self._records = list(dict.fromkeys(map(record_id, named)))
        self._query = query
        self._listed: dict[str, Row] = {}
        self.client = HttpClient(base, timeout, retry, token_variable=TOKEN_VARIABLE)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_listed": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def parameters(self) -> dict[str, Any]:
        """Return what tells these images from another query's."""
        wanted = {"query": self._query} if self._query else {"records": self._records}
        return {"url": without_secrets(self.client.base_url), **wanted}

    def abort(self) -> None:
        """Ask for nothing more: the call was interrupted."""
        self.client.abort()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def default_terms(self) -> tuple[Metadata, Metadata]:
        """Return no terms: the query says what is wanted."""
        return {}, {}

    def collections(self, terms: Metadata) -> Iterator[CollectionRecord | Failure]:
        """Yield the records, each once: those that were named, in their order, else the query's, the oldest first."""
        seen: set[str] = set()
        for row in self._searched() if self._query else self._named():
            made = row if isinstance(row, Failure) else self._collection(row)
            if isinstance(made, Failure):
                yield made
            elif made.id not in seen:
                seen.add(made.id)
                self._listed[made.id] = row  # it has the files too: `images` need not ask again
                yield made

    def _collection(self, row: Row) -> CollectionRecord | Failure:
        try:
            return collection_record(row, self._site)
        except SourceError as error:
            return self._failure(error)

    def _named(self) -> Iterator[Any]:
        for record in self._records:
            try:
                yield self._get(record)
            except (DownloadError, SourceError) as error:
                yield self._failure(error, record)

    def _searched(self) -> Iterator[Any]:
        page, total = 1, 1
        while (page - 1) * PAGE < min(total, WINDOW):
            try:
                total, rows = self._page(page)
            except (DownloadError, SourceError) as error:
                yield self._failure(error)
                if page == 1:
                    return
            else:
                yield from rows
            page += 1
        if total > WINDOW:
            yield self._failure(
                SourceError(f"the query has {total} records, and Zenodo lists the first {WINDOW}: narrow it")
            )

    def _page(self, page: int) -> tuple[int, list[Any]]:
        params = {"q": self._query, "page": page, "size": PAGE, "sort": "-mostrecent"}
        answer = self.client.get_json("/api/records", params)
        try:
            total = answer["hits"]["total"]
            return int(total["value"] if isinstance(total, dict) else total), list(answer["hits"]["hits"])
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{self._site}/api/records answered no list of records") from error

    def images(self, collection: CollectionRecord | None) -> Iterator[ImageRecord | Failure]:
        """Yield a record's NIfTI files by name; those of all records for None."""
        if collection is None:
            for each in self.collections({}):
                yield from (each,) if isinstance(each, Failure) else self.images(each)
            return
        try:
            row = self._listed.pop(collection.id, None) or self._get(collection.id)
            yield from image_records(row, self._site)
        except (DownloadError, SourceError) as error:
            yield self._failure(error, collection.id)

    def get_collection(self, collection_id: str) -> CollectionRecord:
        """Return one record; for a concept its latest version."""
        return collection_record(self._get(record_id(collection_id)), self._site)

    def get_image(self, image_id: str) -> ImageRecord:
        """Return one image, of exactly the version of the record that its id names."""
        row = self._get(record_of_image(image_id))
        for record in image_records(row, self._site):
            if record.id == image_id:
                return record
        raise SourceError(f"record {row['id']} has no image {image_id!r:.160}")

    def _get(self, record: str) -> Row:
        row = self.client.get_json(f"/api/records/{record}")
        if not isinstance(row, dict) or "id" not in row:
            raise SourceError(f"{self._site}/api/records/{record} answered no record: is this Zenodo's API?")
        return row

    @contextmanager
    def open_image(
        self, record: ImageRecord, start: int = 0, validator: str | None = None
    ) -> Iterator[ByteStream]:
        """Open a file's bytes, with the checksum that Zenodo states for it."""
        if not record.url:
            raise DownloadError("the record names no file")
        with self.client.file(record.url, start, validator, MAX_IMAGE_BYTES) as stream:
            stated = record.metadata.get("checksum")
            yield replace(stream, checksum=stated if isinstance(stated, str) else None)

    @property
    def _site(self) -> str:
        return without_secrets(self.client.base_url)

    def _failure(self, error: Exception, collection: str | None = None) -> Failure:
        return Failure.of(error, "list", NAME, collection_id=collection, url=self._site)

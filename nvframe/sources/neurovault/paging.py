"""Scrolling through one of NeuroVault's lists, in spite of how it answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nvframe.errors import DownloadError
from nvframe.http.client import HttpClient

FIRST_LIMIT = 200
MAX_LIMIT = 1000
"""The server caps `limit` here, in silence."""
MIN_LIMIT_AFTER_TIMEOUT = 25
MAX_BAD_ROWS = 5

Row = Mapping[str, Any]


class Pager:
    """Pages through one list; a bad row costs itself only, and what is missing at the end is said.

    One row that the server cannot render makes each page that holds it answer 500: such a page is halved
    down to the row. Large pages can take long: they start at 200 rows, double while quick, halve on a time-out.

    Parameters
    ----------
    client : HttpClient
        Of the server.
    path : str
        Of the list, with its slash.
    params : Mapping
        Query parameters besides ``limit`` and ``offset``.
    """

    def __init__(self, client: HttpClient, path: str, params: Mapping[str, Any] | None = None) -> None:
        self._client = client
        self._path = path
        self._params = dict(params or {})
        self._offset = 0
        self._limit = FIRST_LIMIT
        self._count: int | None = None
        self._splitting = False
        self._bad_rows = 0
        self._bad_in_a_row = 0
        self._seen: set[str] = set()

    def rows(self) -> Iterator[Row | DownloadError]:
        """Yield each row once, and an error for each that is lost; pulls the next page only when asked."""
        while self._count is None or self._offset < self._count:
            try:
                page = self._next_page()
            except DownloadError as error:
                if self._shrink(error):
                    continue
                yield DownloadError(f"{self._path} from row {self._offset} on: {error}", error.retryable)
                if not self._skip_bad_row(error):
                    return
                continue
            if not page:
                break
            yield from self._fresh(page)
        yield from self._shortfall()

    def _next_page(self) -> list[Row]:
        own = self._client.retry
        retry = replace(own, tries=1 if self._splitting else min(2, own.tries))
        params = {**self._params, "limit": self._limit, "offset": self._offset}
        started = time.monotonic()
        page = _checked(self._client.get_json(self._path, params, retry), self._path)
        self._count = page["count"] if self._count is None else min(self._count, page["count"])
        rows: list[Row] = page["results"]
        self._offset += len(rows)
        self._adapt(time.monotonic() - started)
        return rows

    def _adapt(self, seconds: float) -> None:
        self._bad_in_a_row = 0
        if self._splitting or seconds < self._client.timeout / 4:
            self._limit = min(2 * self._limit, MAX_LIMIT)
        self._splitting = self._splitting and self._limit < FIRST_LIMIT

    def _shrink(self, error: DownloadError) -> bool:
        """Halve the page where a smaller one may be answered; tell whether that was possible."""
        poisoned = error.status == 500
        smallest = 1 if poisoned else MIN_LIMIT_AFTER_TIMEOUT
        if not (poisoned or _timed_out(error)) or self._limit <= smallest:
            return False
        self._splitting = self._splitting or poisoned
        self._limit //= 2
        return True

    def _skip_bad_row(self, error: DownloadError) -> bool:
        """Step over a row that alone makes its page fail; many in a row mean that the server is broken."""
        if error.status != 500 or self._bad_in_a_row == MAX_BAD_ROWS:
            return False
        self._bad_in_a_row += 1
        self._bad_rows += 1
        self._offset += 1
        return True

    def _fresh(self, page: list[Row]) -> Iterator[Row]:
        for row in page:
            identifier = str(row.get("id"))
            if identifier not in self._seen:
                self._seen.add(identifier)
                yield row

    def _shortfall(self) -> Iterator[DownloadError]:
        expected = (self._count or 0) - self._bad_rows
        if len(self._seen) < expected:
            yield DownloadError(
                f"{self._path} promised {expected} entries and listed {len(self._seen)}: "
                "the list has no stable order, or rows went missing; run the call again",
                retryable=True,
            )


def _checked(page: Any, path: str) -> dict[str, Any]:
    well_formed = (
        isinstance(page, dict)
        and isinstance(page.get("count"), int)
        and isinstance(page.get("results"), list)
        and all(isinstance(row, dict) for row in page["results"])
    )
    if not well_formed:
        raise DownloadError(f"{path} answered no list page: is this NeuroVault's API?")
    checked: dict[str, Any] = page
    return checked


def _timed_out(error: DownloadError) -> bool:
    """Tell whether no answer came in time, or its body stopped coming."""
    from urllib3.exceptions import NewConnectionError
    from urllib3.exceptions import TimeoutError as LateError

    return isinstance(error.__cause__, LateError) and not isinstance(error.__cause__, NewConnectionError)

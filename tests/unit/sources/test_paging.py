"""How one list is scrolled through: pages that grow while quick and shrink when late, and rows lost one by one."""

from types import SimpleNamespace

import pytest
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from nvframe.errors import DownloadError
from nvframe.http.retry import Retry
from nvframe.sources.neurovault import paging
from nvframe.sources.neurovault.paging import Pager

TIMEOUT = 8.0


class List:
    """Answers for pages of a list of `length` rows; `trouble` may raise instead, and `seconds` go by."""

    timeout = TIMEOUT
    retry = Retry(tries=3)

    def __init__(self, monkeypatch, length, seconds=lambda limit: 0.0, trouble=lambda limit, offset: None):
        self._length, self._seconds, self._trouble = length, seconds, trouble
        self._now = 0.0
        self.limits, self.tries = [], []
        monkeypatch.setattr(paging, "time", SimpleNamespace(monotonic=lambda: self._now))

    def get_json(self, path, params, retry):
        limit, offset = params["limit"], params["offset"]
        self.limits.append(limit)
        self.tries.append(retry.tries)
        self._trouble(limit, offset)
        self._now += self._seconds(limit)
        rows = [{"id": n} for n in range(offset, min(offset + limit, self._length))]
        return {"count": self._length, "results": rows}

    def rows(self):
        return list(Pager(self, "/api/images/").rows())


def late(cause):
    error = DownloadError("late", retryable=True)
    error.__cause__ = cause
    return error


def timed_out():
    return late(ReadTimeoutError(None, "/", "read timed out"))


def test_pages_double_while_quick_up_to_what_the_server_gives(monkeypatch):
    pages = List(monkeypatch, 4_000)
    assert [row["id"] for row in pages.rows()] == list(range(4_000))
    assert pages.limits == [200, 400, 800, 1000, 1000, 1000]


def test_pages_stay_where_they_take_a_quarter_of_the_timeout(monkeypatch):
    pages = List(monkeypatch, 1_500, seconds=lambda limit: limit * TIMEOUT / 4 / 400)
    assert len(pages.rows()) == 1_500
    assert pages.limits == [200, 400, 400, 400, 400]


def test_pages_halve_on_a_time_out(monkeypatch):
    def trouble(limit, offset):
        if limit > 100:
            raise timed_out()

    pages = List(monkeypatch, 250, seconds=lambda limit: TIMEOUT / 3, trouble=trouble)
    assert [row["id"] for row in pages.rows()] == list(range(250))
    assert pages.limits == [200, 100, 100, 100]


def test_a_list_that_is_always_late_is_given_up_at_a_small_page(monkeypatch):
    def trouble(limit, offset):
        raise timed_out()

    pages = List(monkeypatch, 250, trouble=trouble)
    lost = pages.rows()
    assert pages.limits == [200, 100, 50, 25]
    assert [type(each) for each in lost] == [DownloadError]


@pytest.mark.parametrize("status", [None, 404, 503])
def test_other_trouble_does_not_shrink_the_page(monkeypatch, status):
    def trouble(limit, offset):
        raise DownloadError("no", retryable=True, status=status) from NewConnectionError(None, "refused")

    pages = List(monkeypatch, 250, trouble=trouble)
    assert [type(each) for each in pages.rows()] == [DownloadError]
    assert pages.limits == [200]


def test_a_row_that_cannot_be_rendered_costs_itself_and_pages_grow_again(monkeypatch):
    def trouble(limit, offset):
        if offset <= 333 < offset + limit:
            raise DownloadError("500", retryable=True, status=500)

    pages = List(monkeypatch, 1_500, trouble=trouble)
    found = pages.rows()
    lost = [each for each in found if isinstance(each, DownloadError)]
    assert len(lost) == 1
    assert "from row 333 on" in str(lost[0])
    assert [row["id"] for row in found if isinstance(row, dict)] == [n for n in range(1_500) if n != 333]
    assert max(pages.limits[-2:]) > paging.FIRST_LIMIT
    assert set(pages.tries) == {1, 2}, "while a page is taken apart, nothing is asked for twice"


def test_a_count_larger_than_the_list_is_said_and_ends(monkeypatch):
    pages = List(monkeypatch, 10)
    usual = pages.get_json
    monkeypatch.setattr(pages, "get_json", lambda *args: usual(*args) | {"count": 12})
    *rows, missing = pages.rows()
    assert len(rows) == 10
    assert "promised 12 entries and listed 10" in str(missing)
    assert len(pages.limits) == 2


def test_a_row_that_comes_twice_is_one(monkeypatch):
    pages = List(monkeypatch, 3)
    monkeypatch.setattr(
        pages, "get_json", lambda *args: {"count": 3, "results": [{"id": 1}, {"id": 1}, {"id": 2}]}
    )
    one, two, missing = pages.rows()
    assert (one, two) == ({"id": 1}, {"id": 2})
    assert missing.retryable

"""Pages as NeuroVault cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlencode

import orjson

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


def limit_and_offset(query: str) -> tuple[int, int]:
    """Return the page that a query string asks for; what makes no sense counts as not asked.

    Examples
    --------
    >>> limit_and_offset("limit=2&offset=4")
    (2, 4)
    >>> limit_and_offset("limit=0&offset=-1"), limit_and_offset("limit=5000")
    ((100, 0), (1000, 0))
    """
    asked = parse_qs(query)
    limit = _whole_number(asked.get("limit"))
    offset = _whole_number(asked.get("offset"))
    return min(limit or DEFAULT_LIMIT, MAX_LIMIT), offset or 0


def page_json(url: str, query: str, count: int, records: Sequence[bytes]) -> bytes:
    """Return one page of a list with its links, as JSON.

    Parameters
    ----------
    url : str
        Of the list, without a query.
    query : str
        The query string of the request; its other terms stay in the links.
    count : int
        Length of the whole list.
    records : sequence of bytes
        The page's records as JSON.

    Examples
    --------
    >>> page_json("/api/images/", "limit=1&offset=1", 2, [b'{"id":5}'])
    b'{"count":2,"next":null,"previous":"/api/images/?limit=1","results":[{"id":5}]}'
    """
    limit, offset = limit_and_offset(query)
    following = offset + limit if offset + limit < count else None
    preceding = offset - limit if offset > 0 else None
    later, earlier = (orjson.dumps(_link(url, query, limit, start)) for start in (following, preceding))
    head = b'{"count":%d,"next":%b,"previous":%b,"results":[' % (count, later, earlier)
    return b"".join((head, b",".join(records), b"]}"))


def _link(url: str, query: str, limit: int, offset: int | None) -> str | None:
    """Return a link to another page: terms sorted, an offset of 0 left out."""
    if offset is None:
        return None
    terms = parse_qs(query, keep_blank_values=True) | {"limit": [str(limit)], "offset": [str(offset)]}
    if offset <= 0:
        del terms["offset"]
    return f"{url}?{urlencode(sorted(terms.items()), doseq=True)}"


def _whole_number(values: list[str] | None) -> int | None:
    """Return the last of `values` as a number that is not negative, else None."""
    try:
        number = int(values[-1]) if values else -1
    except ValueError:  # no number, or one of thousands of digits
        return None
    return number if number >= 0 else None

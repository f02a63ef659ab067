"""Answer a request for a file: whole, in part, or not at all because the client has it."""

from __future__ import annotations

import mimetypes
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nvframe.mirror.requirement import mirror_extra
from nvframe.mirror.stored import CHUNK, FileState, StoredFile

with mirror_extra():
    from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE)


def media_response(stored: StoredFile, method: str, headers: Headers) -> Response:
    """Return the answer to GET or HEAD for a stored file; run it in a thread, it reads.

    Parameters
    ----------
    stored : StoredFile
        The file.
    method : str
        ``GET`` or ``HEAD``.
    headers : starlette.datastructures.Headers
        Of the request: ``Range``, ``If-Range``, ``If-None-Match`` and ``If-Modified-Since`` are honoured.

    Returns
    -------
    starlette.responses.Response
        200, 206, 304 or 416. More than one range at once is answered with the whole file.

    Raises
    ------
    FileNotFoundError
        If the file has gone since the catalogue was loaded.
    """
    state = stored.state()
    answer = {
        "Content-Type": _content_type(stored.path),
        "Accept-Ranges": "bytes",
        "ETag": state.etag,
    }
    if state.modified is not None:
        answer["Last-Modified"] = format_datetime(state.modified, usegmt=True)
    if _client_has_it(headers, state):
        return Response(status_code=304, headers=answer)
    span = _requested_span(headers, state) if method == "GET" else None
    if span is None:
        return _body(stored, method, 0, state.size, 200, answer)
    start, length = span
    if not length:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{state.size}"})
    answer["Content-Range"] = f"bytes {start}-{start + length - 1}/{state.size}"
    return _body(stored, method, start, length, 206, answer)


def _body(
    stored: StoredFile, method: str, start: int, length: int, status: int, headers: dict[str, str]
) -> Response:
    """Return a body of one chunk at once and a longer one as a stream."""
    headers = headers | {"Content-Length": str(length)}
    if method == "HEAD":
        return Response(status_code=status, headers=headers)
    chunks = stored.chunks(start, length)
    if length <= CHUNK:
        return Response(b"".join(chunks), status, headers)
    return StreamingResponse(chunks, status, headers)


def _client_has_it(headers: Headers, state: FileState) -> bool:
    """Compare validators; where the client names an ETag its date does not count."""
    if (known := headers.get("if-none-match")) is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return bool(tags & {"*", state.etag})
    since = _http_date(headers.get("if-modified-since"))
    return since is not None and state.modified is not None and state.modified <= since


def _requested_span(headers: Headers, state: FileState) -> tuple[int, int] | None:
    """Return (start, length) of the one range asked for, length 0 where none of it exists, or None."""
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or not _range_still_meant(headers.get("if-range"), state):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), state.size)
        return state.size - length, length
    start, stop = int(first), min(int(last) + 1 if last else state.size, state.size)
    if last and int(last) < start:
        return None  # no valid range, so none at all
    return start, max(stop - start, 0)


def _range_still_meant(if_range: str | None, state: FileState) -> bool:
    """Tell whether the part that the client holds is part of this file."""
    if if_range is None or if_range == state.etag:
        return True
    date = _http_date(if_range)
    return date is not None and date == state.modified


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _content_type(path: str) -> str:
    kind, encoding = mimetypes.guess_type(PurePosixPath(path).name)
    return kind if kind and not encoding else "application/octet-stream"

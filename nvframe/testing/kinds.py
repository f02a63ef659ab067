"""Every way in which a server may fail: each an app around the app, named as tests name it."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any, Literal

import orjson

from nvframe.testing.exchange import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    begin,
    break_off,
    collect,
    detail,
    page,
    relist,
    respond,
    until_disconnected,
)

_LISTS = r"^/api/(images|atlases|collections)/(\?|$)"
_IMAGES = r"^/api/(collections/[^/]+/)?(images|atlases)/"
_RECORDS = r"^/api/(images|atlases|collections)/"

_WEB_PAGE = b"<!doctype html>\n<html><body><h1>Welcome to the hotel's network</h1></body></html>\n"


async def status(
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    status: int = 500,
    retry_after: float | str | None = None,
) -> None:
    """Answer with an error status and an HTML page; `retry_after` is seconds or a date."""
    answer = page(status)
    if retry_after is not None:
        answer = answer.with_header(b"retry-after", str(retry_after).encode())
    await respond(send, answer)


async def html(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200 with a web page, as the login pages of guest networks do."""
    await respond(send, page(200, _WEB_PAGE))


async def redirect(
    app: App, scope: Scope, receive: Receive, send: Send, *, url: str, status: int = 302
) -> None:
    """Send the client to `url`."""
    await respond(send, page(status, b"").with_header(b"location", url.encode()))


async def drop(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection without an answer."""
    await break_off(scope, receive)


async def hang(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Never answer; ends when the client gives up or the server stops."""
    await until_disconnected(receive)


async def truncate(app: App, scope: Scope, receive: Receive, send: Send, *, after: int | None = None) -> None:
    """Promise the whole body and close the connection `after` bytes (by default half)."""
    answer = await collect(app, scope, receive)
    await begin(send, answer)
    body = answer.body[: len(answer.body) // 2 if after is None else after]
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await break_off(scope, receive)


async def short(app: App, scope: Scope, receive: Receive, send: Send, *, after: int | None = None) -> None:
    """Send `after` bytes (by default half) with a length that says that is all."""
    answer = await collect(app, scope, receive)
    await respond(send, answer.with_body(answer.body[: len(answer.body) // 2 if after is None else after]))


async def corrupt(app: App, scope: Scope, receive: Receive, send: Send, *, n_bytes: int = 16) -> None:
    """Flip `n_bytes` bytes in the middle of the body."""
    answer = await collect(app, scope, receive)
    start = max(len(answer.body) // 2 - n_bytes // 2, 0)
    flipped = bytes(byte ^ 0xFF for byte in answer.body[start : start + n_bytes])
    await respond(send, answer.with_body(answer.body[:start] + flipped + answer.body[start + n_bytes :]))


async def trickle(
    app: App, scope: Scope, receive: Receive, send: Send, *, chunk: int = 1024, seconds: float = 0.05
) -> None:
    """Send the body `chunk` bytes at a time, with a pause before each."""
    answer = await collect(app, scope, receive)
    await begin(send, answer)
    for start in range(0, len(answer.body), chunk):
        await asyncio.sleep(seconds)
        piece = answer.body[start : start + chunk]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def latency(
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    seconds: float,
    new_connections_only: bool = False,
) -> None:
    """Wait, then answer as usual."""
    if scope["nvframe.new_connection"] or not new_connections_only:
        await asyncio.sleep(seconds)
    await app(scope, receive, send)


async def count_too_large(app: App, scope: Scope, receive: Receive, send: Send, *, by: int = 10) -> None:
    """Claim `by` more rows than there are."""
    answer = await collect(app, scope, receive)
    if answer.rows() is not None:
        document = orjson.loads(answer.body)
        answer = answer.with_body(orjson.dumps(document | {"count": document["count"] + by}))
    await respond(send, answer)


async def poison(
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    image: int | str | None = None,
    collection: int | str | None = None,
    own: bool = False,
) -> None:
    """Answer 500 to every list page that holds an image or a collection; with `own` to its address too."""
    answer = await collect(app, scope, receive)
    rows = answer.rows()
    if rows is None and own and answer.status == 200:
        rows = [orjson.loads(answer.body)]
    bad = image if re.match(_IMAGES, scope["path"]) else collection
    held = bad is not None and any(str(row["id"]) == str(bad) for row in rows or ())
    await respond(send, page(500) if held else answer)


async def shuffle(app: App, scope: Scope, receive: Receive, send: Send, *, seed: int = 0) -> None:
    """Give each page of a flat list another order, so that pages repeat some rows and lose others."""
    rng = random.Random(f"{seed} {scope['query_string']!r}")  # noqa: S311
    await respond(send, await relist(app, scope, receive, lambda rows: rng.sample(rows, len(rows))))


async def no_range(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Ignore ``Range``, as Django does."""
    await _without(app, scope, receive, send, {b"range", b"if-range"}, {b"accept-ranges"})


async def no_etag(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Know files by ``Last-Modified`` only, as Django does."""
    await _without(app, scope, receive, send, {b"if-none-match"}, {b"etag"})


async def _without(
    app: App, scope: Scope, receive: Receive, send: Send, unread: set[bytes], unsent: set[bytes]
) -> None:
    async def filtered(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [pair for pair in message["headers"] if pair[0] not in unsent]
        await send(message)

    headers = [pair for pair in scope["headers"] if pair[0] not in unread]
    await app({**scope, "headers": headers}, receive, filtered)


async def words_down(
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    how: Literal["status", "break", "empty"] = "status",
) -> None:
    """Let Neurosynth fail: with 503, in the middle of the JSON, or with no words."""
    if how == "status":
        await respond(send, page(503))
    elif how == "break":
        await short(app, scope, receive, send)
    else:
        answer = detail(200, "").with_body(b'{"data":{"values":{}}}')
        await respond(send, answer)


async def private(
    app: App, scope: Scope, receive: Receive, send: Send, *, collection: int | str, token: str
) -> None:
    """Hide a collection from all but those who know its token, as NeuroVault does."""
    path, own = scope["path"], str(collection)
    if f"/{token}/" in path or f"/{token}-" in path:
        opened = path.replace(f"/{token}/", f"/{own}/").replace(f"/{token}-", "/")
        answer = await collect(app, {**scope, "path": opened}, receive)
        if not path.startswith("/media/"):
            answer = answer.with_body(_with_token(answer.body, own, token))
    elif path.startswith(f"/media/images/{own}/"):
        answer = page(403)
    elif path.startswith(f"/api/collections/{own}/"):
        answer = detail(403, "You do not have permission to perform this action.")
    elif re.match(_LISTS, path):
        answer = await relist(app, scope, receive, lambda rows: [r for r in rows if not _belongs(r, own)])
    else:
        answer = await collect(app, scope, receive)
        if re.match(_IMAGES, path) and answer.status == 200 and _belongs(orjson.loads(answer.body), own):
            answer = detail(404, "Not found.")
    await respond(send, answer)


def _with_token(body: bytes, collection: str, token: str) -> bytes:
    for place in ("/collections", "/media/images"):
        body = body.replace(f"{place}/{collection}/".encode(), f"{place}/{token}/".encode())
    return body


def _belongs(row: dict[str, Any], collection: str) -> bool:
    """Tell whether a row is the collection or one of its images."""
    return str(row.get("collection_id", row.get("id"))) == collection


KINDS: dict[str, tuple[Callable[..., Any], str, bool]] = {
    # name: the app around the app, the path it is for by default, whether the inner app is ever asked
    "status": (status, "", False),
    "html": (html, "", False),
    "redirect": (redirect, "", False),
    "drop": (drop, "", False),
    "hang": (hang, "", False),
    "truncate": (truncate, "", True),
    "short": (short, "", True),
    "corrupt": (corrupt, "", True),
    "trickle": (trickle, "", True),
    "latency": (latency, "", True),
    "count_too_large": (count_too_large, _RECORDS, True),
    "poison": (poison, _RECORDS, True),
    "shuffle": (shuffle, _LISTS, True),
    "no_range": (no_range, "^/media/", True),
    "no_etag": (no_etag, "^/media/", True),
    "words_down": (words_down, "^/api/decode/", True),
    "private": (private, "", True),
}
"""Fault kinds by name."""

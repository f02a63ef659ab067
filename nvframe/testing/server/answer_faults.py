"""Lasting faults: what a server is like, for as long as a test wants. Each is an app around the app."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import orjson

from nvframe.testing.server.exchange import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    collect,
    detail,
    page,
    relist,
    respond,
)

LISTS = r"^/api/(images|atlases|collections)/(\?|$)"
_IMAGES = r"^/api/(collections/[^/]+/)?(images|atlases)/"
RECORDS = r"^/api/(images|atlases|collections)/"


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
    elif re.match(LISTS, path):
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

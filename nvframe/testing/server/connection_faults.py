"""Accidents: faults that befall a request or two. Each is an app around the app."""

from __future__ import annotations

import asyncio
from typing import Literal

from nvframe.testing.server.exchange import (
    App,
    Receive,
    Scope,
    Send,
    begin,
    break_off,
    collect,
    detail,
    page,
    respond,
    until_disconnected,
)

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

"""An exchange taken apart: what a fault needs to change an answer on its way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from nvframe.mirror.paging import MAX_LIMIT, limit_and_offset, page_json

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BREAK = "nvframe.break_connection"
"""Key of the scope: call it to close the connection once what was sent is out."""

ERROR_PAGE = b"<!doctype html>\n<html><body><h1>Server Error</h1></body></html>\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer in memory."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    def header(self, name: bytes) -> bytes:
        """Return a header's value, empty where it is not set."""
        return next((value for key, value in self.headers if key == name), b"")

    def with_header(self, name: bytes, value: bytes | None) -> Answer:
        """Return the answer with a header set, or without it."""
        others = tuple(pair for pair in self.headers if pair[0] != name)
        return replace(self, headers=others if value is None else (*others, (name, value)))

    def with_body(self, body: bytes) -> Answer:
        """Return the answer with another body and the length that goes with it."""
        return replace(self, body=body).with_header(b"content-length", str(len(body)).encode())

    def rows(self) -> list[dict[str, Any]] | None:
        """Return the records of a list page, None where this is none."""
        if self.status != 200 or not self.header(b"content-type").startswith(b"application/json"):
            return None
        document = orjson.loads(self.body)
        return document.get("results") if isinstance(document, dict) else None


def page(status: int, body: bytes = ERROR_PAGE) -> Answer:
    """Return an HTML page."""
    return Answer(status, b"", ((b"content-type", b"text/html; charset=utf-8"),)).with_body(body)


def detail(status: int, text: str) -> Answer:
    """Return a refusal as the API words it."""
    body = orjson.dumps({"detail": text})
    return Answer(status, b"", ((b"content-type", b"application/json; charset=utf-8"),)).with_body(body)


async def collect(app: App, scope: Scope, receive: Receive) -> Answer:
    """Run `app` and return its whole answer instead of sending it."""
    status, headers, body = 0, (), bytearray()

    async def keep(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], tuple(message["headers"])
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    return Answer(status, bytes(body), headers)


async def respond(send: Send, answer: Answer) -> None:
    """Send a whole answer."""
    await begin(send, answer)
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def begin(send: Send, answer: Answer) -> None:
    """Send status and headers."""
    await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})


async def until_disconnected(receive: Receive) -> None:
    """Wait until the client has gone or the server stops."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def break_off(scope: Scope, receive: Receive) -> None:
    """Close the connection, whatever was promised."""
    scope[BREAK]()
    await until_disconnected(receive)


async def relist(
    app: App, scope: Scope, receive: Receive, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> Answer:
    """Return a list page cut from a changed copy of the whole list."""
    first = await collect(app, scope, receive)
    if first.rows() is None:
        return first
    everything: list[dict[str, Any]] = []
    while rows := await _rows_from(app, scope, receive, len(everything)):
        everything += rows
    changed = change(everything)
    query = scope["query_string"].decode("latin-1")
    limit, offset = limit_and_offset(query)
    records = [orjson.dumps(row) for row in changed[offset : offset + limit]]
    return first.with_body(page_json(_url(scope), query, len(changed), records))


async def _rows_from(app: App, scope: Scope, receive: Receive, offset: int) -> list[dict[str, Any]] | None:
    query = f"limit={MAX_LIMIT}&offset={offset}".encode()
    return (await collect(app, {**scope, "query_string": query}, receive)).rows()


def _url(scope: Scope) -> str:
    host = dict(scope["headers"]).get(b"host", b"127.0.0.1").decode("latin-1")
    return f"{scope['scheme']}://{host}{scope['path']}"

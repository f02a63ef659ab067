"""Servers in processes of their own, so that their CPU time is not ours: NeuroVault, precomputed, and S3.

``python -m benchmarks.servers CORPUS LATENCY CONNECTION_LATENCY`` prints the URL of a NeuroVault and answers
until its standard input ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COUNTS = "/_benchmark/counts"
"""Path where the S3 server says, and forgets, how many requests came by method; listings apart."""


@contextmanager
def neurovault(corpus: Path, latency: float = 0.0, connection_latency: float = 0.0) -> Iterator[str]:
    """Serve a corpus folder and yield the URL; latencies in seconds, the second on new connections only."""
    with _process("benchmarks.servers", str(corpus), str(latency), str(connection_latency)) as url:
        yield url


@contextmanager
def s3() -> Iterator[str]:
    """Run moto's S3 and yield its endpoint."""
    with _process("benchmarks.moto_process") as url:
        yield url


@contextmanager
def _process(*args: str) -> Iterator[str]:
    command = [sys.executable, "-m", *args]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the server did not start: {' '.join(command)}")
        yield url
    finally:
        process.stdin.close()
        process.wait(timeout=30)


class _Exchange(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and nothing else: answers are looked up and sent after the latency."""

    def __init__(self, answers: Any, latency: float, connection_latency: float) -> None:
        self._answers = answers
        self._latency, self._first = latency, connection_latency
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            answer = self._answers(request.split(b" ", 2)[1].decode())
            pause, self._first = self._latency + self._first, 0.0
            if pause:
                asyncio.get_running_loop().call_later(pause, self._transport.writelines, answer)
            else:
                self._transport.writelines(answer)


def _answers(corpus: str) -> Any:
    """Return a function from a request's target to head and body; each is made once."""
    from nvframe.mirror.catalogue import with_base
    from nvframe.mirror.loaders import load_corpus
    from nvframe.mirror.paging import limit_and_offset, page_json

    catalogue = load_corpus(corpus)
    base: list[str] = []

    def listing(path: str, query: str) -> bytes | None:
        _, kind, *rest = path.strip("/").split("/")
        if len(rest) == 1:
            return catalogue.record(kind, rest[0])
        kind, collection_id = ("images", rest[0]) if rest else (kind, None)
        count, ids = catalogue.page(kind, collection_id, *limit_and_offset(query))
        return page_json(f"{base[0]}{path}", query, count, [catalogue.record(kind, each) for each in ids])

    @lru_cache(maxsize=8192)
    def answer(target: str) -> tuple[bytes, bytes]:
        parts = urlsplit(target)
        if parts.path.startswith("/media/"):
            stored = catalogue.media(parts.path.removeprefix("/media/"))
            kind, body = "application/octet-stream", stored.read() if stored else None
        else:
            found = listing(parts.path, parts.query)
            kind, body = "application/json", with_base(found, base[0]) if found else None
        status = "404 Not Found" if body is None else "200 OK"
        body = body or b""
        head = f'HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nETag: "{hash(target)}"'
        return f"{head}\r\nAccept-Ranges: bytes\r\n\r\n".encode(), body

    answer.base = base  # type: ignore[attr-defined]
    return answer


async def _serve_neurovault(corpus: str, latency: str, connection_latency: str) -> None:
    loop, answers = asyncio.get_running_loop(), _answers(corpus)
    server = await loop.create_server(
        lambda: _Exchange(answers, float(latency), float(connection_latency)), "127.0.0.1", 0, backlog=1024
    )
    host, port = server.sockets[0].getsockname()
    answers.base.append(f"http://{host}:{port}")
    print(answers.base[0], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve_neurovault(*sys.argv[1:]))

"""A stand-in of Zenodo's documented API on loopback: search, records, versions, files, tokens, allowances."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGEST_PAGE = 25


class Archive:
    """Records and their files, as Zenodo serves them, until `stop`.

    Parameters
    ----------
    token : str, default=""
        Opens the `restricted` records.

    Attributes
    ----------
    url : str
        Where it answers.
    requests : list of (str, str or None)
        Path with query, and Authorization, of all that was asked.
    records, files : dict
        What `add` has added; a test may change it.
    restricted, deleted : set of int
        Records that need the token, or are gone.
    redirects : dict
        Where a file, by record and name, leads.
    pages_lost : set of int
        Pages of a search that answer 500.
    limit : int or None
        Requests still within the allowance; the one after them is answered 429.
    broken : bool
        Whether everything answers 503.
    cuts : int
        How many files are still cut short.

    Examples
    --------
    >>> archive = Archive()
    >>> archive.add(102, {"map.nii.gz": b"..."}, concept=101)["doi"]
    '10.5281/zenodo.102'
    >>> archive.stop()
    """

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.records: dict[int, dict[str, Any]] = {}
        self.files: dict[tuple[int, str], bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.restricted: set[int] = set()
        self.deleted: set[int] = set()
        self.redirects: dict[tuple[int, str], str] = {}
        self.pages_lost: set[int] = set()
        self.limit: int | None = None
        self.broken = False
        self.cuts = 0
        self._latest: dict[int, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def add(
        self, record: int, files: Mapping[str, bytes], concept: int | None = None, **metadata: Any
    ) -> dict[str, Any]:
        """Add a record with files by name, as the latest version of its concept; return its row."""
        concept = concept or record - 1
        self.files |= {(record, name): body for name, body in files.items()}
        described = {
            "title": f"Maps {record}",
            "creators": [{"name": "Doe, Jane"}, {"name": "Roe, Richard"}],
            "license": {"id": "cc-by-4.0"},
            "access_right": "open",
            "publication_date": "2025-01-01",
        }
        self.records[record] = {
            "id": record,
            "conceptrecid": str(concept),
            "doi": f"10.5281/zenodo.{record}",
            "conceptdoi": f"10.5281/zenodo.{concept}",
            "created": "2025-01-01T00:00:00+00:00",
            "modified": "2025-01-02T00:00:00+00:00",
            "metadata": {**described, **metadata},
            "files": [self._file_row(record, name, body) for name, body in files.items()],
            "links": {"self": f"{self.url}/api/records/{record}"},
        }
        self._latest[concept] = record
        return self.records[record]

    def _file_row(self, record: int, name: str, body: bytes) -> dict[str, Any]:
        return {
            "id": hashlib.sha256(name.encode()).hexdigest()[:32],
            "key": name,
            "size": len(body),
            "checksum": f"md5:{hashlib.md5(body, usedforsecurity=False).hexdigest()}",
            "links": {"self": f"{self.url}/api/records/{record}/files/{quote(name)}/content"},
        }

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        token = request.headers.get("Authorization")
        self.requests.append((request.path, token))
        refusal = self._refusal()
        if refusal is not None:
            self.send(request, *refusal)
            return
        parts = urlsplit(request.path)
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        if steps == ["api", "records"]:
            self.search(request, parse_qs(parts.query))
        else:
            self._record(request, int(steps[2]) if steps[2].isdecimal() else 0, steps, token)

    def _refusal(self) -> tuple[int, dict[str, str], dict[str, str]] | None:
        if self.broken:
            return 503, {"message": "maintenance"}, {}
        if self.limit is None:
            return None
        self.limit -= 1
        if self.limit >= 0:
            return None
        self.limit = None
        begins_anew = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()))}
        return 429, {"message": "too many requests"}, begins_anew

    def _record(
        self, request: BaseHTTPRequestHandler, record: int, steps: list[str], token: str | None
    ) -> None:
        closed = record in self.restricted and token != f"Bearer {self.token}"
        if record in self._latest:
            where = f"{self.url}/api/records/{self._latest[record]}"
            self.send(request, 302, {}, {"Location": where})
        elif record in self.deleted:
            self.send(request, 410, {"message": "deleted"})
        elif record not in self.records:
            self.send(request, 404, {"message": "The persistent identifier does not exist."})
        elif len(steps) == 3:
            row = self.records[record]
            self.send(request, 200, {**row, "files": []} if closed else row)
        elif closed:
            self.send(request, 403, {"message": "permission denied"})
        else:
            self._file(request, record, steps[4])

    def search(self, request: BaseHTTPRequestHandler, query: Mapping[str, list[str]]) -> None:
        """Answer a page of a search; whatever is asked for, every latest version is found."""
        page, size = int(query["page"][0]), int(query["size"][0])
        latest = sorted(set(self._latest.values()))
        rows = [self.records[record] for record in latest][(page - 1) * size : page * size]
        if size > LARGEST_PAGE:
            self.send(request, 400, {"message": "page too large"})
        elif page in self.pages_lost:
            self.send(request, 500, {"message": "lost"})
        else:
            self.send(request, 200, {"hits": {"hits": rows, "total": len(latest)}})

    def _file(self, request: BaseHTTPRequestHandler, record: int, name: str) -> None:
        if (record, name) in self.redirects:
            self.send(request, 302, {}, {"Location": self.redirects[record, name]})
            return
        body = self.files[record, name]
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        asked = request.headers.get("Range")
        if not asked or request.headers.get("If-Range") != etag:
            self.send(request, 200, body, headers)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            self.send(request, 416, {})
        else:
            extent = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            self.send(request, 206, body[start:], headers | extent)

    def send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send an answer: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if self.cuts and isinstance(body, bytes):
            self.cuts -= 1
            data = data[: len(data) // 3]
            request.close_connection = True
        request.wfile.write(data)


def _handler(archive: Archive) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            archive.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base
            """Say nothing."""

    return Handler

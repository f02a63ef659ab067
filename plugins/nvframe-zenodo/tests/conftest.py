"""A stand-in of Zenodo's documented API on loopback: search, records, versions, files, tokens, allowances."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.http import Retry
from nvframe.imaging import nifti

TOKEN = "zen-s3cr3t"


def a_map(value=1.0):
    """Return the bytes of a small map."""
    data = np.full((4, 5, 6), value, "float32")
    data[0] = -value
    return nifti.encode(nib.Nifti1Image(data, np.diag([8.0, 8.0, 8.0, 1.0])))


class Archive:
    """Records and their files, as Zenodo serves them.

    Attributes
    ----------
    requests : list of (path with query, Authorization)
        What was asked.
    limit : int or None
        Requests that are still answered; then 429, with the headers of an allowance.
    broken : bool
        Whether the API answers 503.
    cuts : int
        How many files are still cut short.
    restricted, deleted, redirects, pages_lost
        Records that need the token, or are gone; files that lead elsewhere; pages that answer 500.
    """

    def __init__(self):
        self.records, self.files, self.concepts = {}, {}, {}
        self.requests = []
        self.restricted, self.deleted, self.redirects = set(), set(), {}
        self.limit, self.broken, self.cuts, self.pages_lost = None, False, 0, set()
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                archive.answer(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def add(self, record, files, concept=None, **metadata):
        """Add a record; files by name, as bytes."""
        rows = []
        for name, body in files.items():
            self.files[record, name] = body
            rows.append(
                {
                    "id": hashlib.sha1(name.encode()).hexdigest(),
                    "key": name,
                    "size": len(body),
                    "checksum": f"md5:{hashlib.md5(body).hexdigest()}",
                    "links": {"self": f"{self.url}/api/records/{record}/files/{quote(name)}/content"},
                }
            )
        self.records[record] = {
            "id": record,
            "conceptrecid": str(concept or record - 1),
            "doi": f"10.5281/zenodo.{record}",
            "conceptdoi": f"10.5281/zenodo.{concept or record - 1}",
            "created": "2025-01-01T00:00:00+00:00",
            "modified": "2025-01-02T00:00:00+00:00",
            "metadata": {
                "title": f"Maps {record}",
                "creators": [{"name": "Doe, Jane"}, {"name": "Roe, Richard"}],
                "license": {"id": "cc-by-4.0"},
                "access_right": "open",
                "publication_date": "2025-01-01",
                **metadata,
            },
            "files": rows,
            "links": {"self": f"{self.url}/api/records/{record}"},
        }
        self.concepts[concept or record - 1] = record
        return self.records[record]

    def answer(self, request):
        token = request.headers.get("Authorization")
        self.requests.append((request.path, token))
        parts = urlsplit(request.path)
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        if self.broken:
            return self.send(request, 503, {"message": "maintenance"})
        if self.limit is not None:
            self.limit -= 1
            if self.limit < 0:
                self.limit = None
                soon = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()))}
                return self.send(request, 429, {"message": "too many requests"}, soon)
        if steps == ["api", "records"]:
            return self.search(request, parse_qs(parts.query))
        record = int(steps[2]) if steps[2].isdecimal() else None
        if record in self.concepts:
            where = f"{self.url}/api/records/{self.concepts[record]}"
            return self.send(request, 302, {}, {"Location": where})
        if record in self.deleted:
            return self.send(request, 410, {"message": "deleted"})
        if record not in self.records:
            return self.send(request, 404, {"message": "The persistent identifier does not exist."})
        closed = record in self.restricted and token != f"Bearer {TOKEN}"
        if len(steps) == 3:
            row = self.records[record]
            return self.send(request, 200, {**row, "files": []} if closed else row)
        if closed:
            return self.send(request, 403, {"message": "permission denied"})
        return self.file(request, record, steps[4])

    def search(self, request, query):
        page, size = int(query["page"][0]), int(query["size"][0])
        if size > 25 or page * size > 10_000 + size:
            return self.send(request, 400, {"message": "page too large"})
        if page in self.pages_lost:
            return self.send(request, 500, {"message": "lost"})
        latest = sorted(set(self.concepts.values()))
        rows = [self.records[record] for record in latest][(page - 1) * size : page * size]
        return self.send(request, 200, {"hits": {"hits": rows, "total": len(latest)}})

    def file(self, request, record, name):
        body = self.files[record, name]
        if (record, name) in self.redirects:
            return self.send(request, 302, {}, {"Location": self.redirects[record, name]})
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        asked, condition = request.headers.get("Range"), request.headers.get("If-Range")
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        if asked and condition == etag:
            start = int(asked[6:-1])
            if start >= len(body):
                return self.send(request, 416, {})
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return self.send(request, 206, body[start:], headers)
        return self.send(request, 200, body, headers)

    def send(self, request, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", **dict(headers)}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if self.cuts and isinstance(body, bytes):
            self.cuts -= 1
            data = data[: len(data) // 3]
            request.close_connection = True
        request.wfile.write(data)


@pytest.fixture
def archive(monkeypatch):
    """Serve an empty archive, with nvframe pointed at it and no pauses between attempts."""
    made = Archive()
    monkeypatch.setenv("NVFRAME_ZENODO_URL", made.url)
    monkeypatch.delenv("ZENODO_TOKEN", raising=False)
    with nvframe.set_options(retry=Retry(tries=3, backoff=0.0)):
        yield made
    made.stop()


@pytest.fixture
def filled(archive):
    """Serve two records with maps, one of them in two versions, among files that are none."""
    archive.add(102, {"Go > Stop.nii.gz": a_map(1)}, concept=101, version="v1")
    archive.add(
        103,
        {
            "Go > Stop.nii.gz": a_map(2),
            "paper.pdf": b"%PDF",
            "all.zip": b"PK",
            "plain.nii": nifti.decompress(a_map(3)),
        },
        concept=101,
        version="v2",
    )
    archive.add(202, {"z.nii.gz": a_map(4)})
    return archive

"""One image's bytes: resumed where that is safe, started over where it is not, believed only when whole."""

import asyncio
import contextlib
import gzip
import hashlib
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from nvframe.errors import DownloadError, IntegrityError
from nvframe.http.retry import Retry
from nvframe.imaging import nifti
from nvframe.mirror.server import Server
from nvframe.pipeline.worker import download as module
from nvframe.pipeline.worker.download import Download
from nvframe.sources.neurovault.source import NeuroVault
from nvframe.testing import NeuroVaultServer
from nvframe.types import ByteStream, ImageRecord

QUICK = Retry(tries=3, backoff=0.001)
PATH = "/media/images/1/motor_1001.nii.gz"


@pytest.fixture(scope="module")
def running():
    with NeuroVaultServer.synthetic(1, 2) as server:
        yield server


@pytest.fixture
def server(running):
    running.clear()
    return running


def record(url, size=None):
    return ImageRecord("neurovault", "1001", "1", url, {}, size)


def download(base, url=PATH, size=None, retry=QUICK):
    source = NeuroVault(base, timeout=5, retry=QUICK)
    made = Download(source, record(url, size), keep_raw=True)
    try:
        whole = made.run(retry)
    finally:
        source.close()
    assert whole.sha256 == hashlib.sha256(whole.data).hexdigest()
    return made, whole.data, whole.raw, whole.info


@pytest.fixture(scope="module")
def whole(running):
    running.clear()
    return download(running.url)[1]


def ranges(server):
    return [request.headers.get("range") for request in server.requests]


def test_a_whole_file_is_one_request(server, whole):
    made, data, raw, info = download(server.url)
    assert (data, raw) == (whole, gzip.decompress(whole))
    assert (made.received, info.dtype, ranges(server)) == (len(whole), "float32", [None])


@pytest.mark.parametrize("etag", [True, False])
def test_a_cut_off_file_is_resumed(server, whole, etag):
    if not etag:
        server.faults.add("no_etag")
    server.faults.add("truncate", "/media/", times=2, after=1000)
    made, data, _, _ = download(server.url)
    assert data == whole
    assert made.received == len(whole)
    _, second, third = server.requests
    assert ranges(server) == [None, "bytes=1000-", "bytes=2000-"]
    assert second.headers["if-range"] == third.headers["if-range"]
    assert second.headers["if-range"].startswith('"') is etag
    assert [request.status for request in server.requests] == [200, 206, 206]


def test_a_server_without_ranges_starts_over(server, whole):
    server.faults.add("no_range")
    server.faults.add("truncate", "/media/", after=1000)
    made, data, _, _ = download(server.url)
    assert data == whole
    assert made.received == len(whole) + 1000
    assert [request.status for request in server.requests] == [200, 200]


def test_a_server_without_validators_is_asked_for_the_whole(server, whole):
    app = Scripted(whole, [{"cut": 1000}, {}])
    with Server(app) as other:
        assert download(other.url, "/x")[1] == whole
    assert app.ranges == [None, None]


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_what_was_lost_in_every_try_is_lost(server, tries):
    server.faults.add("truncate", "/media/", times=None, after=10)
    with pytest.raises(DownloadError, match="broke off") as caught:
        download(server.url, retry=Retry(tries=tries, backoff=0.001))
    assert caught.value.retryable
    assert len(server.requests) == tries


class Scripted:
    """Serves a file as a list of steps says, one to a request."""

    def __init__(self, body, steps):
        self.body = body
        self.steps = list(steps)
        self.ranges = []

    async def __call__(self, scope, receive, send):
        asked = dict(scope["headers"]).get(b"range")
        self.ranges.append(asked)
        step = self.steps.pop(0)
        body = step.get("body", self.body)
        start = step.get("start", int(asked[6:-1]) if asked and "status" not in step else 0)
        status = step.get("status", 206 if start or asked else 200)
        headers = dict(step.get("headers", {}))
        rest = body[start:]
        if status == 206:
            headers.setdefault("content-range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if step.get("chunked") is None:
            headers["content-length"] = str(len(rest))
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        cut = step.get("cut")
        await send({"type": "http.response.body", "body": rest[:cut], "more_body": cut is not None})
        if cut is not None:
            getattr(send, "__self__").transport.close()  # noqa: B009 - as the scripted NeuroVault does
            while (await receive())["type"] != "http.disconnect":
                await asyncio.sleep(0)


V1, V2 = {"etag": '"1"'}, {"etag": '"2"'}


@pytest.fixture
def other(running):
    """Another image than `whole`, as the server may have it a moment later."""
    running.clear()
    return download(running.url, "/media/images/1/visual_1002.nii.gz")[1]


SCRIPTS = {
    "changed, and says so": [{"headers": V1, "cut": 1000}, {"headers": V2, "status": 200}],
    "changed, and disregards If-Range": [
        {"headers": V1, "cut": 1000},
        {"headers": V2},
        {"headers": V2, "status": 200},
    ],
    "resumes at another place": [
        {"headers": V1, "cut": 1000},
        {"headers": V1, "start": 500},
        {"headers": V1},
    ],
    "resumes without saying where": [
        {"headers": V1, "cut": 1000},
        {"headers": {**V1, "content-range": "bytes"}},
        {"headers": V1},
    ],
    "resumes without validator": [{"headers": V1, "cut": 1000}, {}],
    "nothing is left to resume": [
        {"headers": V1, "cut": -1, "chunked": True},
        {"headers": V1, "status": 416},
        {},
    ],
    "unasked part": [{"status": 206, "start": 100}, {}],
}


@pytest.mark.parametrize("steps", SCRIPTS.values(), ids=SCRIPTS)
def test_a_server_that_moves_the_ground(steps, whole, other):
    changed = "changed" in next(name for name, script in SCRIPTS.items() if script is steps)
    # a bare .nii has no checksum: only care keeps two files from being mixed
    for packed in (True, False):
        before, after = (whole, other) if packed else (gzip.decompress(whole), gzip.decompress(other))
        script = [dict(step, body=after) if n and changed else step for n, step in enumerate(steps)]
        app = Scripted(before, script)
        with Server(app) as server:
            data = download(server.url, "/x")[1]
        assert data == (after if changed else before)
        assert app.steps == []


def test_a_resumption_that_mixes_files_unseen_is_caught_by_the_checksum(whole, other):
    app = Scripted(whole, [{"headers": V1, "cut": 1000}, {"headers": V1, "body": other}, {"headers": V1}])
    with Server(app) as server:
        assert download(server.url, "/x")[1] == whole
    assert app.ranges == [None, b"bytes=1000-", None]


@pytest.mark.parametrize(
    ("fault", "params", "says"),
    [
        ("html", {}, "an HTML page, not a NIfTI file"),
        ("short", {}, "cut off"),
        ("corrupt", {}, "damaged|checksum|cut off|not a NIfTI"),
        ("short", {"after": 0}, "an empty file"),
    ],
)
def test_rubbish_with_status_200_is_asked_for_once_more(server, whole, fault, params, says):
    server.faults.add(fault, "/media/", times=1, **params)
    assert download(server.url)[1] == whole
    server.clear()
    server.faults.add(fault, "/media/", times=None, **params)
    with pytest.raises(IntegrityError, match=says):
        download(server.url)
    assert len(server.requests) == 2


def test_more_bytes_than_promised_are_not_an_image(whole):
    app = Scripted(whole + b"rubbish", [{}, {}])
    with Server(app) as server, pytest.raises(IntegrityError):
        download(server.url, "/x")


def test_a_listed_size_that_is_wrong_is_logged(server, whole, caplog):
    caplog.set_level("INFO", "nvframe")
    assert download(server.url, size=len(whole) + 5)[1] == whole
    assert f"{len(whole)} bytes, listed as {len(whole) + 5}" in caplog.text


def test_a_bare_nii_is_taken_as_it_is(whole):
    raw = gzip.decompress(whole)
    app = Scripted(raw, [{}])
    with Server(app) as server:
        _, data, same, _ = download(server.url, "/x.nii")
    assert data == same == raw


def test_a_file_in_two_gzip_members_is_one_image(whole):
    raw = gzip.decompress(whole)
    app = Scripted(gzip.compress(raw[:5000]) + gzip.compress(raw[5000:]), [{}])
    with Server(app) as server:
        assert download(server.url, "/x")[2] == raw


def test_a_body_without_length_is_taken_to_its_end(whole):
    app = Scripted(whole, [{"chunked": True}])
    with Server(app) as server:
        assert download(server.url, "/x")[1] == whole


def test_a_record_without_a_file_asks_for_nothing(server):
    with pytest.raises(DownloadError, match="names no file") as caught:
        download(server.url, "")
    assert not caught.value.retryable
    assert server.requests == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.org/x.nii.gz", "http://[bad/x"])
def test_a_hostile_address_is_not_asked(server, url):
    with pytest.raises(DownloadError) as caught:
        download(server.url, url)
    assert not caught.value.retryable
    assert server.requests == []


def test_a_body_that_is_no_image_is_ended_early_and_a_bomb_never_inflated(monkeypatch):
    """Neither an endless page nor a header that promises too much fills the memory."""
    taken = []

    class Endless:
        @contextlib.contextmanager
        def open_image(self, record, start=0, validator=None):
            def chunks():
                while True:
                    taken.append(1)
                    yield b"<html>" + b" " * 9_994

            yield ByteStream(None, None, chunks())

    record = ImageRecord("shelf", "1", "1", "http://x", {})
    with pytest.raises(IntegrityError, match="an HTML page"):
        module.Download(Endless(), record).run(QUICK)
    assert len(taken) == module.INTEGRITY_TRIES

    class Bomb:
        @contextlib.contextmanager
        def open_image(self, record, start=0, validator=None):
            yield ByteStream(None, None, iter([bomb]))

    monkeypatch.setattr(module, "MAX_RAW_BYTES", 1_000_000)
    bomb = nifti.encode(nib.Nifti1Image(np.zeros((200, 200, 200), np.uint8), np.eye(4)))
    with pytest.raises(IntegrityError, match="more than the 1000000 allowed"):
        module.Download(Bomb(), record).run(QUICK)


class Stating(NeuroVault):
    """A source that knows checksums, and may be wrong."""

    checksum = ""

    @contextlib.contextmanager
    def open_image(self, record, start=0, validator=None):
        with super().open_image(record, start, validator) as stream:
            yield replace(stream, checksum=self.checksum)


def stating(server, checksum):
    source = Stating(server.url, timeout=5, retry=QUICK)
    source.checksum = checksum
    try:
        return Download(source, record(PATH)).run(QUICK).data
    finally:
        source.close()


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_checksum_that_the_source_states_is_held_to(server, whole, algorithm):
    digits = hashlib.new(algorithm, whole).hexdigest()
    assert stating(server, f"{algorithm}:{digits.upper()}") == whole
    server.clear()
    with pytest.raises(IntegrityError, match=f"its {algorithm} is {digits}, the source states 00"):
        stating(server, f"{algorithm}:00")
    assert len(server.requests) == module.INTEGRITY_TRIES


def test_a_checksum_is_of_the_whole_file_when_it_was_resumed(server, whole):
    server.faults.add("truncate", PATH, after=1000)
    assert stating(server, f"md5:{hashlib.md5(whole).hexdigest()}") == whole
    assert ranges(server) == [None, "bytes=1000-"]


@pytest.mark.parametrize("checksum", [None, "", "md5:", "crc:12", "shake_128:12"])
def test_what_is_no_checksum_is_passed_over(server, whole, checksum):
    assert stating(server, checksum) == whole


@pytest.mark.parametrize("keep", [True, False])
def test_uncompressed_bytes_are_kept_only_when_asked_for(server, whole, keep):
    source = NeuroVault(server.url, timeout=5, retry=QUICK)
    made = Download(source, record(PATH), keep_raw=keep).run(QUICK)
    source.close()
    assert (made.data, made.is_packed) == (whole, True)
    assert made.raw == (gzip.decompress(whole) if keep else b"")

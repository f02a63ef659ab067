"""The HTTP client against a real server on loopback: patience, limits, and what it refuses."""

import asyncio
import json
import logging
import math
import pickle
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Barrier
from types import SimpleNamespace

import pytest

from nvframe.errors import DownloadError
from nvframe.http import client as http
from nvframe.http import connections, retry
from nvframe.http.client import HttpClient, validator_of
from nvframe.http.retry import Retry
from nvframe.mirror.server import Server
from nvframe.testing import NeuroVaultServer
from nvframe.urls import without_secrets

QUICK = Retry(tries=3, backoff=0.001)
ONCE = Retry(tries=1)
IMAGES = "/api/images/"


@pytest.fixture(scope="module")
def running():
    with NeuroVaultServer.synthetic(1, 2) as server:
        yield server


@pytest.fixture
def server(running):
    running.clear()
    return running


@pytest.fixture
def client(server):
    made = HttpClient(server.url, timeout=5, retry=QUICK)
    yield made
    made.close()


@pytest.fixture
def waits(monkeypatch):
    """Pauses that were asked for; none is made."""
    asked = []
    clock = SimpleNamespace(sleep=asked.append, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(retry, "time", clock)
    return asked


@pytest.fixture
def serve():
    """Return a function that serves chunks, with a status and headers, on loopback."""
    servers = []

    def start(chunks=(b"{}",), status=200, **headers):
        async def app(scope, receive, send):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            pairs = [(name.encode(), value.encode()) for name, value in names.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
            for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body"})

        server = Server(app)
        server.__enter__()
        servers.append(server)
        return server.url

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def read(client, url="/media/images/1/motor_1001.nii.gz", limit=None):
    with client.stream(url) as response:
        return b"".join(client.chunks(response, limit))


# Trying again


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_status_is_tried_again(server, client, status):
    server.faults.add("status", IMAGES, times=2, status=status)
    assert client.get_json(IMAGES)["count"] == 2
    assert [request.status for request in server.requests] == [status, status, 200]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 410, 501])
def test_a_lasting_status_is_not_tried_again(server, client, status):
    server.faults.add("status", IMAGES, times=None, status=status)
    with pytest.raises(DownloadError, match=f"answered {status}") as caught:
        client.get_json(IMAGES)
    assert (caught.value.status, caught.value.retryable) == (status, False)
    assert len(server.requests) == 1


def test_tries_are_bounded(server, client):
    server.faults.add("status", IMAGES, times=None, status=503)
    with pytest.raises(DownloadError, match="503") as caught:
        client.get_json(IMAGES)
    assert caught.value.retryable
    assert len(server.requests) == QUICK.tries


@pytest.mark.parametrize("kind", ["drop", "html"])
def test_a_dropped_connection_and_a_web_page_are_tried_again(server, client, kind):
    server.faults.add(kind, IMAGES)
    assert client.get_json(IMAGES)["count"] == 2
    assert len(server.requests) == 2


def test_json_cut_off_is_tried_again(server, client):
    server.faults.add("short", IMAGES)
    server.faults.add("truncate", IMAGES)
    assert client.get_json(IMAGES)["count"] == 2


def test_pauses_double_with_a_little_jitter(waits):
    with pytest.raises(DownloadError, match="down"):
        Retry(tries=4, backoff=1.0)(raising(DownloadError("down", retryable=True)))
    assert [math.floor(wait) for wait in waits] == [1, 2, 4]
    assert all(base <= wait <= 1.25 * base for wait, base in zip(waits, (1, 2, 4), strict=True))


def raising(error):
    def attempt():
        raise error

    return attempt


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(server, client, waits, form):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server.faults.add("status", IMAGES, status=503, retry_after=30 if form == "seconds" else soon)
    assert client.get_json(IMAGES)["count"] == 2
    assert 28 <= waits[0] <= 30


def test_a_retry_after_that_is_too_long_gives_up(server, client, waits):
    server.faults.add("status", IMAGES, times=None, status=503, retry_after=3600)
    with pytest.raises(DownloadError) as caught:
        client.get_json(IMAGES)
    assert caught.value.retry_after == 3600
    assert (waits, len(server.requests)) == ([], 1)


@pytest.mark.parametrize("value", ["soon", "", "-1", "Mon, 99 Foo 2020", "²"])
def test_a_retry_after_that_says_nothing_is_ignored(server, client, waits, value):
    assert http._retry_after(value) is None


def test_a_retry_after_in_the_past_means_now():
    assert http._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_an_error_survives_pickle():
    error = pickle.loads(pickle.dumps(DownloadError("down", True, 503, 7.0)))
    assert (str(error), error.retryable, error.status, error.retry_after) == ("down", True, 503, 7.0)


def test_the_servers_reason_is_part_of_the_message(client):
    with pytest.raises(DownloadError, match=r"404.*Not found"):
        client.get_json("/api/images/999999/")


# The breaker


def test_a_dead_host_is_left_alone(server):
    client = HttpClient(server.url, retry=ONCE)
    server.faults.add("status", "/media/", times=None, status=502)
    for _ in range(http.BREAKER_LOSSES):
        with pytest.raises(DownloadError, match="502"):
            read(client)
    with pytest.raises(DownloadError, match=r"no further request to 127\.0\.0\.1:") as caught:
        read(client)
    assert len(server.requests) == http.BREAKER_LOSSES
    assert caught.value.retryable, "the same call may succeed later"
    assert ONCE.pause(1, caught.value) is None, "but not a moment later"


def test_every_attempt_of_an_image_is_one_loss(server):
    client = HttpClient(server.url, retry=QUICK)
    server.faults.add("drop", "/media/", times=None)
    for _ in range(http.BREAKER_LOSSES + 3):
        with pytest.raises(DownloadError):
            QUICK(lambda: read(client))
    assert len(server.requests) == http.BREAKER_LOSSES * QUICK.tries


@pytest.mark.parametrize("status", [200, 404, 429])
def test_a_living_host_closes_the_breaker(server, status):
    client = HttpClient(server.url, retry=ONCE)
    for _ in range(3):
        server.faults.add("status", "/media/", times=http.BREAKER_LOSSES - 1, status=500)
        for _ in range(http.BREAKER_LOSSES - 1):
            with pytest.raises(DownloadError, match="500"):
                read(client)
        if status == 200:
            read(client)
        else:
            server.faults.add("status", "/media/", status=status)
            with pytest.raises(DownloadError, match=str(status)):
                read(client)


def test_lists_that_are_answered_do_not_hide_that_files_are_lost(server):
    client = HttpClient(server.url, retry=ONCE)
    server.faults.add("status", "/media/", times=None, status=503)
    for _ in range(http.BREAKER_LOSSES):
        client.get_json(IMAGES)
        with pytest.raises(DownloadError, match="503"):
            read(client)
    with pytest.raises(DownloadError, match="no further request"):
        client.get_json(IMAGES)


def test_a_list_that_cannot_be_rendered_is_no_dead_host(server):
    client = HttpClient(server.url, retry=ONCE)
    server.faults.add("status", IMAGES, times=2 * http.BREAKER_LOSSES, status=500)
    for _ in range(2 * http.BREAKER_LOSSES):
        with pytest.raises(DownloadError, match="500"):
            client.get_json(IMAGES)
    assert client.get_json(IMAGES)["count"] == 2


def test_the_breaker_is_per_host(server, serve):
    client = HttpClient(server.url, retry=ONCE)
    other = serve([b"1"])
    server.faults.add("status", times=None, status=502)
    for _ in range(http.BREAKER_LOSSES + 1):
        with pytest.raises(DownloadError):
            client.get_json(IMAGES)
    assert client.get_json(other) == 1


# Redirects and hostile addresses


def test_redirects_on_the_own_host_are_followed_over_one_connection(server, client):
    server.faults.add("redirect", IMAGES, url=f"{server.url}/api/collections/?limit=1")
    assert client.get_json(IMAGES, {"limit": 7})["count"] == 1
    first, second = server.requests
    assert (first.query, second.target) == ("limit=7", "/api/collections/?limit=1")
    assert first.client == second.client


def test_redirects_are_bounded(server, client):
    server.faults.add("redirect", IMAGES, times=None, url=IMAGES)
    with pytest.raises(DownloadError, match="more than 5 redirects"):
        client.get_json(IMAGES)
    assert len(server.requests) == http.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//example.org/x",
        "https:///x",
        "javascript:alert(1)",
        "http://127.0.0.1.example.org/x",
        "http://127.0.0.1@example.org/x",
        "\\\\example.org\\x",
    ],
)
@pytest.mark.parametrize("how", ["link", "redirect"])
def test_a_link_that_leads_astray_is_not_followed(server, client, url, how):
    if how == "redirect":
        server.faults.add("redirect", IMAGES, url=url)
    with pytest.raises(DownloadError, match=r"refused to follow a link|404"):
        client.get_json(IMAGES if how == "redirect" else url)
    assert all(request.headers["host"] == server.url.removeprefix("http://") for request in server.requests)


@pytest.mark.parametrize(
    "url", ["http://[bad/x", "http://[::1", "https://127.0.0.1:port/x", "https://" + 70 * "a" + ".org/"]
)
def test_a_malformed_url_is_one_error(server, client, url):
    server.faults.add("redirect", IMAGES, url=url)
    for asked in (url, IMAGES):
        with pytest.raises(DownloadError):
            client.get_json(asked, retry=ONCE)


def test_an_endless_body_of_a_redirect_is_not_read_to_its_end(server, monkeypatch):
    monkeypatch.setattr(http, "MAX_REDIRECT_BYTES", 1_000)
    sent = []

    async def app(scope, receive, send):
        headers = [(b"location", f"{server.url}{IMAGES}".encode())]
        await send({"type": "http.response.start", "status": 302, "headers": headers})
        gone = asyncio.create_task(until_gone(receive))
        while not gone.done():
            sent.append(1)
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            await asyncio.sleep(0)

    with Server(app) as endless:
        assert HttpClient(endless.url, timeout=5).get_json("/")["count"] == 2
    assert len(sent) < 1_000, "what the sockets hold, and no more"


async def until_gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


# Tokens

TOKEN = "s3cr3t-t0ken"


@pytest.fixture
def with_token(server, monkeypatch):
    """Return a client that takes its token from the environment."""
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    made = HttpClient(server.url, timeout=5, retry=ONCE, token_variable="TEST_TOKEN")
    yield made
    made.close()


def test_a_token_of_the_environment_goes_along_and_is_held_nowhere(server, with_token, monkeypatch):
    with_token.get_json(IMAGES)
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN.encode() not in pickle.dumps(with_token)
    assert TOKEN not in repr(vars(with_token))
    monkeypatch.delenv("TEST_TOKEN")
    with_token.get_json(IMAGES)
    assert "authorization" not in server.requests[1].headers


def test_a_token_is_not_sent_where_a_redirect_leads(server, with_token):
    with NeuroVaultServer.synthetic(1, 2) as elsewhere:
        server.faults.add("redirect", IMAGES, url=f"{elsewhere.url}{IMAGES}")
        with_token.get_json(IMAGES)
        assert "authorization" in server.requests[0].headers
        assert "authorization" not in elsewhere.requests[0].headers


def test_a_token_is_not_sent_in_clear_text_to_another_machine(monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    client = HttpClient("http://archive.example", token_variable="TEST_TOKEN")
    assert client._with_token("http://archive.example/x", None) is None
    secure = HttpClient("https://archive.example", token_variable="TEST_TOKEN")
    assert secure._with_token("https://archive.example/x", None) == {"Authorization": f"Bearer {TOKEN}"}


def test_a_token_that_is_none_is_refused_without_being_shown(with_token, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", f"{TOKEN}\nHost: elsewhere")
    with pytest.raises(DownloadError, match="TEST_TOKEN holds no token") as caught:
        with_token.get_json(IMAGES)
    assert TOKEN not in str(caught.value)


def test_an_allowance_that_is_used_up_is_waited_for():
    soon = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 30)}
    assert 28 <= http._wait_asked(soon) <= 30
    assert http._wait_asked({**soon, "Retry-After": "7"}) == 7
    assert http._wait_asked({**soon, "X-RateLimit-Remaining": "3"}) is None
    assert http._wait_asked({**soon, "X-RateLimit-Reset": "soon"}) is None


# Sizes and times


def test_json_has_a_largest_size(server, client, monkeypatch):
    monkeypatch.setattr(http, "MAX_JSON_BYTES", 1_000)
    with pytest.raises(DownloadError, match="more than 1000 bytes"):
        client.get_json(IMAGES)


def test_json_that_inflates_beyond_its_size_is_refused(serve, monkeypatch):
    import gzip

    monkeypatch.setattr(http, "MAX_JSON_BYTES", 100_000)
    bomb = gzip.compress(b" " * 50_000_000)
    client = HttpClient(serve([bomb], content_encoding="gzip", content_type="application/json"))
    with pytest.raises(DownloadError, match="more than 100000 bytes"):
        client.get_json("/", retry=ONCE)


def test_gzipped_json_is_inflated(serve):
    import gzip

    rows = [{"id": n} for n in range(50_000)]
    packed = gzip.compress(json.dumps(rows).encode())
    client = HttpClient(serve([packed[:10], packed[10:]], content_encoding="gzip"))
    assert client.get_json("/") == rows


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b"<html>login</html>", "text/html", "an HTML page"),
        (b"  <!doctype html>", "application/json", "an HTML page"),
        (b"", "application/json", "invalid JSON"),
        (b'{"a": ', "application/json", "invalid JSON"),
        (b"\xff\xfe", "application/json", "invalid JSON"),
    ],
)
def test_invalid_json_is_named(serve, body, kind, says):
    client = HttpClient(serve([body], content_type=kind))
    with pytest.raises(DownloadError, match=says):
        client.get_json("/", retry=ONCE)


def test_a_server_that_hangs_is_a_timeout(server):
    server.faults.add("hang", IMAGES)
    with pytest.raises(DownloadError, match="did not answer in time: raise `timeout`") as caught:
        HttpClient(server.url, timeout=0.1).get_json(IMAGES, retry=ONCE)
    assert caught.value.retryable


def test_a_server_that_cannot_be_reached_in_time_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as callers:
        for _ in range(3):  # nobody accepts: the queue is full, and the next caller is kept waiting
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        url = "http://127.0.0.1:{1}".format(*full.getsockname())
        with pytest.raises(DownloadError, match="could not be reached in time: raise `timeout`") as caught:
            HttpClient(url, timeout=0.1).get_json(IMAGES, retry=ONCE)
    assert caught.value.retryable


def test_a_server_that_is_not_there_says_so(serve):
    url = "http://127.0.0.1:9"
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9 cannot be reached") as caught:
        HttpClient(url).get_json("/", retry=ONCE)
    assert caught.value.retryable


def test_a_body_that_stops_coming_is_a_timeout(serve):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        await until_gone(receive)

    with Server(app) as server, pytest.raises(DownloadError, match="broke off after 5 bytes") as caught:
        read(HttpClient(server.url, timeout=0.1), "/")
    assert caught.value.retryable


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_trickle_ends_though_each_byte_comes_in_time(monkeypatch, framing):
    """The clock is ours: each look at it is a minute later, so nothing is waited for."""
    minutes = iter(range(0, 10**9, 60))
    monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: next(minutes)))
    sent = []

    async def app(scope, receive, send):
        headers = [(b"content-length", b"100000")] if framing == "length" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(until_gone(receive))
        while not gone.done() and len(sent) < 100_000:
            sent.append(1)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.001)

    with Server(app) as server, pytest.raises(DownloadError, match=r"sent only \d+ bytes in 100 s") as caught:
        read(HttpClient(server.url, timeout=10), "/")
    assert caught.value.retryable
    assert len(sent) < 1_000


def test_a_head_that_trickles_ends_though_each_byte_comes_in_time(monkeypatch):
    """The clock is ours here too: a minute goes by between two looks."""
    minutes = iter(range(0, 10**9, 60))
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: next(minutes)))
    sent = []

    def trickle(listening):
        caller, _ = listening.accept()
        with caller, suppress(ConnectionError):
            caller.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
            while len(sent) < 1_000_000:
                sent.append(1)
                caller.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        pool.submit(trickle, listening)
        client = HttpClient("http://127.0.0.1:{1}".format(*listening.getsockname()), timeout=10)
        with pytest.raises(DownloadError, match="did not answer in time") as caught:
            client.get_json("/", retry=ONCE)
        client.close()
    assert caught.value.retryable
    assert len(sent) < 1_000_000


def test_a_slow_but_living_exchange_has_time_for_its_bytes(server, client, monkeypatch):
    monkeypatch.setattr(http, "MIN_BYTES_PER_SECOND", 1)
    seconds = iter(range(0, 10**9, 100))  # each piece takes far longer than the first allowance
    monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    assert read(client)


@pytest.mark.parametrize("kind", ["truncate", "drop"])
def test_a_body_cut_off_can_be_tried_again(server, client, kind):
    server.faults.add(kind, "/media/")
    with pytest.raises(DownloadError) as caught:
        read(client)
    assert caught.value.retryable


def test_bytes_come_as_they_stand_on_the_wire(serve):
    url = serve([b"\x1f\x8b not gzip"], content_encoding="utf-8")
    assert read(HttpClient(url), "/") == b"\x1f\x8b not gzip"
    url = serve([b"\x1f\x8b not gzip"], content_encoding="gzip")
    assert read(HttpClient(url), "/") == b"\x1f\x8b not gzip"


# Connections


def test_a_worker_keeps_its_connection(server, client):
    for _ in range(3):
        client.get_json(IMAGES)
        read(client)
        with pytest.raises(DownloadError, match="404"):
            client.get_json("/api/images/999999/")
    assert len({request.client for request in server.requests}) == 1


def test_each_worker_has_one_connection(server, client):
    workers = 3
    together = Barrier(workers)

    def work(_):
        together.wait(10)
        return [client.get_json(IMAGES)["count"] for _ in range(4)]

    with ThreadPoolExecutor(workers) as pool:
        assert list(pool.map(work, range(workers))) == [[2] * 4] * workers
    assert len({request.client for request in server.requests}) == workers


def test_connections_are_shared_by_all_threads(server, client):
    for _ in range(3):  # one after the other: what one thread leaves, the next one takes up
        with ThreadPoolExecutor(1) as pool:
            pool.submit(client.get_json, IMAGES).result()
    assert len({request.client for request in server.requests}) == 1


def test_no_more_connections_than_allowed_to_one_host(server, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    client = HttpClient(server.url, timeout=5)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: read(client), range(24)))
    assert len({request.client for request in server.requests}) <= 2
    client.close()


def test_a_proxy_of_the_environment_is_asked(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    with pytest.raises(DownloadError, match="404"):  # it is told the whole address, which is none of its own
        HttpClient("http://maps.example").get_json("/api/images/?limit=1")
    [request] = server.requests
    assert (request.target, request.headers["host"]) == (
        "http://maps.example/api/images/?limit=1",
        "maps.example",
    )


def test_certificates_of_the_environment_count(server, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "no-such-bundle"))
    with pytest.raises(DownloadError, match="OSError"):
        HttpClient("https://127.0.0.1:9").get_json("/", retry=ONCE)


def test_a_closed_client_can_be_used_again(server, client):
    client.get_json(IMAGES)
    client.close()
    assert client.get_json(IMAGES)["count"] == 2
    assert len({request.client for request in server.requests}) == 2


def test_a_client_survives_pickle(server, client):
    client.get_json(IMAGES)
    again = pickle.loads(pickle.dumps(client))
    assert (again.base_url, again.timeout, again.retry) == (client.base_url, client.timeout, client.retry)
    assert again.get_json(IMAGES)["count"] == 2
    again.close()


# Secrets


SECRETS = ("pw0rd", "labmate", "t0ken")


@pytest.mark.parametrize("fault", ["status", "drop", "html", "hang"])
def test_no_secret_is_told(server, fault, caplog):
    caplog.set_level(logging.DEBUG, "nvframe")
    base = server.url.replace("http://", "http://labmate:pw0rd@")
    client = HttpClient(base, timeout=0.1, retry=Retry(tries=2, backoff=0.001))
    server.faults.add(fault, times=None)
    for _ in range(http.BREAKER_LOSSES + 1):
        with pytest.raises(DownloadError) as caught:
            client.get_json(IMAGES, {"token": "t0ken"})
        assert not [secret for secret in SECRETS if secret in str(caught.value)]
    told = [record.getMessage() for record in caplog.records if record.name.startswith("nvframe")]
    assert told
    assert not [secret for secret in SECRETS if secret in "".join(told)]


def test_a_refused_link_is_shown_without_its_secrets(client):
    for url in ("http://labmate:pw0rd@example.org/?k=t0ken", "http://labmate:pw0rd@[bad/?k=t0ken"):
        with pytest.raises(DownloadError) as caught:
            client.get_json(url)
        assert not [secret for secret in SECRETS if secret in str(caught.value)]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:p@ss@host:8/a?token=x#y", "https://host:8/a"),
        ("http://me:p@ss@[bad/a?token=x", "http://[bad/a"),
        ("collection_1/image", "collection_1/image"),
        ("", ""),
    ],
)
def test_urls_are_shown_without_secrets(url, shown):
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"a"', "Last-Modified": "then"}, '"a"'),
        ({"ETag": 'W/"a"', "Last-Modified": "then"}, "then"),
        ({"Last-Modified": "then"}, "then"),
        ({"ETag": 'W/"a"'}, None),
        ({}, None),
    ],
)
def test_a_validator_is_what_if_range_accepts(headers, validator):
    assert validator_of(headers) == validator

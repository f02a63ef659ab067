"""Each fault, as a client sees it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from nvframe.testing import NeuroVaultServer, synthetic_corpus
from nvframe.testing.server.faults import FaultScript
from nvframe.testing.server.kinds import KINDS


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return synthetic_corpus(tmp_path_factory.mktemp("faulty"), 3, 4, grids=["RAS-8mm"], specials=False)


@pytest.fixture
def server(corpus):
    with NeuroVaultServer.from_corpus(corpus) as running:
        yield running


@pytest.fixture
def session():
    with requests.Session() as own:
        yield own


@pytest.fixture
def get(server, session):
    def get(path, timeout=10, **options):
        return session.get(server.url + path, timeout=timeout, **options)

    return get


MAP = "/media/images/1/motor_1001.nii.gz"


@pytest.fixture
def whole(corpus):
    return (corpus / MAP[1:]).read_bytes()


def ids(answer):
    return [row["id"] for row in answer.json()["results"]]


def test_status_with_retry_after_so_many_times(server, get):
    server.faults.add("status", "/api/images/", times=2, status=503, retry_after=7)
    assert get("/api/collections/").status_code == 200
    answers = [get("/api/images/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].headers["Content-Type"].startswith("text/html")
    assert server.faults.pending == []


def test_skip_and_method(server, session, get):
    server.faults.add("status", MAP, skip=1, method="GET")
    assert session.head(server.url + MAP, timeout=10).status_code == 200
    assert [get(MAP).status_code for _ in range(3)] == [200, 500, 200]


def test_html(server, get):
    server.faults.add("html", MAP)
    answer = get(MAP)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")


def test_truncate_promises_more_than_it_sends(server, get, whole, caplog):
    server.faults.add("truncate", MAP, after=100)
    answer = get(MAP, stream=True)
    assert int(answer.headers["Content-Length"]) == len(whole)
    got = []
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        got.extend(answer.iter_content(10))
    assert b"".join(got) == whole[: 10 * len(got)]
    assert len(got) <= 10
    assert get(MAP).content == whole
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_short_and_corrupt_look_right_from_outside(server, get, whole):
    server.faults.add("short", MAP, after=1000)
    server.faults.add("corrupt", MAP, skip=1)
    assert get(MAP).content == whole[:1000]
    damaged = get(MAP).content
    assert len(damaged) == len(whole)
    assert sum(a != b for a, b in zip(damaged, whole, strict=True)) == 16
    assert get(MAP).content == whole


def test_trickle_outlasts_a_gap_timeout(server, get, whole):
    server.faults.add("trickle", MAP, chunk=len(whole) // 4 + 1, seconds=0.02)
    start = time.perf_counter()
    assert get(MAP, timeout=0.5).content == whole
    assert time.perf_counter() - start >= 0.08


def test_hang_until_the_client_gives_up(server, get, whole):
    server.faults.add("hang", MAP)
    with pytest.raises(requests.exceptions.ReadTimeout):
        get(MAP, timeout=0.1)
    assert get(MAP).content == whole
    assert [request.status for request in server.requests] == [None, 200]


def test_hang_ends_with_the_server(corpus, caplog):
    with NeuroVaultServer.from_corpus(corpus) as server, ThreadPoolExecutor(1) as pool:
        server.faults.add("hang")
        answer = pool.submit(requests.get, server.url, timeout=30)
        assert server.wait_for(1)
        server.stop()
        assert isinstance(answer.exception(10), requests.ConnectionError)
    assert not caplog.records


def test_drop(server, get, caplog):
    server.faults.add("drop", "/api/")
    with pytest.raises(requests.ConnectionError):
        get("/api/images/")
    assert get("/api/images/").status_code == 200
    assert [request.status for request in server.requests] == [None, 200]
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def test_redirect(server, get, whole):
    server.faults.add("redirect", "/media/old", url=f"{server.url}{MAP}", status=301, times=None)
    answer = get("/media/old.nii.gz")
    assert answer.content == whole
    assert answer.history[0].status_code == 301


def test_count_too_large(server, get):
    server.faults.add("count_too_large", by=5)
    page = get("/api/collections/1/images/").json()
    assert (page["count"], len(page["results"])) == (9, 4)
    assert get("/api/images/1001/").json()["id"] == 1001


def test_poisoned_image(server, get):
    server.faults.add("poison", image=1003)
    assert get("/api/images/").status_code == 500
    assert get("/api/collections/1/images/").status_code == 500
    assert get("/api/collections/2/images/").status_code == 200
    assert [get(f"/api/images/?limit=1&offset={i}").status_code for i in range(4)] == [200, 200, 500, 200]
    assert get("/api/images/1003/").status_code == 200
    assert get("/api/collections/").status_code == 200


def test_poisoned_collection_with_its_own_address(server, get):
    server.faults.add("poison", collection=2, own=True)
    assert get("/api/collections/").status_code == 500
    assert get("/api/collections/2/").status_code == 500
    assert get("/api/collections/1/").status_code == 200
    assert get("/api/collections/2/images/").status_code == 200


def test_shuffled_lists_repeat_and_lose(server, get):
    server.faults.add("shuffle", seed=1)
    pages = [ids(get(f"/api/images/?limit=3&offset={offset}")) for offset in range(0, 12, 3)]
    flat = [i for page in pages for i in page]
    assert len(flat) == 12
    assert len(set(flat)) < 12
    assert set(ids(get("/api/images/"))) == set(range(1001, 1013))
    assert get("/api/images/?limit=3").content == get("/api/images/?limit=3").content
    assert ids(get("/api/collections/1/images/")) == [1001, 1002, 1003, 1004]
    page = get("/api/images/?limit=3&offset=3").json()
    assert page["next"] == f"{server.url}/api/images/?limit=3&offset=6"


def test_files_as_django_serves_them(server, get, whole):
    etag = get(MAP).headers["ETag"]
    server.faults.add("no_range")
    server.faults.add("no_etag")
    answer = get(MAP, headers={"Range": "bytes=0-9", "If-None-Match": etag})
    assert (answer.status_code, answer.content) == (200, whole)
    assert not {"ETag", "Accept-Ranges"} & set(answer.headers)
    known = {"If-Modified-Since": answer.headers["Last-Modified"]}
    assert get(MAP, headers=known).status_code == 304


def test_words_down(server, get):
    path = "/api/decode/?neurovault=1001"
    for how in ("status", "break", "empty"):
        server.faults.add("words_down", how=how)
    assert get(path).status_code == 503
    broken = get(path)
    assert broken.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        broken.json()
    assert get(path).json() == {"data": {"values": {}}}
    assert get(path).json()["data"]["values"]["motor"] > 0.5


def test_private_collection(server, get, corpus):
    server.faults.add("private", collection=2, token="IRNREPDH")
    assert ids(get("/api/collections/")) == [1, 3]
    assert ids(get("/api/images/?limit=2&offset=4")) == [1009, 1010]
    assert get("/api/images/").json()["count"] == 8
    assert get("/api/collections/2/").status_code == get("/api/collections/2/images/").status_code == 403
    assert get("/api/images/1005/").status_code == 404
    assert get("/media/images/2/emotion_1005.nii.gz").status_code == 403
    assert get("/api/images/1001/").status_code == get(MAP).status_code == 200
    assert ids(get("/api/collections/IRNREPDH/images/")) == [1005, 1006, 1007, 1008]
    row = get("/api/images/IRNREPDH-1005/").json()
    assert row["collection"] == f"{server.url}/collections/IRNREPDH/"
    assert requests.get(row["file"], timeout=10).content[:2] == b"\x1f\x8b"
    assert get("/api/collections/ZZZZZZZZ/").status_code == 404


def test_latency(corpus, session):
    with NeuroVaultServer.from_corpus(corpus, latency=0.03, connection_latency=0.1) as server:

        def seconds():
            start = time.perf_counter()
            session.get(f"{server.url}/api/", timeout=10)
            return time.perf_counter() - start

        assert seconds() >= 0.13
        assert 0.03 <= seconds() < 0.13
        server.clear()
        assert seconds() >= 0.03


def test_one_accident_a_request_and_every_lasting_fault(server, get, whole):
    for kind in ("status", "html", "short"):
        server.faults.add(kind, MAP)
    server.faults.add("corrupt", MAP, skip=3)
    server.faults.add("no_etag")
    server.faults.add("latency", MAP, seconds=0.02)
    start = time.perf_counter()
    answers = [get(MAP) for _ in range(5)]
    assert time.perf_counter() - start >= 0.1
    assert [answer.status_code for answer in answers] == [500, 200, 200, 200, 200]
    assert [len(answer.content) for answer in answers[2:]] == [len(whole) // 2, len(whole), len(whole)]
    assert answers[3].content != whole == answers[4].content
    assert not [answer for answer in answers if "ETag" in answer.headers]


def test_mistakes_in_the_script():
    script = FaultScript()
    with pytest.raises(ValueError, match="unknown fault 'stauts'; there are "):
        script.add("stauts")
    with pytest.raises(TypeError, match="unexpected keyword argument 'code'"):
        script.add("status", code=500)
    with pytest.raises(TypeError, match="missing a required"):
        script.add("private")
    assert not script.pending
    assert all(kind.apply.__doc__ for kind in KINDS.values())

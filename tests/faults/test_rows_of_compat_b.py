"""Part B of the contract, row by row, as a caller of `fetch_neurovault` meets it; nilearn's half is in tests/compat."""

import gzip
import json
import logging
import socket
import warnings
from types import SimpleNamespace

import nibabel
import numpy as np
import orjson
import pytest

import nvframe
from nvframe import fetch_neurovault, fetch_neurovault_ids
from nvframe.errors import PartialResultWarning
from nvframe.filters import GreaterThan
from nvframe.http import client as http
from nvframe.http.retry import Retry
from nvframe.mirror.app import create_app
from nvframe.mirror.loaders import load_corpus
from nvframe.mirror.server import Server
from nvframe.testing import NeuroVaultServer, synthetic_corpus
from nvframe.testing.server.exchange import collect, respond

ALL = list(range(1001, 1013))
EVERYTHING = {"max_images": None, "image_terms": {}, "collection_terms": {}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return synthetic_corpus(tmp_path_factory.mktemp("rows"), 3, 4, grids=["RAS-8mm"], specials=False)


@pytest.fixture(scope="module")
def running(corpus):
    with NeuroVaultServer.from_corpus(corpus) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    running.clear()
    point_at(running, monkeypatch)
    with nvframe.set_options(retry=Retry(tries=2, backoff=0.001)):
        yield running


def point_at(server, monkeypatch):
    for name in ("NVFRAME_NEUROVAULT_URL", "NVFRAME_NEUROSYNTH_URL"):
        monkeypatch.setenv(name, server.url)


@pytest.fixture
def call(tmp_path):
    """Return a function that fetches into this test's directory; warnings about losses are collected."""

    def call(fetcher=fetch_neurovault, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PartialResultWarning)
            return fetcher(data_dir=tmp_path, verbose=0, **options)

    return call


@pytest.fixture
def altered(tmp_path_factory, monkeypatch):
    """Return a function that serves a corpus whose first collection's rows were changed."""
    servers = []

    def serve(change):
        folder = synthetic_corpus(tmp_path_factory.mktemp("altered"), 1, 3, grids=["RAS-8mm"], specials=False)
        listing = folder / "collections/1_images.json"
        page = json.loads(listing.read_bytes())
        for row in page["results"]:
            change(folder, row)
        listing.write_text(json.dumps(page))
        server = NeuroVaultServer.from_corpus(folder).start()
        servers.append(server)
        point_at(server, monkeypatch)
        return server

    with nvframe.set_options(retry=Retry(tries=2, backoff=0.001)):
        yield serve
    for server in servers:
        server.stop()


def ids(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def media(server):
    return [request for request in server.requests if request.path.startswith("/media/")]


def files(tmp_path, pattern):
    return sorted(path.name for path in (tmp_path / "neurovault").rglob(pattern))


@pytest.mark.parametrize("how", ["a failed image", "a limit"])
def test_a_partial_collection_is_completed(server, call, how):
    if how == "a limit":
        call(max_images=1)
    else:
        server.faults.add("status", "_1002", times=None, status=404)
        call(**EVERYTHING)
    server.clear()
    assert sorted(ids(call(**EVERYTHING))) == ALL
    assert len(media(server)) == (11 if how == "a limit" else 1)
    lists = [request.path for request in server.requests if "limit" in request.query]
    assert len(lists) == len(set(lists)), "at most one listing per collection"


def test_ids_keep_the_callers_filters_and_limit(server, call):
    bunch = call(collection_ids=[3, 1], max_images=3, image_filter=lambda meta: meta["id"] % 2 == 0)
    assert ids(bunch) == [1010, 1012, 1002]
    assert ids(call(collection_ids=[1], map_type="Z map")) == [1002]
    assert len(media(server)) == 3


def test_ids_come_in_the_order_asked_for(server, call):
    asked = [1012, 1001, 1007, 1002]
    for _ in range(2):
        assert ids(call(fetch_neurovault_ids, image_ids=asked)) == asked
    assert ids(call(fetch_neurovault_ids, image_ids=asked, mode="offline")) == asked


@pytest.mark.parametrize("path", ["/api/images/1001/", "/api/collections/1/", "/media/", "/api/decode/"])
def test_the_timeout_holds_for_every_request(server, call, path):
    server.faults.add("hang", path, times=None)
    with_words = path == "/api/decode/"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        bunch = call(fetch_neurovault_ids, image_ids=[1001], timeout=0.1, fetch_neurosynth_words=with_words)
    told = [failure["error"] for failure in bunch.failures]
    assert told
    assert "did not answer in time: raise `timeout`" in told[0]
    assert len(bunch.images) == with_words


def test_a_trickle_ends(server, call, monkeypatch):
    """Every look at the clock is a minute later: no second is waited for."""
    minutes = iter(range(0, 10**9, 60))
    clock = SimpleNamespace(monotonic=lambda: next(minutes), sleep=lambda seconds: None, time=lambda: 0.0)
    monkeypatch.setattr(http, "time", clock)
    server.faults.add("trickle", "/media/", times=None, chunk=1, seconds=0.001)
    bunch = call(fetch_neurovault_ids, image_ids=[1001])
    assert bunch.images == []
    assert "sent only" in bunch.failures[0]["error"]


def test_a_count_larger_than_the_rows_ends_and_is_reported(server, call):
    server.faults.add("count_too_large", by=10_000)
    bunch = call(**EVERYTHING)
    assert sorted(ids(bunch)) == ALL
    assert len(server.requests) < 40
    assert all("promised" in failure["error"] for failure in bunch.failures)
    assert len(bunch.failures) == 4


@pytest.mark.parametrize("fault", ["html", "short", "corrupt", "truncate"])
def test_rubbish_with_status_200_is_never_cached(server, call, tmp_path, fault):
    server.faults.add(fault, "_1002", times=None)
    bunch = call(fetch_neurovault_ids, collection_ids=[1])
    assert ids(bunch) == [1001, 1003, 1004]
    assert [failure["id"] for failure in bunch.failures] == [1002]
    assert files(tmp_path, "*1002*") == []
    server.clear()
    assert ids(call(fetch_neurovault_ids, collection_ids=[1])) == ALL[:4]


def test_rubbish_in_an_old_cache_is_fetched_again(server, call, tmp_path):
    call(fetch_neurovault_ids, collection_ids=[1])
    home = tmp_path / "neurovault/collection_1"
    for sidecar in home.glob("image_*.json"):  # as nilearn writes them
        meta = {key: value for key, value in json.loads(sidecar.read_bytes()).items() if key != "nvframe"}
        sidecar.write_text(json.dumps(meta))
    (home / "image_1002.nii.gz").write_bytes(b"<html>502 Bad Gateway</html>")
    offline = call(fetch_neurovault_ids, collection_ids=[1], mode="offline")
    assert ids(offline) == [1001, 1003, 1004]
    server.clear()
    assert ids(call(fetch_neurovault_ids, collection_ids=[1])) == ALL[:4]
    assert [request.path[-14:] for request in media(server)] == ["al_1002.nii.gz"]


def test_a_502_costs_few_requests_and_is_told(server, tmp_path):
    server.faults.add("status", times=None, status=502)
    with pytest.warns(PartialResultWarning, match="502 Bad Gateway"):
        bunch = fetch_neurovault(data_dir=tmp_path, verbose=0)
    assert bunch.images == []
    assert len(bunch.failures) == 1
    assert len(server.requests) <= 4


def test_a_host_that_loses_five_images_in_a_row_is_left_alone(tmp_path, monkeypatch, call):
    workers = 2
    retry = Retry(tries=2, backoff=0.001)
    with NeuroVaultServer.synthetic(1, 40) as server:
        point_at(server, monkeypatch)
        server.faults.add("status", "/media/", times=None, status=503)
        with nvframe.set_options(retry=retry, max_workers=workers):
            bunch = call(**EVERYTHING)
        lost = http.BREAKER_LOSSES * retry.tries
        assert lost <= len(media(server)) <= lost + workers
    assert "503" in bunch.failures[0]["error"]
    assert "no further request to 127.0.0.1" in bunch.failures[-1]["error"]


def test_images_asked_for_by_id_count_too(server, call):
    server.faults.add("status", "/media/", times=None, status=503)
    with nvframe.set_options(retry=Retry(tries=1), max_workers=1):
        bunch = call(fetch_neurovault_ids, image_ids=ALL)
    assert http.BREAKER_LOSSES <= len(media(server)) <= http.BREAKER_LOSSES + 1
    assert len(bunch.failures) == len(ALL)


def test_what_is_cached_is_served_though_the_server_is_down(server, call):
    call(fetch_neurovault_ids, collection_ids=[2])
    server.faults.add("drop", times=None)
    assert ids(call(**EVERYTHING)) == ALL[4:8]


def test_raising_is_possible(server, tmp_path):
    server.faults.add("status", "/media/", times=None, status=503)
    with pytest.raises(nvframe.errors.DownloadError, match="503"):
        nvframe.fetch("neurovault", data_dir=tmp_path, on_error="raise")


def test_another_interpolation_is_another_file(server, call):
    stored = {}
    for interpolation in ("nearest", "continuous", "linear", "nearest"):
        bunch = call(fetch_neurovault_ids, image_ids=[1001], resample=True, interpolation=interpolation)
        values = np.asarray(nibabel.load(bunch.images[0]).dataobj)
        if interpolation in stored:
            np.testing.assert_array_equal(values, stored[interpolation])
        stored[interpolation] = values
    assert not np.array_equal(stored["nearest"], stored["linear"])
    assert not np.array_equal(stored["continuous"], stored["linear"])


def test_offline_opens_no_socket_and_rewrites_nothing(server, call, tmp_path, monkeypatch):
    call(fetch_neurovault_ids, collection_ids=[1], resample=True)
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*") if path.is_file()
    }

    def refuse(self, address):
        raise AssertionError(f"a connection to {address} was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for _ in range(2):
        assert ids(call(mode="offline", resample=True, **EVERYTHING)) == ALL[:4]
    assert before == {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.*") if path.is_file()
    }


@pytest.mark.parametrize(
    "terms",
    [{"DOI": "10.5555/nvframe.synthetic.2"}, {"name": "Synthetic collection 2"}, {"owner_name": "nobody"}],
)
def test_terms_that_the_server_ignores_are_applied_here(server, call, terms):
    bunch = call(max_images=None, collection_terms=terms)
    assert ids(bunch) == ([] if "owner_name" in terms else ALL[4:8])


def test_null_strings_mean_the_same_from_the_server_and_from_the_cache(altered, call):
    texts = iter(["n/a", "None / Other", "fMRI-BOLD"])

    def change(folder, row):
        row["modality"] = next(texts)

    altered(change)
    query = {**EVERYTHING, "image_terms": {"modality": None}}
    cold, warm, offline = call(**query), call(**query), call(mode="offline", **query)
    assert ids(cold) == ids(warm) == ids(offline) == [1001, 1002]
    assert cold.images_meta == warm.images_meta == offline.images_meta


def test_connections_are_kept_and_nothing_is_redirected(server, call):
    with nvframe.set_options(max_workers=2):
        call(fetch_neurovault_ids, collection_ids=[1], image_ids=[1005, 1006])
    assert {request.status for request in server.requests} == {200}
    # Two that download, and three that ask: for a collection, for a list, for images and theirs.
    assert len({request.client for request in server.requests}) <= 5 < len(server.requests)


def test_a_poisoned_page_is_split_down_to_its_row(server, call):
    server.faults.add("poison", image=1003)
    with nvframe.set_options(retry=Retry(tries=1)):
        bunch = call(**EVERYTHING)
    assert sorted(ids(bunch)) == [each for each in ALL if each != 1003]
    assert len(bunch.failures) == 1
    assert len(server.requests) < 60


def test_lists_without_order_repeat_nothing_and_lose_nothing_in_silence(server, call, monkeypatch):
    monkeypatch.setattr("nvframe.sources.neurovault.paging.FIRST_LIMIT", 1)
    monkeypatch.setattr("nvframe.sources.neurovault.paging.MAX_LIMIT", 1)
    server.faults.add("shuffle", seed=1)
    bunch = call(**EVERYTHING)
    assert len(set(ids(bunch))) == len(bunch.images)
    assert sorted(ids(bunch)) == ALL or "no stable order" in bunch.failures[-1]["error"]


def test_a_nii_is_stored_as_a_real_nii_gz(altered, call, tmp_path):
    def change(folder, row):
        if row["id"] != 1002:
            return
        packed = folder / "media/images/1" / row["file"].rpartition("/")[2]
        raw = gzip.decompress(packed.read_bytes())
        packed.with_suffix("").write_bytes(raw)
        packed.unlink()
        row.update(file=row["file"].removesuffix(".gz"), file_size=len(raw))

    altered(change)
    bunch = call(**EVERYTHING)
    assert (ids(bunch), bunch.failures) == ([1001, 1002, 1003], [])
    assert nibabel.load(bunch.images[1]).shape == nibabel.load(bunch.images[0]).shape
    assert call(resample=True, mode="offline", **EVERYTHING).failures == []
    assert files(tmp_path, "tmp*") == files(tmp_path, "*staging*") == []


def test_unknown_and_private_ids_are_reported(server, call):
    server.faults.add("private", collection=3, token="SECRETAB")
    bunch = call(fetch_neurovault_ids, collection_ids=[3, 77], image_ids=[1001, 1009, 424242])
    assert ids(bunch) == [1001]
    told = {failure["id"] or failure["collection_id"]: failure["error"] for failure in bunch.failures}
    assert list(told) == [3, 77, 1009, 424242]
    assert "permission" in told[3]
    assert all("Not found" in told[each] for each in (77, 1009, 424242))


def test_a_mistyped_keyword_warns_with_near_names(server, call):
    for keyword, says in (
        ("max_image", "taken as a condition on the image field of that name; did you mean 'max_images'"),
        ("map_tipe", "no image has a field 'map_tipe'; did you mean 'map_type'"),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert call(**{keyword: "T map"}).images == []
        assert [each for each in caught if says in str(each.message)]


@pytest.mark.parametrize("stated", [0, None, 5, 10**9])
def test_a_file_size_that_is_wrong_is_logged_and_no_loss(corpus, monkeypatch, call, caplog, stated):
    inner = create_app(load_corpus(str(corpus)))

    async def app(scope, receive, send):
        answer = await collect(inner, scope, receive)
        if answer.rows() is not None:
            page = orjson.loads(answer.body)
            page["results"] = [{**row, "file_size": stated} for row in page["results"]]
            answer = answer.with_body(orjson.dumps(page))
        await respond(send, answer)

    caplog.set_level(logging.INFO, "nvframe")
    with Server(app) as server:
        point_at(server, monkeypatch)
        bunch = call(collection_ids=[1])
    assert (ids(bunch), bunch.failures) == (ALL[:4], [])
    assert ("listed as" in caplog.text) is bool(stated)


@pytest.mark.parametrize(
    "hostile", ["../../x", "/etc/passwd", "1/../../x", "..", "%2e%2e", "", None, "1" * 200, {"a": 1}]
)
def test_an_id_never_becomes_a_path(call, monkeypatch, tmp_path, hostile):
    rows = {
        "/api/collections/": [{"id": hostile, "number_of_images": 1}, {"id": 1, "number_of_images": 2}],
        "/api/collections/1/images/": [{"id": hostile, "collection_id": 1, "file": "/media/x.nii.gz"}],
    }

    async def app(scope, receive, send):
        results = rows.get(scope["path"], [])
        body = orjson.dumps({"count": len(results), "next": None, "previous": None, "results": results})
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": body})

    with Server(app) as server:
        point_at(server, monkeypatch)
        bunch = call(**EVERYTHING)
    assert bunch.images == []
    assert ["is not a NeuroVault id" in failure["error"] for failure in bunch.failures] == [True, True]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_overwriting_only_what_is_newer(server, call):
    bunch = call(**EVERYTHING)
    newest = sorted(meta["modify_date"] for meta in bunch.images_meta)[-2]
    server.clear()
    again = call(max_images=None, mode="overwrite", modify_date=GreaterThan(newest))
    assert len(again.images) == len(media(server)) == 1

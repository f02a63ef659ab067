"""Part B of the contract, second third: how a server is spoken to, and what one that fails costs.

One test per row of the table; the row is quoted. nilearn's half stands under `defect_of_nilearn`: should a
later nilearn do better, the test fails and says that the row belongs to part A now.
"""

import types
from urllib.parse import urlsplit

import nibabel as nib
import pytest
import requests
import urllib3

import nvframe
from nvframe.errors import DownloadError, PartialResultWarning
from nvframe.http import client as http
from nvframe.http import retry
from nvframe.http.retry import Retry


class EndlessError(BaseException):
    """Ends what would go on for ever; no `except Exception` of the peer holds it up."""


@pytest.fixture
def timeouts(monkeypatch):
    """Collect (path, timeout to connect, timeout between two reads) of everything that either side sends."""
    sent = []
    send = urllib3.HTTPConnectionPool.urlopen

    def noting(pool, method, url, *args, timeout, **kwargs):
        sent.append((urlsplit(url).path, timeout.connect_timeout, timeout.read_timeout))
        return send(pool, method, url, *args, timeout=timeout, **kwargs)

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", noting)
    return sent


def ids_of(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def categories(side):
    return [each.category for each in side.warnings]


def bound_batches(nilearn, monkeypatch, calls):
    """Let nilearn ask for a limited number of pages."""
    left = iter(range(calls))
    get_batch = nilearn.module._get_batch

    def limited(*args, **kwargs):
        if next(left, None) is None:
            raise EndlessError
        return get_batch(*args, **kwargs)

    monkeypatch.setattr(nilearn.module, "_get_batch", limited)


def test_timeout_holds_for_every_request(sides, server, timeouts, defect_of_nilearn):
    """B: `timeout` is ignored for image ids and for a collection's metadata."""
    nilearn, ours = sides(server)
    with defect_of_nilearn("ignores timeout for ids"):
        nilearn.fetch_ids(image_ids=[1001], timeout=3)
        assert len(timeouts) >= 3
        assert 3 not in {timeout for _, *both in timeouts for timeout in both}
    timeouts.clear()
    assert ids_of(ours.fetch_ids(image_ids=[1001], timeout=3)) == [1001]
    assert ids_of(ours.fetch(timeout=3, max_images=2, fetch_neurosynth_words=True)) == [1001, 1002]
    assert {timeout for _, *both in timeouts for timeout in both} == {3}
    assert {path.split("/")[1] for path, *_ in timeouts} == {"api", "media"}


def test_a_trickle_ends(sides, server, monkeypatch, defect_of_nilearn):
    """B: a trickle never ends; here an exchange takes at most max(60 s, 10 × timeout) + bytes / 10 kB/s."""
    nilearn, ours = sides(server)
    trickle = {"path": "_1001.nii", "times": None, "chunk": 2000, "seconds": 0.01}
    server.faults.add("trickle", **trickle)
    with defect_of_nilearn("waits out a trickle, whatever the timeout"):
        assert len(nilearn.fetch_ids(image_ids=[1001], timeout=1e-6).images) == 1

    looks = iter(range(1000))

    def minutes():
        # Stands still until the trickle has begun; then an hour goes by between two looks.
        return 3600 * next(looks) if ours.server.requests[-1].path.startswith("/media/") else 0

    clock = types.SimpleNamespace(monotonic=minutes, sleep=http.time.sleep, time=http.time.time)
    monkeypatch.setattr(http, "time", clock)
    found = ours.fetch_ids(image_ids=[1001], timeout=1)
    assert found.images == []
    assert "bytes in 60 s" in found.failures[0]["error"]  # timeout=1: the 60 s are what counts
    found = ours.fetch_ids(image_ids=[1001], timeout=30)
    assert "bytes in 300 s" in found.failures[0]["error"]
    assert ours.files("*.nii.gz") == []


def test_a_count_larger_than_the_list_ends(sides, server, monkeypatch, defect_of_nilearn):
    """B: `count` larger than the rows served: endless requests; here it stops at an empty page, and says so."""
    nilearn, ours = sides(server)
    server.faults.add("count_too_large", "^/api/collections/1/images/", by=2)
    bound_batches(nilearn, monkeypatch, 30)
    with (
        defect_of_nilearn("asks for ever where a list is shorter than it claims"),
        pytest.raises(EndlessError),
    ):
        nilearn.fetch(collection_id=1, image_terms={})

    found = ours.fetch(collection_id=1, image_terms={})
    assert ids_of(found) == [1001, 1002, 1003, 1004]
    assert len(ours.listings) == 2  # the page, and the empty one
    assert "promised 6 entries and listed 4" in found.failures[0]["error"]
    assert categories(ours) == [PartialResultWarning]


def test_a_server_that_is_down_costs_few_requests_and_is_named(sides, server, defect_of_nilearn):
    """B: a 502 costs 100–150 requests and returns an empty Bunch without a word."""
    nilearn, ours = sides(server)
    server.faults.add("status", status=502, times=None)
    with defect_of_nilearn("asks a dead server a hundred times, and does not say why it got nothing"):
        assert nilearn.fetch().images == []
        assert len(nilearn.requests) >= 100
        assert "502" not in nilearn.said
    found = ours.fetch()
    assert found.images == []
    assert len(ours.requests) == 2  # with the two tries of these tests; four by default
    assert "502 Bad Gateway" in found.failures[0]["error"]
    assert categories(ours) == [PartialResultWarning]
    assert "502 Bad Gateway" in ours.said
    with pytest.raises(DownloadError, match="502"):
        nvframe.fetch(data_dir=ours.directory, on_error="raise")


def test_files_that_a_dead_host_does_not_serve_are_not_all_asked_for(sides, server, defect_of_nilearn):
    """B: after 5 images in a row lost to connection errors or 5xx of one host, no further request to it."""
    nilearn, ours = sides(server)
    server.faults.add("status", "/media/", status=502, times=None)
    with defect_of_nilearn("returns an empty Bunch without a word where no file can be had"):
        assert nilearn.fetch(image_terms={}).images == []
        assert len(nilearn.media) == 12
        assert nilearn.warnings == []
    with nvframe.set_options(max_workers=1):
        found = ours.fetch(image_terms={})
    assert found.images == []
    assert len(ours.media) == 5 * 2  # five images, two tries each
    assert "no further request" in found.failures[5]["error"]
    assert all("502 Bad Gateway" in failure["error"] for failure in found.failures)
    assert "502" in ours.said
    assert "Run the same call again" in ours.said

    server.faults.clear()
    assert len(ours.fetch(image_terms={}).images) == 12
    server.faults.add("status", status=502, times=None)
    still = ours.fetch(image_terms={})
    assert len(still.images) == 12  # what is cached is still served
    assert categories(ours) == [PartialResultWarning]


def test_a_server_that_asks_for_a_pause_gets_it(sides, server, monkeypatch):
    """B: few retries with backoff and `Retry-After`."""
    _, ours = sides(server)
    slept = []
    clock = types.SimpleNamespace(sleep=slept.append)
    monkeypatch.setattr(retry, "time", clock)
    server.faults.add("status", "_1001.nii", status=503, retry_after=7)
    server.faults.add("drop", "_1001.nii")
    with nvframe.set_options(retry=Retry()):
        assert ids_of(ours.fetch_ids(image_ids=[1001])) == [1001]
    asked, second = slept
    assert asked == 7
    assert 1 <= second <= 1.25  # half a second, doubled once, and some jitter
    assert len(ours.media) == 3


def test_connections_live_and_ids_cost_no_redirect(sides, server, monkeypatch, defect_of_nilearn):
    """B: a new connection per image, 8 KiB chunks, a redirect per id."""
    nilearn, ours = sides(server)
    sizes = {"nilearn": [], "ours": []}
    iter_content, read1 = requests.Response.iter_content, urllib3.HTTPResponse.read1

    def theirs(response, chunk_size=1, *args):
        sizes["nilearn"].append(chunk_size)
        return iter_content(response, chunk_size, *args)

    def mine(response, amt=None, **kwargs):
        sizes["ours"].append(amt)
        return read1(response, amt, **kwargs)

    monkeypatch.setattr(requests.Response, "iter_content", theirs)
    monkeypatch.setattr(urllib3.HTTPResponse, "read1", mine)
    wanted = [1001, 1005, 1009]

    def asked(side):
        media = [request for request in side.requests if request.path.startswith("/media/")]
        redirects = sum(request.status == 301 for request in side.requests)
        return len({request.client for request in media}), redirects

    with defect_of_nilearn("opens a connection per image and asks without the slash"):
        nilearn.fetch_ids(image_ids=wanted)
        assert asked(nilearn) == (3, 6)  # three images, and each one's collection
        assert min(sizes["nilearn"]) == 8192
    with nvframe.set_options(max_workers=1):
        assert ids_of(ours.fetch_ids(image_ids=wanted)) == wanted
    connections, redirects = asked(ours)
    assert connections <= 2  # one worker, and the thread that asks what there is
    assert redirects == 0
    assert min(sizes["ours"]) == 256 * 1024


def test_a_bad_row_costs_itself_only(sides, server, monkeypatch, defect_of_nilearn):
    """B: a list page that answers 500 because of one bad row ends the whole fetch after 50–100 instant retries."""
    nilearn, ours = sides(server)
    server.faults.add("poison", image=1002)
    with defect_of_nilearn("ends the whole fetch at a page with a bad row"):
        assert nilearn.fetch(max_images=None).images == []
        assert 50 <= len(nilearn.listings) <= 100
    found = ours.fetch(max_images=None)
    assert ids_of(found) == [1001, 1003, 1005, 1006, 1007, 1009, 1010, 1011]
    assert len(ours.listings) < 20
    failure = found.failures[0]
    assert failure["collection_id"] == 1
    assert "from row 1 on" in failure["error"]
    assert "500" in failure["error"]
    assert categories(ours) == [PartialResultWarning]
    assert all(nib.load(path).shape == (24, 28, 24) for path in found.images)


def test_a_bad_row_among_the_collections_costs_itself_only(sides, server, defect_of_nilearn):
    """B: the same in the list of collections: the rest arrives."""
    nilearn, ours = sides(server)
    server.faults.add("poison", collection=2)
    with defect_of_nilearn("finds nothing where one collection cannot be listed"):
        assert nilearn.fetch(max_images=None).images == []
    found = ours.fetch(max_images=None)
    assert ids_of(found) == [1001, 1002, 1003, 1009, 1010, 1011]
    assert len(found.failures) == 1

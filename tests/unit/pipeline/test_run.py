"""Whole runs, against a source of our own and against the scripted NeuroVault: what is asked, kept and said."""

import json
import multiprocessing
import pickle
import re
import socket
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

import nibabel
import numpy as np
import pytest

import nvframe
from nvframe.errors import DownloadError, IntegrityError, PartialResultWarning, StorageError
from nvframe.filters import GreaterThan, IsIn, NotNull
from nvframe.http.retry import Retry
from nvframe.imaging.nifti import encode
from nvframe.pipeline import run as module
from nvframe.sources.neurovault.source import NeuroVault
from nvframe.storage.local import LocalStorage
from nvframe.testing import NeuroVaultServer, synthetic_corpus
from nvframe.types import ByteStream, CollectionRecord, ImageRecord

pytestmark = pytest.mark.filterwarnings("ignore::nvframe.errors.PartialResultWarning")
BRAIN = encode(nibabel.Nifti1Image(np.ones((3, 4, 5), "float32"), np.eye(4)))


class Shelf:
    """A source in memory: collections of images, some of which cannot be had."""

    name = "shelf"
    description = "for tests"
    server_terms = frozenset()

    def __init__(self, collections, lost=()):
        self.shelves = {str(key): [str(image) for image in images] for key, images in collections.items()}
        self.lost = {str(image) for image in lost}
        self.listed = []
        self.opened = []
        self.lock = threading.Lock()

    def default_terms(self):
        return {}, {}

    def collections(self, terms):
        for collection_id in self.shelves:
            yield self.get_collection(collection_id)

    def images(self, collection):
        for image_id in self.shelves[collection.id]:
            self.listed.append(image_id)
            yield self.image(image_id, collection.id)

    def image(self, image_id, collection_id):
        return ImageRecord(self.name, image_id, collection_id, f"shelf://{image_id}", {"id": image_id})

    def get_collection(self, collection_id):
        return CollectionRecord(self.name, collection_id, {"id": collection_id})

    def get_image(self, image_id):
        home = next(key for key, images in self.shelves.items() if image_id in images)
        return self.image(image_id, home)

    @contextmanager
    def open_image(self, record, start=0, validator=None):
        with self.lock:
            self.opened.append(record.id)
        if record.id in self.lost:
            raise DownloadError("gone", retryable=False)
        yield ByteStream(len(BRAIN), None, iter([BRAIN]))


def ids(frame):
    return [str(meta["id"]) for meta in frame.images_meta]


def take(source, tmp_path, **options):
    return nvframe.fetch(source, data_dir=tmp_path, **{"max_images": None, **options})


# Limits and stop rules


@pytest.mark.parametrize("limit", [0, 1, 5, 11, 12, 13, None])
def test_a_limit_downloads_no_more_than_asked(tmp_path, limit):
    shelf = Shelf({1: range(10, 16), 2: range(20, 26)})
    frame = take(shelf, tmp_path, max_images=limit)
    everything = [str(n) for n in (*range(10, 16), *range(20, 26))]
    assert ids(frame) == everything[:limit]
    assert sorted(shelf.opened) == everything[:limit]


def test_a_failure_frees_its_slot(tmp_path):
    shelf = Shelf({1: range(10, 20)}, lost=[10, 12, 13])
    frame = take(shelf, tmp_path, max_images=4)
    assert ids(frame) == ["11", "14", "15", "16"]
    assert sorted(shelf.opened) == [str(n) for n in range(10, 17)]
    assert [failure.image_id for failure in frame.failures] == ["10", "12", "13"]


def test_images_at_hand_count(tmp_path):
    shelf = Shelf({1: range(10, 20)})
    take(shelf, tmp_path, max_images=3)
    shelf.opened.clear()
    frame = take(shelf, tmp_path, max_images=5)
    assert ids(frame) == ["10", "11", "12", "13", "14"]
    assert sorted(shelf.opened) == ["13", "14"]
    assert frame.report.found_local == 3
    shelf.listed.clear()
    assert ids(take(shelf, tmp_path, max_images=2)) == ["10", "11"]
    assert shelf.listed == []


def test_a_fetch_stops_after_100_failures_in_a_row(tmp_path):
    shelves = {n: range(100 * n, 100 * n + 25) for n in range(1, 11)}
    shelf = Shelf(shelves, lost=[image for images in shelves.values() for image in images])
    frame = take(shelf, tmp_path, max_workers=1)
    assert (len(frame), frame.report.stopped_early) == (0, "100 images failed in a row")
    assert 100 <= len(shelf.opened) <= 102, "what was in flight is finished"
    assert len(shelf.listed) <= 104


def test_99_failures_in_a_row_stop_nothing(tmp_path):
    shelves = {n: range(100 * n, 100 * n + 25) for n in range(1, 9)}
    order = [image for images in shelves.values() for image in images]
    shelf = Shelf(shelves, lost=[image for n, image in enumerate(order) if n % 100 != 99])
    frame = take(shelf, tmp_path)
    assert ids(frame) == [str(order[99]), str(order[199])]
    assert frame.report.stopped_early == ""


def test_a_collection_is_given_up_after_30_failures_in_a_row(tmp_path):
    shelf = Shelf({1: range(100, 180), 2: range(200, 203)}, lost=range(100, 180))
    frame = take(shelf, tmp_path, max_workers=1)
    assert ids(frame) == ["200", "201", "202"]
    lost = [image for image in shelf.opened if image < "200"]
    assert 30 <= len(lost) <= 32
    assert len(shelf.listed) <= 36, "the rest of the collection is not even listed"


def test_29_failures_in_a_row_give_nothing_up(tmp_path):
    images = range(100, 160)
    shelf = Shelf({1: images}, lost=[n for n in images if n % 30 != 19])
    assert ids(take(shelf, tmp_path)) == ["109", "139"]


def test_a_search_lists_no_more_than_wanted(tmp_path):
    shelf = Shelf({1: range(10, 20)})
    found = nvframe.search(shelf, max_images=3, data_dir=tmp_path)
    assert (ids(found), shelf.listed, shelf.opened) == (["10", "11", "12"], ["10", "11", "12"], [])
    shelf.listed.clear()
    assert len(nvframe.search(shelf, max_images=0, data_dir=tmp_path)) == 0
    assert shelf.listed == []
    assert list(tmp_path.iterdir()) == []


# Order and what is said


def test_results_come_in_order_whatever_finishes_first(tmp_path):
    fourth = threading.Event()

    class Backwards(Shelf):
        """The first image waits until the fourth was told of."""

        @contextmanager
        def open_image(self, record, start=0, validator=None):
            if record.id == "10":
                assert fourth.wait(10)
            with super().open_image(record) as stream:
                yield stream

    told = []

    def progress(event):
        if event.kind == "image":
            told.append(event.image_id)
            if event.image_id == "13":
                fourth.set()

    frame = take(Backwards({1: range(10, 16)}), tmp_path, progress=progress)
    assert ids(frame) == [str(n) for n in range(10, 16)]
    assert told.index("13") < told.index("10"), "events come as images finish"


def test_events_tell_of_a_fetch(tmp_path):
    told = []
    take(Shelf({1: range(10, 14)}, lost=[11]), tmp_path, max_images=3, progress=told.append)
    assert [event.kind for event in told] == ["start", *[event.kind for event in told[1:-1]], "finish"]
    assert sorted(event.image_id for event in told if event.kind == "image") == ["10", "12", "13"]
    (lost,) = [event for event in told if event.kind == "failure"]
    assert (lost.image_id, lost.failure.message) == ("11", "gone")
    assert {event.wanted for event in told} == {3}
    assert (told[-1].done, told[-1].failed) == (3, 1)
    assert sum(event.nbytes for event in told) == 3 * len(BRAIN)
    assert [event.done + event.failed for event in told] == sorted(
        event.done + event.failed for event in told
    )


def test_an_observer_that_fails_changes_nothing(tmp_path, caplog):
    def bad(event):
        raise RuntimeError("observer")

    frame = take(Shelf({1: range(10, 13)}), tmp_path, progress=bad)
    assert len(frame) == 3
    assert "an observer of the fetch failed; the fetch goes on" in caplog.text


def test_options_reach_the_call(tmp_path):
    told = []

    class Pool(ThreadPoolExecutor):
        used = 0

        def submit(self, *args, **kwargs):
            Pool.used += 1
            assert not kwargs, "positional arguments only"
            return super().submit(*args, **kwargs)

    with Pool(2) as pool, nvframe.set_options(executor=pool, progress=told.append, max_workers=2):
        with nvframe.set_options(max_workers=1):
            assert nvframe.options.current_options().max_workers == 1
            assert nvframe.options.current_options().executor is pool
        take(Shelf({1: range(10, 13)}), tmp_path)
        assert pool.submit(int).result() == 0, "an executor that is not ours is not shut down"
    assert Pool.used == 4
    assert told
    assert nvframe.options.current_options().executor is None


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="worker"), nvframe.set_options(worker=3):
        pass


def test_blas_is_pinned_only_around_our_own_threads(tmp_path):
    from threadpoolctl import threadpool_info

    seen = []

    def look(img, record):
        seen.append({each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"})
        return img

    take(Shelf({1: [10]}), tmp_path, processors=[look])
    assert seen == [{1}]


def test_partial_results_warn_with_the_first_cause(tmp_path):
    with pytest.warns(PartialResultWarning, match=r"image 11: download failed in shelf: gone, and 1 more"):
        take(Shelf({1: range(10, 15)}, lost=[11, 13]), tmp_path)


def test_raise_raises_the_first_failure_after_the_rest_is_stored(tmp_path):
    shelf = Shelf({1: range(10, 15)}, lost=[11, 13])
    with pytest.raises(DownloadError, match="image 11: download failed in shelf: gone"):
        take(shelf, tmp_path, on_error="raise")
    shelf.opened.clear()
    assert ids(take(shelf, tmp_path, on_error="ignore")) == ["10", "12", "14"]
    assert sorted(shelf.opened) == ["11", "13"]


def test_raise_raises_what_is_no_error_of_ours_too(tmp_path):
    def bad(img, record):
        raise KeyError("x")

    with pytest.raises(nvframe.errors.NvframeError, match="process failed"):
        take(Shelf({1: [10]}), tmp_path, processors=[bad], on_error="raise")


@pytest.mark.parametrize("level", ["image", "collection"])
def test_an_exception_in_a_filter_names_the_record(tmp_path, level):
    def bad(metadata):
        return metadata["no such field"]

    with pytest.raises(KeyError) as caught:
        take(Shelf({1: range(10, 15)}), tmp_path, **{f"{level}_filter": bad})
    assert f"while filtering {level} {10 if level == 'image' else 1}" in caught.value.__notes__


def test_storage_that_is_full_is_reported_for_what_could_not_be_stored(tmp_path, monkeypatch):
    def full(self, key, data):
        raise StorageError(f"cannot write {key}: No space left on device")

    monkeypatch.setattr(LocalStorage, "put", full)
    frame = take(Shelf({1: range(10, 15)}), tmp_path, on_error="ignore")
    assert len(frame) == 0
    assert {failure.stage for failure in frame.failures} == {"store"}
    assert {failure.image_id for failure in frame.failures} == {None, *map(str, range(10, 15))}


def test_nothing_temporary_survives(tmp_path):
    take(Shelf({1: range(10, 14)}, lost=[12]), tmp_path, processors=["resample-3mm"])
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith("."))
    assert [name for name in names if not re.match(r"(image_\d+_|collection_)", name)] == []


# Another kind of executor


def test_processes_do_the_same(tmp_path, server):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        frame = fetch(
            tmp_path,
            max_images=3,
            executor=pool,
            processors=["resample-3mm"],
            annotators=["neurosynth-words"],
        )
    assert (ids(frame), frame.failures) == (["1001", "1002", "1003"], [])
    assert all(frame.annotations["neurosynth-words"])
    assert frame.load(0).shape == tuple(frame.assets[0].shape)
    assert frame.report.nbytes > 0


# NeuroVault


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    corpus = synthetic_corpus(tmp_path_factory.mktemp("run"), 3, 4, grids=["RAS-8mm"], specials=False)
    with NeuroVaultServer.from_corpus(corpus) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    running.clear()
    for name, value in running.environ.items():
        monkeypatch.setenv(name, value)
    with nvframe.set_options(retry=Retry(tries=2, backoff=0.001)):
        yield running


def fetch(tmp_path, **options):
    return nvframe.fetch("neurovault", data_dir=tmp_path, **{"max_images": None, **options})


ALL = [str(n) for n in range(1001, 1013)]


def targets(server, part="/media/"):
    return sorted(re.findall(r"_(\d+)\.nii", " ".join(r.path for r in server.requests if part in r.path)))


def listings(server):
    return [request.path for request in server.requests if "limit" in request.query]


def test_a_partial_collection_is_completed_by_the_same_call(tmp_path, server):
    server.faults.add("status", "_1002|_1007", times=None, status=404)
    first = fetch(tmp_path)
    assert len(first) == 10
    server.clear()
    second = fetch(tmp_path)
    assert sorted(ids(second)) == ALL
    assert targets(server) == ["1002", "1007"]
    # Sorted: collections are listed side by side.
    assert sorted(listings(server)) == [
        "/api/collections/",
        "/api/collections/1/images/",
        "/api/collections/2/images/",
    ]
    server.clear()
    assert ids(fetch(tmp_path)) == ALL
    assert listings(server) == ["/api/collections/"], "what is complete is not listed"


def test_a_limit_then_all(tmp_path, server):
    assert ids(fetch(tmp_path, max_images=1)) == ["1001"]
    assert targets(server) == ["1001"]
    server.clear()
    assert ids(fetch(tmp_path)) == ALL
    assert targets(server) == ALL[1:]


def test_local_hits_come_first_then_the_servers_order(tmp_path, server):
    fetch(tmp_path, image_ids=[1011, 1006])
    assert ids(fetch(tmp_path)) == ["1006", "1011", *[each for each in ALL if each not in ("1006", "1011")]]


def test_ids_come_in_the_order_asked_for_cold_and_warm(tmp_path, server):
    asked = {"collection_ids": [3, 1], "image_ids": [1006, 1001, 1005]}
    wanted = ["1009", "1010", "1011", "1012", "1001", "1002", "1003", "1004", "1006", "1005"]
    assert ids(fetch(tmp_path, **asked)) == wanted
    server.clear()
    assert ids(fetch(tmp_path, **asked)) == wanted
    assert ids(fetch(tmp_path, mode="offline", **asked)) == wanted
    assert server.requests == []


@pytest.mark.parametrize("term", [2, "2", np.int64(2), IsIn(2)])
def test_a_term_on_one_collection_asks_for_that_one_only(tmp_path, server, term):
    frame = fetch(tmp_path, collection_terms={"id": term} if not isinstance(term, str) else {"id": IsIn(2)})
    assert ids(frame) == ["1005", "1006", "1007", "1008"]
    assert {r.path for r in server.requests if r.path.startswith("/api")} == {
        "/api/collections/2/",
        "/api/collections/2/images/",
    }


def test_terms_are_applied_to_what_the_server_did_not_filter(tmp_path, server):
    frame = fetch(tmp_path, collection_terms={"DOI": "10.5555/nvframe.synthetic.2"}, max_images=2)
    assert [meta["collection_id"] for meta in frame.images_meta] == [2, 2]


def test_update_refetches_only_what_moved(tmp_path, server, running):
    fetch(tmp_path, collection_ids=[1])
    sidecar = tmp_path / "neurovault/collection_1/image_1002_metadata.json"
    stored = json.loads(sidecar.read_bytes())
    sidecar.write_bytes(json.dumps({**stored, "modify_date": "2001-01-01"}).encode())
    server.clear()
    assert ids(fetch(tmp_path, collection_ids=[1])) == ALL[:4]
    assert targets(server) == [], "download_new does not look"
    assert len(fetch(tmp_path, collection_ids=[1], mode="update")) == 4
    assert targets(server) == ["1002"]
    server.clear()
    fetch(tmp_path, collection_ids=[1], mode="update")
    assert targets(server) == []


def test_overwrite_refetches_what_passes(tmp_path, server):
    frame = fetch(tmp_path)
    newest = sorted(meta["modify_date"] for meta in frame.images_meta)[-3]
    server.clear()
    again = fetch(tmp_path, mode="overwrite", image_terms={"modify_date": GreaterThan(newest)})
    assert (
        sorted(ids(again))
        == targets(server)
        == sorted(str(meta["id"]) for meta in frame.images_meta if meta["modify_date"] > newest)
    )


def test_a_replaced_original_is_resampled_again(tmp_path, server):
    processors = [("resample", {"target": np.diag([12.0, 12, 12])})]
    before = fetch(tmp_path, image_ids=[1001], processors=processors)
    original = tmp_path / "neurovault/collection_1/image_1001.nii.gz"
    original.write_bytes(BRAIN)
    server.clear()
    after = fetch(tmp_path, image_ids=[1001], processors=processors)
    assert before.assets[0].key == after.assets[0].key
    assert before.assets[0].sha256 != after.assets[0].sha256
    assert server.requests == []


@pytest.fixture
def no_network(monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"a connection to {address} was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_offline_opens_no_socket_and_writes_no_sidecar(tmp_path, server, request):
    everything = {"processors": ["resample-3mm"], "annotators": ["neurosynth-words"], "keep_original": True}
    first = fetch(tmp_path, **everything)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    request.getfixturevalue("no_network")
    frame = fetch(tmp_path, mode="offline", **everything)
    assert (ids(frame), frame.failures) == (ALL, [])
    assert frame.images == first.images
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    smooth = fetch(tmp_path, mode="offline", processors=[("smooth", {"fwhm": 20})])
    assert (len(smooth), smooth.failures) == (12, []), "a derived map is made from what is stored"


def test_offline_what_is_not_stored_is_a_failure(tmp_path, no_network):
    frame = fetch(tmp_path, mode="offline", image_ids=[1001], collection_ids=[1])
    assert [(f.image_id, f.collection_id, f.message) for f in frame.failures] == [
        (None, "1", "not stored, and the network is off"),
        ("1001", None, "not stored, and the network is off"),
    ]


def test_a_server_that_is_down_still_serves_what_is_cached(tmp_path, server):
    fetch(tmp_path, collection_ids=[1])
    server.faults.add("status", times=None, status=502)
    frame = fetch(tmp_path)
    assert ids(frame) == ALL[:4]
    (failure,) = frame.failures
    assert (failure.stage, failure.retryable) == ("list", True)
    assert "502" in failure.message


def test_ids_are_served_though_the_server_is_down(tmp_path, server):
    fetch(tmp_path, collection_ids=[1], image_ids=[1005])
    server.faults.add("status", times=None, status=502)
    frame = fetch(tmp_path, collection_ids=[1], image_ids=[1005, 1006])
    assert ids(frame) == [*ALL[:4], "1005"]
    assert [failure.image_id for failure in frame.failures] == ["1006"]


def test_unknown_and_private_ids_are_reported_with_the_servers_reason(tmp_path, server):
    server.faults.add("private", collection=2, token="ABCDEFGH")
    frame = fetch(
        tmp_path, image_ids=[999999, 1005, "ABCDEFGH-1005", 1001], collection_ids=[2, 77, "ABCDEFGH", "../x"]
    )
    assert ids(frame) == ["1001"]
    told = {failure.image_id or failure.collection_id: failure.message for failure in frame.failures}
    assert list(told) == ["2", "77", "ABCDEFGH", "../x", "999999", "1005", "ABCDEFGH-1005"]
    assert "You do not have permission" in told["2"]
    assert "404" in told["77"]
    assert "tokens of private collections are not opened" in told["ABCDEFGH"]
    assert "not a valid id" in told["../x"]
    assert "Not found" in told["999999"]
    assert not [request for request in server.requests if "ABCDEFGH" in request.target]


@pytest.mark.parametrize("bad", [1001, 1002, 1004])
def test_a_poisoned_page_costs_its_bad_row_only(tmp_path, server, bad):
    server.faults.add("poison", image=bad)
    frame = fetch(tmp_path)
    assert sorted(ids(frame)) == [each for each in ALL if each != str(bad)]
    (failure,) = frame.failures
    assert (failure.stage, failure.collection_id) == ("list", "1")


def test_a_poisoned_collection_costs_itself_only(tmp_path, server):
    server.faults.add("poison", collection=2)
    frame = fetch(tmp_path)
    assert sorted(ids(frame)) == [*ALL[:4], *ALL[8:]]
    assert len(frame.failures) == 1


def test_a_count_too_large_ends_and_is_reported(tmp_path, server):
    server.faults.add("count_too_large", by=10)
    frame = fetch(tmp_path)
    assert sorted(ids(frame)) == ALL
    assert [failure.collection_id for failure in frame.failures] == ["1", "2", "3", None]
    assert all("promised" in failure.message for failure in frame.failures)
    assert len(listings(server)) == 8


def test_a_shuffled_list_loses_nothing_in_silence(tmp_path, server, monkeypatch):
    monkeypatch.setattr("nvframe.sources.neurovault.paging.FIRST_LIMIT", 1)
    monkeypatch.setattr("nvframe.sources.neurovault.paging.MAX_LIMIT", 1)
    for seed in range(4):
        server.clear()
        server.faults.add("shuffle", seed=seed)
        frame = fetch(tmp_path / str(seed))
        got = ids(frame)
        assert len(set(got)) == len(got)
        assert sorted(got) == ALL or "no stable order" in frame.failures[-1].message


def test_every_image_of_a_web_page_is_reported(tmp_path, server):
    server.faults.add("html", times=None)
    frame = fetch(tmp_path)
    assert (len(frame), len(frame.failures)) == (0, 1)
    assert "an HTML page" in frame.failures[0].message


def test_a_term_that_no_record_had_warns_with_near_names(tmp_path, server):
    with pytest.warns(UserWarning, match="no image has a field 'map_typ'; did you mean 'map_type'"):
        fetch(tmp_path, image_terms={"map_typ": "T map"})
    with pytest.warns(UserWarning, match="no collection has a field 'nmae'; did you mean 'name'"):
        fetch(tmp_path, collection_terms={"nmae": NotNull()})


def test_a_damaged_sidecar_is_healed_or_reported(tmp_path, server):
    fetch(tmp_path, collection_ids=[1])
    (tmp_path / "neurovault/collection_1/image_1002_metadata.json").write_bytes(b"")
    frame = fetch(tmp_path, collection_ids=[1], mode="offline")
    assert ids(frame) == ["1001", "1003", "1004"]
    assert [failure.image_id for failure in frame.failures] == ["1002"]
    server.clear()
    frame = fetch(tmp_path, collection_ids=[1])
    assert ids(frame) == ALL[:4]
    assert frame.failures == []
    assert targets(server) == ["1002"]


def test_an_image_in_a_broken_link_is_one_failure(tmp_path, server):
    class Hostile(NeuroVault):
        def images(self, collection):
            for found in super().images(collection):
                row = dict(found.metadata)
                row["file"] = {1001: "http://[bad/x", 1002: None, 1003: "file:///etc/passwd"}.get(
                    row["id"], row["file"]
                )
                row["id"] = {1004: "../../x"}.get(row["id"], row["id"])
                yield self._checked(row, lambda row: self._image_record(row, collection.id), collection.id)

    frame = nvframe.fetch(Hostile(server.url), data_dir=tmp_path, max_images=None)
    assert ids(frame) == ALL[4:]
    assert len(frame.failures) == 4
    assert not (tmp_path / "x").exists()


def test_one_connection_per_worker(tmp_path, server):
    fetch(tmp_path, max_workers=2)
    assert len(server.requests) == 16
    # Two workers, as many listings at once, and the caller's thread.
    assert len({request.client for request in server.requests}) <= 5


def test_a_run_result_travels(tmp_path, server):
    frame = fetch(tmp_path, max_images=2)
    assert pickle.loads(pickle.dumps(frame.failures)) == frame.failures
    assert pickle.loads(pickle.dumps(frame.report)) == frame.report


def test_integrity_failures_raise_as_what_they_are(tmp_path, server):
    server.faults.add("corrupt", "_1001", times=None)
    with pytest.raises(IntegrityError, match="image 1001: verify failed in neurovault"):
        fetch(tmp_path, on_error="raise")


def test_the_stop_rules_are_nilearns():
    from nilearn.datasets import neurovault as peer

    assert module.MAX_CONSECUTIVE_FAILURES == peer._MAX_CONSECUTIVE_FAILS
    assert module.MAX_FAILURES_IN_COLLECTION == peer._MAX_FAILS_IN_COLLECTION


def test_an_interrupted_call_makes_no_further_attempt(server, tmp_path):
    server.faults.add("status", "/media/", times=1_000, status=503)

    def interrupt(event):
        raise KeyboardInterrupt

    slow = Retry(tries=50, backoff=0.001)
    with nvframe.set_options(retry=slow), pytest.raises(KeyboardInterrupt):
        nvframe.fetch(
            data_dir=tmp_path,
            image_filter=lambda meta: interrupt(meta) if meta["id"] > 1001 else True,
            image_terms={},
        )
    asked = [request for request in server.requests if "/media/" in request.path]
    assert len(asked) < 50


# How much is asked at once


def test_ids_are_asked_for_side_by_side_and_come_in_order(tmp_path, server):
    """Each answer waits until a second question is there: one after the other would never end."""
    asked = threading.Barrier(2, timeout=10)

    class Shy(NeuroVault):
        def get_image(self, image_id):
            asked.wait()
            return super().get_image(image_id)

    frame = nvframe.fetch(Shy(server.url), image_ids=[1009, 1002, 1001, 1005], data_dir=tmp_path)
    assert ids(frame) == ["1009", "1002", "1001", "1005"]
    collections = [r.path for r in server.requests if re.fullmatch(r"/api/collections/\d/", r.path)]
    assert sorted(collections) == [f"/api/collections/{n}/" for n in (1, 2, 3)], "each is asked for once"


def test_no_more_ids_are_asked_for_than_a_limit_leaves_wanted(tmp_path, server):
    assert ids(fetch(tmp_path, image_ids=[1001, 1002, 1003, 1004, 1005], max_images=2)) == ["1001", "1002"]
    asked = [r for r in server.requests if r.path.startswith("/api/images/")]
    assert len(asked) <= 4, "two records and two collections ahead"


def test_a_lost_collection_costs_its_images_only(tmp_path, server):
    server.faults.add("status", r"^/api/collections/2/$", times=None, status=404)
    frame = fetch(tmp_path, image_ids=[1001, 1005, 1006, 1009], on_error="ignore")
    assert ids(frame) == ["1001", "1009"]
    assert [(failure.stage, failure.image_id) for failure in frame.failures] == [
        ("list", "1005"),
        ("list", "1006"),
    ]


def test_a_search_for_everything_lists_all_images_in_one_go(server, caplog):
    everything = {"image_terms": {}, "collection_terms": {}, "max_images": None}
    found = nvframe.search("neurovault", **everything)
    assert ids(found) == ALL
    assert sorted(listings(server)) == ["/api/collections/", "/api/images/"]
    server.clear()
    assert ids(nvframe.search("neurovault", **everything | {"image_terms": {"is_valid": True}})) == ALL
    assert "/api/images/" not in listings(server), "pages of collections, where something limits the query"


def test_what_the_listing_of_all_lost_is_listed_again(server, caplog):
    class Forgetful(NeuroVault):
        def images(self, collection):
            for record in super().images(collection):
                if collection is not None or record.id != "1006":
                    yield record

    with caplog.at_level("DEBUG", logger="nvframe"):
        found = nvframe.search(Forgetful(server.url), image_terms={}, collection_terms={}, max_images=None)
    assert ids(found) == ALL
    assert sorted(listings(server)) == ["/api/collections/", "/api/collections/2/images/", "/api/images/"]
    assert "collection 2: 3 of 4 images in the listing of all; listed by its own pages" in caplog.text


def test_a_source_without_a_listing_of_all_is_asked_for_each_collection(server):
    class Plain(NeuroVault):
        def images(self, collection):
            if collection is None:
                raise NotImplementedError
            return super().images(collection)

    found = nvframe.search(Plain(server.url), image_terms={}, collection_terms={}, max_images=None)
    assert ids(found) == ALL


def test_one_slow_image_does_not_let_the_rest_of_a_lost_collection_be_asked_for(tmp_path):
    """The first image waits as long as others fail, which a rule in order does not see before it."""
    lost = threading.Semaphore(0)

    class Slow(Shelf):
        @contextmanager
        def open_image(self, record, start=0, validator=None):
            self.asked = [*getattr(self, "asked", []), record.id]
            if record.id == "100":
                assert lost.acquire(timeout=10)
                while lost.acquire(timeout=0.3):
                    pass
            else:
                lost.release()
            raise DownloadError("gone")
            yield

    shelf = Slow({1: range(100, 200)})
    with nvframe.set_options(retry=Retry(tries=1)):
        frame = take(shelf, tmp_path, max_workers=2, on_error="ignore")
    assert len(frame) == 0
    assert 30 <= len(shelf.asked) <= 30 + 4

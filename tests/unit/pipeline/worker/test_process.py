"""One image in a worker: verified, processed, stored, annotated, and its sidecar last."""

import hashlib
import json
import pickle
import threading
from dataclasses import replace

import nibabel
import numpy as np
import orjson
import pytest

from nvframe.cache import layout
from nvframe.errors import AnnotationError, ProcessingError, Skip, StorageError
from nvframe.http.retry import Retry
from nvframe.imaging import nifti
from nvframe.mirror.server import Server
from nvframe.pipeline.plan import make_plan
from nvframe.pipeline.task import Task
from nvframe.pipeline.worker.process import process_image
from nvframe.plugins.registry import default_registry
from nvframe.sources.neurovault.source import NeuroVault
from nvframe.storage.local import LocalStorage
from nvframe.testing import NeuroVaultServer
from nvframe.types import Asset, ImageRecord, Processed

QUICK = Retry(tries=2, backoff=0.001)
ORIGINAL = "collection_1/image_1001.nii.gz"
RESAMPLED = "collection_1/image_1001_resampled.nii.gz"
SIDECAR = "collection_1/image_1001_metadata.json"
WORDS = "collection_1/neurosynth_words_for_image_1001.json"


@pytest.fixture(scope="module")
def running():
    with NeuroVaultServer.synthetic(1, 2) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    running.clear()
    for name, value in running.environ.items():
        monkeypatch.setenv(name, value)
    return running


class Recording(LocalStorage):
    """Remembers what was done to it, in order; `broken` says what fails."""

    def __init__(self, url):
        super().__init__(url)
        self.done = []
        self.broken = {}

    def act(self, verb, key):
        self.done.append((verb, key))
        for (broken_verb, part), error in self.broken.items():
            if verb == broken_verb and part in key:
                raise error

    def put(self, key, data):
        self.act("put", key)
        super().put(key, data)

    def delete(self, key):
        self.act("delete", key)
        super().delete(key)

    def read(self, key):
        self.act("read", key)
        return super().read(key)


@pytest.fixture
def storage(tmp_path):
    return Recording(str(tmp_path / "neurovault"))


@pytest.fixture
def source(server):
    made = NeuroVault(server.url, timeout=5, retry=QUICK)
    yield made
    made.close()


@pytest.fixture
def record(source, server):
    found = source.get_image("1001")
    server.clear()
    return found


@pytest.fixture
def work(source, storage, record):
    """Return a function that brings image 1001 to the state that a plan wants."""

    def work(task=None, **wanted):
        plan = make_plan(source, storage, default_registry(), retry=QUICK, **wanted)
        return process_image(plan, task or Task(record))

    return work


def sidecar(storage):
    return json.loads((storage.root / SIDECAR).read_bytes())


def files(storage):
    return sorted(entry.key for entry in storage.list())


def values(storage, key):
    return nifti.read((storage.root / key).read_bytes()).get_fdata()


def times_two(img, record):
    return type(img)(img.get_fdata() * 2, img.affine)


def plus_one(img, record):
    return type(img)(img.get_fdata() + 1, img.affine)


# Storing


def test_an_image_is_stored_and_bound_by_its_sidecar(work, storage, record):
    outcome = work()
    assert outcome.failures == ()
    data = (storage.root / ORIGINAL).read_bytes()
    assert outcome.asset == Asset.from_json(sidecar(storage)["nvframe"]["assets"]["original"])
    assert (outcome.asset.key, outcome.asset.size) == (ORIGINAL, len(data))
    assert outcome.asset.sha256 == hashlib.sha256(data).hexdigest()
    assert outcome.asset.chain == ()
    assert outcome.nbytes == len(data)
    assert {k: v for k, v in sidecar(storage).items() if k in record.metadata} == dict(record.metadata)
    assert sidecar(storage)["relative_path"] == ORIGINAL
    assert sidecar(storage)["resampled_relative_path"] == RESAMPLED


def test_the_sidecar_comes_last(work, storage):
    work(processors=["resample"], annotators=["neurosynth-words"])
    assert [key for verb, key in storage.done if verb == "put"][-1] == SIDECAR
    assert next(key for verb, key in storage.done if verb == "put") == ORIGINAL
    assert len(storage.done) == 4


def test_the_sidecar_goes_first_where_a_file_that_it_describes_is_replaced(work, storage, record):
    asset = work().asset
    storage.done.clear()
    work(Task(record, previous=True, recorded={"original": asset}))
    assert storage.done == [("delete", SIDECAR), ("put", ORIGINAL), ("put", SIDECAR)]


def test_the_sidecar_stays_until_a_file_that_is_added_stands(work, storage, record):
    asset = work().asset
    storage.done.clear()
    task = Task(record, {"original": asset}, previous=True, recorded={"original": asset})
    added = work(task, processors=["resample-3mm"]).asset
    changes = [(verb, key) for verb, key in storage.done if verb != "read"]
    assert changes == [("put", added.key), ("put", SIDECAR)]
    assert set(layout.assets_of(orjson.loads(storage.read(SIDECAR)))) == {"original", "resampled"}


def test_a_step_that_fails_costs_nothing_that_is_stored(work, storage, record):
    def fail(img, record):
        raise ValueError("not today")

    made = work(processors=["resample-3mm"]).asset
    task = Task(record, previous=True, recorded={"resampled": made}, stale=(RESAMPLED,))
    outcome = work(task, processors=["resample-3mm", fail])
    assert outcome.failures[0].message == "not today"
    assert storage.read(RESAMPLED)
    described = layout.assets_of(orjson.loads(storage.read(SIDECAR)))
    assert described["resampled"] == made
    assert set(described) == {"original", "resampled"}  # the download is kept: it was good


def test_a_map_of_another_original_goes_once_the_new_one_is_stored(work, storage, record):
    made = work(processors=["resample-3mm"]).asset
    older = replace(made, chain=("0" * 64, *made.chain[1:]))
    storage.done.clear()
    work(Task(record, previous=True, recorded={"resampled": older}))
    assert storage.done == [("put", ORIGINAL), ("delete", RESAMPLED), ("put", SIDECAR)]


def test_annotations_are_told_apart_by_parameters_and_by_what_they_look_at(work, storage):
    class Peak:
        name, sidecar_name, metadata_key = "peak", "peak_for_image_{id}.json", "peak"
        needs_network, needs_image = False, True

        def __init__(self, percent):
            self.percent = percent

        def annotate(self, record, img=None):
            return {"peak": float(np.percentile(img.get_fdata(), self.percent))}

    def peaks(percent, *processors):
        return work(processors=processors, annotators=[Peak(percent)]).annotations["peak"]["peak"]

    found = [peaks(100), peaks(50), peaks(100, ("smooth", {"fwhm": 30})), peaks(100)]
    assert found[0] == found[3]
    assert len(set(found)) == 3


def test_a_sidecar_that_is_gone_already_is_no_failure(work, record):
    assert work(Task(record, previous=True)).failures == ()


def test_files_of_an_older_original_go_with_the_sidecar(work, storage, record):
    storage.put(RESAMPLED, b"made from the old one")
    storage.done.clear()
    work(Task(record, stale=(RESAMPLED, ORIGINAL)))
    assert storage.done == [("put", ORIGINAL), ("delete", RESAMPLED), ("put", SIDECAR)]


@pytest.mark.parametrize("verb", ["delete", "put"])
@pytest.mark.parametrize("error", [StorageError("disk full"), RuntimeError("a bug of the storage")])
def test_storage_that_fails_costs_the_image_only(work, storage, record, verb, error):
    recorded = {"original": work().asset}
    storage.broken[verb, "image_1001"] = error
    outcome = work(Task(record, previous=True, recorded=recorded))
    assert outcome.asset is None
    (failure,) = outcome.failures
    assert (failure.stage, failure.image_id, failure.message) == ("store", "1001", str(error))


def test_what_is_at_hand_is_neither_fetched_nor_written(work, storage, record, server):
    asset = work().asset
    server.clear()
    storage.done.clear()
    outcome = work(Task(record, {"original": asset}, previous=True))
    assert outcome.asset == asset
    assert (server.requests, storage.done, outcome.nbytes) == ([], [], 0)


# Verifying


@pytest.mark.parametrize("fault", ["html", "short", "corrupt"])
def test_rubbish_is_never_stored(work, storage, server, fault):
    server.faults.add(fault, "/media/", times=None)
    outcome = work()
    (failure,) = outcome.failures
    assert (failure.stage, failure.error_type, failure.plugin) == ("verify", "IntegrityError", "neurovault")
    assert files(storage) == []
    assert outcome.asset is None


def test_a_lost_download_is_a_failure(work, storage, server):
    server.faults.add("status", "/media/", times=None, status=503)
    (failure,) = work().failures
    assert (failure.stage, failure.retryable, failure.collection_id) == ("download", True, "1")
    assert "503" in failure.message
    assert files(storage) == []


@pytest.mark.parametrize(
    "url", ["http://[bad/x", "", "file:///etc/passwd", "http://me:pw0rd@example.org/x?k=t0ken"]
)
def test_a_hostile_record_is_a_failure_without_secrets(work, record, url):
    (failure,) = work(Task(replace(record, url=url))).failures
    assert (failure.stage, failure.retryable) == ("download", False)
    assert "pw0rd" not in repr(failure)
    assert "t0ken" not in repr(failure)


def test_a_bare_nii_becomes_a_real_nii_gz(work, storage):
    work()
    packed = (storage.root / ORIGINAL).read_bytes()
    raw = nifti.decompress(packed)

    async def bare(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": raw})

    with Server(bare) as other:
        bare_source = NeuroVault(other.url, retry=QUICK)
        plan = make_plan(bare_source, storage, default_registry())
        found = ImageRecord("neurovault", "7", "1", f"{other.url}/atlas.nii", {})
        outcome = process_image(plan, Task(found))
        bare_source.close()
    stored = (storage.root / "collection_1/image_7.nii.gz").read_bytes()
    assert stored[:2] == b"\x1f\x8b"
    assert nifti.decompress(stored) == raw
    assert outcome.asset.sha256 == hashlib.sha256(stored).hexdigest()


def test_a_stored_original_that_was_damaged_is_fetched_again(work, storage, record):
    asset = work().asset
    (storage.root / ORIGINAL).write_bytes(b"x" * asset.size)
    outcome = work(Task(record, {"original": asset}, previous=True), processors=[times_two])
    assert outcome.failures == ()
    assert nifti.read((storage.root / ORIGINAL).read_bytes()).shape


@pytest.mark.parametrize("damage", ["gone", "rubbish", "unreadable"])
def test_offline_a_damaged_original_is_a_failure(work, storage, record, server, damage):
    asset = work().asset
    server.clear()
    if damage == "gone":
        (storage.root / ORIGINAL).unlink()
    elif damage == "rubbish":
        (storage.root / ORIGINAL).write_bytes(b"x" * asset.size)
    else:
        storage.broken["read", ORIGINAL] = RuntimeError("a bug of the storage")
    outcome = work(Task(record, {"original": asset}, previous=True), processors=[times_two], offline=True)
    assert outcome.asset is None
    assert outcome.failures[0].image_id == "1001"
    assert server.requests == []


def test_offline_nothing_is_fetched(work, server):
    (failure,) = work(offline=True).failures
    assert "not stored, and the network is off" in failure.message
    assert server.requests == []


# Processing


def test_processors_run_in_the_callers_order(work, storage):
    original = values(storage, work().asset.key)
    for chain, expected in (
        ([times_two, plus_one], original * 2 + 1),
        ([plus_one, times_two], (original + 1) * 2),
    ):
        outcome = work(processors=chain)
        np.testing.assert_allclose(values(storage, outcome.asset.key), expected, rtol=1e-6)


def test_a_processor_sees_what_the_one_before_said(work):
    seen = []

    def says(img, record):
        return Processed(img, {"map_type": "Z map", "mine": 1})

    def looks(img, record):
        seen.append((record.metadata["map_type"], record.metadata["mine"]))
        return Processed(img, {"mine": 2})

    outcome = work(processors=[says, looks])
    assert seen == [("Z map", 1)]
    assert outcome.asset.metadata == {"map_type": "Z map", "mine": 2}


def test_an_image_that_a_processor_skips_passes_through(work, storage):
    def skips(img, record):
        raise Skip("a mask is not smoothed")

    original = values(storage, work().asset.key)
    outcome = work(processors=[skips, plus_one])
    np.testing.assert_allclose(values(storage, outcome.asset.key), original + 1, rtol=1e-6)


class OddError(Exception):
    def __str__(self):
        return ""


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "the processor returned None instead of an image"),
        ("text", "str"),
        (np.zeros(3), "ndarray"),
        (Processed(None), "None"),
        (ProcessingError("no brain in it"), "no brain in it"),
        (ValueError("bad affine"), "bad affine"),
        (OddError(), "OddError"),
        (SystemExit("usage: my-script"), "usage: my-script"),
        (nibabel.Nifti1Image(np.zeros((3, 0, 2), "float32"), np.eye(4)), "without voxels"),
    ],
)
def test_a_processor_that_fails_costs_the_image_and_is_named(work, storage, result, says):
    def bad(img, record):
        if isinstance(result, BaseException):
            raise result
        return result

    outcome = work(processors=[plus_one, bad])
    assert outcome.asset is None
    (failure,) = outcome.failures
    assert (failure.stage, failure.image_id) == ("process", "1001")
    assert failure.plugin.endswith("bad")
    assert says in failure.message or says in failure.error_type
    assert set(layout.assets_of(orjson.loads(storage.read(SIDECAR)))) == {"original"}


def test_what_a_processor_does_to_its_input_stays_with_it(work, storage):
    def vandal(img, record):
        img.header["descrip"] = b"mine"
        img.get_fdata()[:] = 99
        return type(img)(np.zeros(img.shape, "float32"), img.affine)

    original = (work().asset, values(storage, ORIGINAL).copy())
    work(processors=[vandal])
    assert hashlib.sha256((storage.root / ORIGINAL).read_bytes()).hexdigest() == original[0].sha256


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({"processors": ["resample-3mm"]}, False),
        ({"processors": ["resample-3mm"], "keep_original": True}, True),
        ({"processors": [plus_one]}, True),
        ({"processors": [plus_one], "keep_original": False}, False),
        ({"keep_original": False}, True),
    ],
)
def test_the_original_is_kept_or_not(work, storage, wanted, kept):
    outcome = work(**wanted)
    assert (ORIGINAL in files(storage)) is kept
    assert ("original" in sidecar(storage)["nvframe"]["assets"]) is kept
    assert outcome.asset.key in files(storage)
    assert SIDECAR in files(storage)


def test_a_chain_names_its_source_and_its_steps(work, storage):
    first = work()
    made = work(processors=[("smooth", {"fwhm": 6}), plus_one])
    assert made.asset.chain[0] == first.asset.sha256
    assert [step.split()[0] for step in made.asset.chain[1:]] == ["smooth", f"{__name__}.plus_one"]
    assert made.asset.key.startswith("collection_1/image_1001_proc-")


def test_resampling_from_a_stored_original_needs_no_download(work, storage, record, server):
    asset = work().asset
    server.clear()
    outcome = work(Task(record, {"original": asset}, previous=True), processors=["resample-3mm"])
    assert (server.requests, outcome.nbytes) == ([], 0)
    assert sorted(sidecar(storage)["nvframe"]["assets"]) == ["original", "resampled"]


# Annotating


class Notes:
    name = "notes"
    needs_network = False
    needs_image = True
    sidecar_name = "notes_{id}.json"
    metadata_key = "notes"

    def __init__(self, answer=None):
        self.answer = answer
        self.asked = []

    def annotate(self, record, img=None):
        self.asked.append(img)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer or {"voxels": int(np.prod(img.shape))}

    def collate(self, annotations):
        return {}


def test_words_are_stored_and_pointed_at(work, storage):
    outcome = work(annotators=["neurosynth-words"])
    assert outcome.annotations["neurosynth-words"]["data"]["values"]
    assert json.loads((storage.root / WORDS).read_bytes()) == outcome.annotations["neurosynth-words"]
    assert sidecar(storage)["ns_words_relative_path"] == WORDS


class Service(Notes):
    """An annotator that asks the network; `beside` is set while it is asked."""

    name = "service"
    needs_network, needs_image = True, False

    def __init__(self, answer=None):
        super().__init__(answer or {"word": 1.0})
        self.beside = threading.Event()

    def annotate(self, record, img=None):
        self.beside.set()
        return super().annotate(record, img)


def test_the_network_is_asked_for_annotations_while_the_image_is_on_its_way(work):
    service = Service()

    def waits(img, record):
        assert service.beside.wait(30)
        return img

    outcome = work(processors=[waits], annotators=[service])
    assert outcome.failures == ()
    assert outcome.annotations == {"service": {"word": 1.0}}
    assert service.asked == [None]


def test_what_came_for_an_image_that_was_lost_is_not_stored(work, storage, server):
    server.faults.add("html", "/media/", times=None)
    outcome = work(annotators=[Service()])
    assert outcome.asset is None
    assert files(storage) == []


def test_an_image_at_hand_is_annotated_all_the_same(work, record):
    asset = work().asset
    service = Service()
    outcome = work(Task(record, {"original": asset}, previous=True), annotators=[service])
    assert outcome.annotations == {"service": {"word": 1.0}}
    assert service.asked == [None]


@pytest.mark.parametrize("error", [AnnotationError("nothing known"), SystemExit("a plugin of scripts")])
def test_a_service_that_fails_beside_the_image_keeps_it(work, error):
    outcome = work(annotators=[Service(error)])
    assert outcome.asset is not None
    (failure,) = outcome.failures
    assert (failure.stage, failure.plugin, failure.message) == ("annotate", "service", str(error))


@pytest.mark.parametrize("how", ["status", "break", "empty"])
def test_an_annotator_that_fails_keeps_the_image(work, storage, server, how):
    server.faults.add("words_down", times=None, how=how)
    outcome = work(annotators=["neurosynth-words", Notes()])
    assert outcome.asset is not None
    assert outcome.annotations["neurosynth-words"] is None
    assert outcome.annotations["notes"]
    (failure,) = outcome.failures
    assert (failure.stage, failure.plugin) == ("annotate", "neurosynth-words")
    assert WORDS not in files(storage)
    assert SIDECAR in files(storage)


@pytest.mark.parametrize("answer", [AnnotationError("nothing known"), RuntimeError("a bug"), {"a": object()}])
def test_whatever_an_annotator_does_the_image_stays(work, storage, answer):
    outcome = work(annotators=[Notes(answer)])
    assert outcome.asset is not None
    assert outcome.annotations == {"notes": None}
    assert [failure.stage for failure in outcome.failures] == ["annotate"]
    assert files(storage) == [ORIGINAL, SIDECAR]


def test_an_annotator_sees_the_processed_image(work):
    notes = Notes()

    def crop(img, record):
        return img.slicer[:2]

    work(processors=[crop], annotators=[notes])
    assert notes.asked[0].shape[0] == 2


def test_an_annotator_reads_a_stored_image(work, record):
    asset, notes = work().asset, Notes()
    outcome = work(Task(record, {"original": asset}, previous=True), annotators=[notes])
    assert outcome.annotations["notes"] == {"voxels": int(np.prod(asset.shape))}


def test_a_stored_annotation_is_not_asked_for_again(work, record, server):
    asset = work(annotators=["neurosynth-words"]).asset
    server.clear()
    task = Task(record, {"original": asset}, frozenset(["neurosynth-words"]), previous=True)
    for offline in (True, False):
        outcome = work(task, annotators=["neurosynth-words"], offline=offline)
        assert outcome.annotations["neurosynth-words"]["data"]
    assert server.requests == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_a_damaged_annotation_is_asked_for_again_unless_offline(work, storage, record, damage):
    asset = work(annotators=["neurosynth-words"]).asset
    (storage.root / WORDS).write_bytes(damage)
    task = Task(record, {"original": asset}, frozenset(["neurosynth-words"]), previous=True)
    offline = work(task, annotators=["neurosynth-words"], offline=True)
    assert offline.annotations == {"neurosynth-words": None}
    assert (storage.root / WORDS).read_bytes() == damage
    online = work(task, annotators=["neurosynth-words"])
    assert online.failures == ()
    assert online.annotations["neurosynth-words"]["data"]


def test_offline_an_annotator_of_the_network_rests(work, record, server):
    asset = work().asset
    server.clear()
    outcome = work(
        Task(record, {"original": asset}, previous=True), annotators=["neurosynth-words"], offline=True
    )
    assert outcome.asset == asset
    assert "the network is off" in outcome.failures[0].message
    assert server.requests == []


# Travelling


def test_a_task_and_its_outcome_travel(work, record):
    assert pickle.loads(pickle.dumps(Task(record, previous=True))) == Task(record, previous=True)
    outcome = work(annotators=["neurosynth-words"])
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_a_worker_says_nothing(work, capfd, server, recwarn):
    server.faults.add("corrupt", "/media/", times=None)
    work(annotators=["neurosynth-words"], processors=["resample-3mm"])
    server.clear()
    work(annotators=["neurosynth-words"], processors=["resample-3mm"])
    assert capfd.readouterr() == ("", "")
    assert [str(each.message) for each in recwarn] == []


def test_the_roles_of_a_sidecar_are_those_of_the_layout():
    assert layout.asset_key("1", "1001", "original") == ORIGINAL
    assert layout.asset_key("1", "1001", layout.RESAMPLED) == RESAMPLED

"""The index of parsed sidecars: what it knows counts only while the listing says that nothing changed."""

import copy
import json
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nvframe
from nvframe.cache import layout
from nvframe.cache.index import BESIDE, Index, is_settled
from nvframe.cache.index_rows import Block
from nvframe.cache.listing import Cache, describe
from nvframe.cache.stored_image import Fields, Template, as_asset, as_assets, as_dict
from nvframe.filters import matches
from nvframe.imaging.nifti import encode
from nvframe.storage.local import LocalStorage
from nvframe.storage.remote import FsspecStorage
from nvframe.testing import NeuroVaultServer
from nvframe.types import Asset, Entry


def brain(value=1.0):
    import nibabel
    import numpy as np

    return encode(nibabel.Nifti1Image(np.full((3, 4, 5), value, "float32"), np.diag([3.0, 3, 3, 1])))


class Counting(LocalStorage):
    """Counts what is read."""

    def __init__(self, url):
        super().__init__(url)
        self.reads = []

    def read(self, key):
        if key != BESIDE:
            self.reads.append(key)
        return super().read(key)


class Dataset:
    """A dataset whose files are an hour old, unless a test says otherwise."""

    def __init__(self, root):
        self.root = Path(root)
        self.storage = LocalStorage(str(root))

    def put(self, key, data, age=3600.0):
        self.storage.put(key, data)
        self.age(key, age)

    def age(self, key, seconds):
        moment = time.time() - seconds
        os.utime(self.root / key, (moment, moment))

    def sidecar(self, image_id, collection_id="1", age=3600.0, assets=None, **metadata):
        body = layout.sidecar_json(metadata, assets or {})
        self.put(layout.sidecar_key(collection_id, image_id), body, age)

    def image(self, image_id, collection_id="1", data=None, **metadata):
        key = layout.asset_key(collection_id, image_id, "original")
        self.put(key, data or brain())
        asset = describe(key, data or brain())
        self.sidecar(image_id, collection_id, assets={"original": asset}, **metadata)

    def visit(self, storage=None):
        """Return what a call finds, and what it had to read for it."""
        storage = storage or Counting(str(self.root))
        cache = Cache(storage)
        found = {
            collection_id: (
                cache.collection(collection_id),
                [(s.id, as_dict(s.metadata), as_assets(s.assets)) for s in cache.images(collection_id)],
            )
            for collection_id in cache.collection_ids()
        }
        cache.close()
        return found, getattr(storage, "reads", None)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    made = Dataset(tmp_path / "neurovault")
    made.put("collection_1/collection_metadata.json", b'{"id": 1, "name": "n/a"}')
    for image_id in ("10", "9"):
        made.image(image_id, id=int(image_id), map_type="T map", modality="None / Other")
    return made


@pytest.fixture
def index_file(tmp_path):
    def index_file():
        (path,) = (tmp_path / "user-cache/nvframe/index").glob("*.sqlite")
        return path

    return index_file


SIDECARS = {"collection_1/image_9_metadata.json", "collection_1/image_10_metadata.json"}
READ = SIDECARS | {"collection_1/collection_metadata.json"}


def test_a_second_visit_opens_nothing_and_finds_the_same(dataset):
    first, read = dataset.visit()
    assert set(read) == READ
    second, read = dataset.visit()
    assert read == []
    assert second == first
    metadata, images = second["1"]
    assert metadata == {"id": 1, "name": None}
    assert [image_id for image_id, _, _ in images] == ["9", "10"]
    paths = layout.image_paths("1", "9")
    assert images[0][1] == {"id": 9, "map_type": "T map", "modality": None, **paths}
    assert images[0][2]["original"] == describe("collection_1/image_9.nii.gz", brain())
    assert list(images[0][1]) == list(first["1"][1][0][1]), "fields keep their order"


# Freshness


def test_an_edit_in_place_of_the_same_size_is_seen(dataset):
    dataset.visit()
    path = dataset.root / "collection_1/image_9_metadata.json"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"T map", b"Z map"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    found, read = dataset.visit()
    assert read == ["collection_1/image_9_metadata.json"], "mtime lies, ctime does not"
    assert found["1"][1][0][1]["map_type"] == "Z map"


def test_a_replaced_file_is_seen(dataset):
    dataset.visit()
    dataset.image("9", id=9, map_type="F map")
    found, read = dataset.visit()
    assert read == ["collection_1/image_9_metadata.json"]
    assert found["1"][1][0][1]["map_type"] == "F map"
    assert dataset.visit()[1] == []


def test_a_touched_file_is_read_once_more(dataset):
    before, _ = dataset.visit()
    dataset.age("collection_1/image_9_metadata.json", 60)
    assert dataset.visit() == (before, ["collection_1/image_9_metadata.json"])
    assert dataset.visit() == (before, [])


def test_a_young_file_is_read_each_time(dataset):
    dataset.visit()
    dataset.sidecar("9", age=0.5, id=9)
    for _ in range(2):
        assert dataset.visit()[1] == ["collection_1/image_9_metadata.json"]
    dataset.age("collection_1/image_9_metadata.json", 3)
    assert len(dataset.visit()[1]) == 1
    assert dataset.visit()[1] == []


def test_a_file_of_the_future_is_read_each_time(dataset):
    dataset.age("collection_1/image_9_metadata.json", -3600)
    dataset.visit()
    assert dataset.visit()[1] == ["collection_1/image_9_metadata.json"]


def test_what_is_new_is_added_and_what_is_gone_is_forgotten(dataset):
    dataset.visit()
    dataset.image("11", id=11)
    (dataset.root / "collection_1/image_9_metadata.json").unlink()
    found, read = dataset.visit()
    assert read == ["collection_1/image_11_metadata.json"]
    assert [image[0] for image in found["1"][1]] == ["10", "11"]
    assert dataset.visit() == (found, [])


def test_assets_come_from_the_listing(dataset):
    dataset.visit()
    (dataset.root / "collection_1/image_9.nii.gz").unlink()
    dataset.put("collection_1/image_10.nii.gz", brain()[:-1])
    found, read = dataset.visit()
    assert read == []
    assert [assets for _, _, assets in found["1"][1]] == [{}, {}]


def test_a_damaged_sidecar_is_one_failure_each_time(dataset):
    dataset.put("collection_1/image_9_metadata.json", b"{")
    for _ in range(2):
        cache = Cache(dataset.storage)
        assert [stored.id for stored in cache.images("1")] == ["10"]
        cache.close()
        assert [failure.image_id for failure in cache.failures] == ["9"]


@pytest.mark.parametrize(
    ("version", "settled"),
    [
        (None, False),
        ('"d41d8cd98f00b204e9800998ecf8427e"', True),
        ("2020-01-01 00:00:00+00:00", True),
        ("2020-01-01T00:00:00", True),
        ("2999-01-01 00:00:00", False),
        ("1577836800.5", True),
        ("32503680000.0", False),
        ("1577836800000000000-1577836800000000000-7", True),
    ],
)
def test_only_versions_that_are_times_have_an_age(version, settled):
    assert is_settled(Entry("a", 1, version)) is settled


class Versionless(Counting):
    def list(self, prefix=""):
        return (entry._replace(version=None) for entry in super().list(prefix))


def test_without_versions_there_is_no_index(dataset, tmp_path):
    for _ in range(2):
        found, read = dataset.visit(Versionless(str(dataset.root)))
        assert set(read) == READ
    assert found == dataset.visit()[0]
    dataset.visit(Versionless(str(dataset.root)))
    assert set(dataset.visit(Versionless(str(dataset.root)))[1]) == READ, "not even one that is there"


# What callers do with the answers stays with them


def test_what_a_caller_changes_reaches_nobody_else(dataset):
    dataset.sidecar("12", id=12, tags=["a", {"b": [1]}], map_type="T map")
    dataset.put("collection_1/collection_metadata.json", b'{"id": 1, "people": ["x"]}')

    def spoil(metadata):
        metadata.get("tags", []).append("spoilt")
        metadata.get("people", []).append("spoilt")
        metadata["id"] = "spoilt"

    expected = None
    for _ in range(3):
        cache = Cache(dataset.storage)
        found = [cache.collection("1"), *(as_dict(stored.metadata) for stored in cache.images("1"))]
        expected = expected or copy.deepcopy(found)
        assert found == expected
        for metadata in found:
            spoil(metadata)
        dataset.image("13", id=13)  # so that what is kept is written again, beside what was spoilt
        (dataset.root / "collection_1/image_13_metadata.json").unlink()
        cache.close()


def test_frames_share_nothing(dataset):
    call = {"data_dir": dataset.root.parent, "mode": "offline", "image_terms": {}, "collection_terms": {}}
    first, second = nvframe.fetch(**call), nvframe.fetch(**call)
    expected = copy.deepcopy(second.images_meta)
    for metadata in (*first.images_meta, *first.collections_meta):
        metadata.clear()
    assert second.images_meta == nvframe.fetch(**call).images_meta == expected
    assert all(second.collections_meta)


def test_values_that_json_has_not_are_read_each_time(dataset):
    nan = b'{"id": 9, "score": NaN, "big": 123456789012345678901234567890}'
    dataset.put("collection_1/image_9_metadata.json", nan)
    for _ in range(2):
        found, read = dataset.visit()
        metadata = found["1"][1][0][1]
        assert metadata["score"] != metadata["score"]
        assert metadata["big"] == 123456789012345678901234567890
    assert read == ["collection_1/image_9_metadata.json"]


def test_values_keep_their_types(dataset):
    for image_id, value in enumerate((1, 1.0, True, "1", [1], None), start=20):
        dataset.sidecar(str(image_id), id=image_id, value=value)
    first, _ = dataset.visit()
    second, read = dataset.visit()
    assert read == []
    assert repr(first) == repr(second)


values = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=3)
values |= st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.integers(0, 9), max_size=2)
sidecars = st.dictionaries(st.sampled_from(["a", "b", "c", "relative_path"]), values, max_size=4)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(sidecars, min_size=1, max_size=5))
def test_a_block_returns_what_it_was_given(metadata):
    entries = {
        str(n): Entry(f"collection_1/image_{n}_metadata.json", n, f"v{n}") for n in range(len(metadata))
    }
    listed = {entry.key: entry for entry in entries.values()}
    block = Block()
    for image_id, entry in entries.items():
        block.note_image(image_id, entry, metadata[int(image_id)], {})
    for _ in range(2):
        block = Block(block.to_bytes(listed, entries))
        for image_id, entry in entries.items():
            fields, assets = block.image(image_id, entry, listed)
            assert repr(dict(fields)) == repr(fields) == repr(metadata[int(image_id)])
            assert dict(assets) == {}


def test_assets_come_back_as_they_were():
    sidecar = Entry("collection_1/image_1_metadata.json", 5, "v")
    chain = ("sha-of-source", "resample|1.0", "smooth|1.0")
    made = Asset(
        "collection_1/image_1_proc.nii.gz", 7, (2, 2, 2), ((1.5, 0.0, 0.0, 0.0),), "float32", "sha", chain
    )
    assets = {
        "proc": replace(made, metadata={"map_type": ["Z map"]}),
        "original": replace(made, key="collection_1/image_1.nii.gz", chain=()),
    }
    listed = {asset.key: Entry(asset.key, 7, "v") for asset in assets.values()} | {sidecar.key: sidecar}
    block = Block()
    block.note_image("1", sidecar, {"id": 1}, assets)
    for _ in range(2):
        block = Block(block.to_bytes(listed, {"1": sidecar}))
    _, found = block.image("1", sidecar, listed)
    assert as_assets(found) == assets
    assert list(found) == ["proc", "original"]
    assert {role: (asset.key, asset.metadata) for role, asset in found.items()} == {
        role: (asset.key, asset.metadata) for role, asset in assets.items()
    }
    for asset in (found["proc"], as_asset(found["proc"])):
        asset.metadata["map_type"].append("spoilt")
    assert as_asset(found["proc"]) == as_asset(block.image("1", sidecar, listed)[1]["proc"]) == assets["proc"]


def test_an_affine_of_nan_is_not_kept():
    entry = Entry("collection_1/image_1.nii.gz", 7, "v")
    block = Block()
    asset = Asset(entry.key, 7, (2, 2, 2), ((float("nan"),),), "float32", "sha")
    block.note_file(entry, asset)
    assert Block(block.to_bytes({entry.key: entry}, {})).file(entry) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"images": 3}', b'{"images": [[]]}', b'{"forms": [[1]]}']
)
def test_a_body_that_cannot_be_read_knows_nothing(body):
    entry = Entry("collection_1/image_1_metadata.json", 5, "v")
    block = Block(body)
    assert block.image("1", entry, {}) is None
    assert block.collection(entry) is None
    block.note_image("1", entry, {"id": 1}, {})
    again = Block(block.to_bytes({}, {"1": entry}))
    assert again.image("1", entry, {})[0] == {"id": 1}


def test_fields_match_as_a_dict_would():
    class Odd:
        def __ne__(self, other):
            raise RuntimeError(f"no comparison with {other}")

    fields = Fields(Template({"a": 1, "b": None, "c": 3}, ["b"]), {"b": 2})
    for terms, agree in [
        ({}, True), ({"a": 1}, True), ({"b": 2, "c": 3}, True), ({"x": None}, True), ({"x": 1}, False),
        ({"a": 2}, False), ({"b": None}, False), ({"a": 1, "b": 3}, False), ({"b": 2, "a": 0}, False),
    ]:  # fmt: skip
        assert fields.match(terms) is matches(terms, dict(fields)) is agree, terms
    assert not fields.match({"b": 3, "a": Odd()})  # what comes first decides, and nothing is raised
    with pytest.raises(RuntimeError, match="no comparison with 1"):
        fields.match({"b": 2, "a": Odd()})


def test_fields_are_a_mapping():
    fields = Fields(
        Template({"a": 1, "b": None, "relative_path": None}, ["b", "relative_path"]),
        {"b": 2, "relative_path": "x"},
    )
    assert (fields["a"], fields["b"], len(fields), list(fields)) == (1, 2, 3, ["a", "b", "relative_path"])
    assert fields == {"a": 1, "b": 2, "relative_path": "x"}
    assert copy.deepcopy(fields) == fields
    with pytest.raises(KeyError):
        fields["c"]


# Files that no sidecar describes


def test_an_unrecorded_file_is_described_once(dataset):
    dataset.put("collection_1/image_30.nii.gz", brain(2.0))
    dataset.put("collection_1/image_30_metadata.json", b'{"id": 30}')

    def ask():
        storage = Counting(str(dataset.root))
        cache = Cache(storage)
        asset = cache.asset(cache.image("1", "30"), "original")
        cache.close()
        return asset, "collection_1/image_30.nii.gz" in storage.reads

    expected = describe("collection_1/image_30.nii.gz", brain(2.0))
    assert ask() == (expected, True)
    assert ask() == (expected, False)
    dataset.put("collection_1/image_30.nii.gz", brain(4.0))
    assert ask() == (describe("collection_1/image_30.nii.gz", brain(4.0)), True)
    dataset.put("collection_1/image_30.nii.gz", b"rubbish")
    assert ask() == ask() == (None, True)


# Damage


def garbage(path):
    path.write_bytes(b"no database at all" * 100)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def other_schema(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.execute("DROP TABLE bodies")
        connection.execute("CREATE TABLE bodies (something_else)")
    connection.close()


def flipped(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE bodies SET body = replace(body, 'T map', 'X map')")
    connection.close()


@pytest.mark.parametrize("damage", [garbage, truncated, empty, other_schema, flipped])
def test_a_damaged_index_is_made_anew(dataset, index_file, damage):
    expected, _ = dataset.visit()
    damage(index_file())
    found, read = dataset.visit()
    assert found == expected
    assert set(read) == READ
    assert dataset.visit() == (expected, [])


def test_a_locked_index_is_left_alone(dataset, index_file, caplog):
    expected, _ = dataset.visit()
    dataset.image("11", id=11)
    locker = sqlite3.connect(index_file(), isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    with caplog.at_level("DEBUG", "nvframe.cache.index"):
        found, read = dataset.visit()
    assert set(read) == READ | {"collection_1/image_11_metadata.json"}
    assert len(found["1"][1]) == len(expected["1"][1]) + 1
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert "locked" in caplog.text
    locker.execute("ROLLBACK")
    locker.close()
    assert dataset.visit()[1] == ["collection_1/image_11_metadata.json"]


@pytest.mark.parametrize("place", ["a-file", "a-file/below"])
def test_a_cache_directory_that_cannot_be_made_is_done_without(dataset, tmp_path, monkeypatch, place):
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    for _ in range(2):
        assert set(dataset.visit()[1]) == READ


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_directory_is_done_without(dataset, tmp_path):
    (tmp_path / "user-cache").mkdir(mode=0o500)
    for _ in range(2):
        assert set(dataset.visit()[1]) == READ


def test_off_writes_nothing(dataset, tmp_path):
    with nvframe.set_options(index="off"):
        for _ in range(2):
            assert set(dataset.visit()[1]) == READ
    assert not (tmp_path / "user-cache").exists()


def test_an_unknown_place_is_refused():
    with (
        pytest.raises(ValueError, match="'cache', 'beside' or 'off', got 'here'"),
        nvframe.set_options(index="here"),
    ):
        pass


def test_vanished_collections_are_forgotten(dataset, index_file):
    dataset.image("50", "5", id=50)
    dataset.visit()
    assert Index(dataset.storage, "cache").collection_ids() == {"1", "5"}
    for path in (dataset.root / "collection_5").iterdir():
        path.unlink()
    cache = Cache(dataset.storage)
    list(cache.images("1"))
    cache.close()
    assert Index(dataset.storage, "cache").collection_ids() == {"1", "5"}, (
        "one collection says nothing of others"
    )
    dataset.visit()
    assert Index(dataset.storage, "cache").collection_ids() == {"1"}


def test_many_at_once(dataset):
    for n in range(60):
        dataset.sidecar(str(100 + n), str(n % 5 + 1), id=100 + n, name=f"image {n}")
    expected, _ = dataset.visit(LocalStorage(str(dataset.root)))
    script = (
        "import sys; from nvframe.cache.listing import Cache; from nvframe.storage.local import LocalStorage\n"
        "for _ in range(5):\n"
        "    cache = Cache(LocalStorage(sys.argv[1]))\n"
        "    n = sum(1 for c in cache.collection_ids() for _ in cache.images(c)); cache.close()\n"
        "    assert n == 62 and not cache.failures, (n, cache.failures)\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", script, str(dataset.root)]) for _ in range(3)]

    def visit(n):
        os.utime(dataset.root / f"collection_1/image_{100 + 5 * n}_metadata.json", (n, n))
        return dataset.visit(LocalStorage(str(dataset.root)))[0]

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(visit, range(12)))
    assert [other.wait() for other in others] == [0, 0, 0]
    dataset.visit()
    assert dataset.visit() == (expected, [])


# Beside the data, and elsewhere


def test_an_index_beside_the_data_serves_who_comes_next(dataset, tmp_path, monkeypatch):
    with nvframe.set_options(index="beside"):
        expected, read = dataset.visit()
        assert set(read) == READ
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another user's"))
        assert dataset.visit() == (expected, [])
        before = (dataset.root / BESIDE).stat()
        dataset.image("11", id=11)
        assert dataset.visit()[1] == ["collection_1/image_11_metadata.json"]
        assert dataset.visit()[1] == []
    assert (dataset.root / BESIDE).stat().st_ino != before.st_ino, "replaced as a whole"
    assert {path.name for path in dataset.root.iterdir()} <= {BESIDE, ".nvframe-staging", "collection_1"}
    assert not (tmp_path / "user-cache").exists()
    assert Cache(dataset.storage).collection_ids() == ["1"]


@pytest.mark.parametrize("damage", [garbage, truncated, empty, other_schema, flipped])
def test_a_damaged_index_beside_the_data_is_made_anew(dataset, damage):
    with nvframe.set_options(index="beside"):
        expected, _ = dataset.visit()
        damage(dataset.root / BESIDE)
        assert set(dataset.visit()[1]) == READ
        assert dataset.visit() == (expected, [])


def test_a_reader_does_not_write_beside_the_data(dataset):
    class ReadOnly(Counting):
        writable = False

    with nvframe.set_options(index="beside"):
        assert set(dataset.visit(ReadOnly(str(dataset.root)))[1]) == READ
        assert not (dataset.root / BESIDE).exists()
        dataset.visit()
        assert dataset.visit(ReadOnly(str(dataset.root)))[1] == []


def remote(name, **files):
    storage = FsspecStorage(f"memory://index-{name}")
    for image_id in ("1", "2"):
        storage.put(f"collection_1/image_{image_id}_metadata.json", b'{"id": %s}' % image_id.encode())
    for path, data in storage.fs.store.items():
        if f"index-{name}" in path:
            data.created = data.created.replace(year=2020)
    return storage


@pytest.mark.parametrize("place", ["cache", "beside"])
def test_remote_roots_have_an_index_too(place, dataset, monkeypatch):
    storage = remote(place)
    with nvframe.set_options(index=place):
        cache = Cache(storage)
        expected = [stored.metadata for stored in cache.images("1")]
        cache.close()
        reads = []
        read = storage.read
        monkeypatch.setattr(storage, "read", lambda key: reads.append(key) or read(key))
        cache = Cache(storage)
        assert [stored.metadata for stored in cache.images("1")] == expected
        assert [metadata["id"] for metadata in expected] == [1, 2]
        cache.close()
    assert reads == ([BESIDE] if place == "beside" else [])
    assert (BESIDE in {entry.key for entry in storage.list()}) is (place == "beside")


# Whole calls


def test_fetches_agree_with_and_without(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    with NeuroVaultServer.synthetic() as server:
        monkeypatch.setenv("NVFRAME_NEUROVAULT_URL", server.url)
        nvframe.fetch_neurovault(data_dir=tmp_path, max_images=None, resample=True, verbose=0)
        nvframe.fetch_neurovault(data_dir=tmp_path, max_images=None, verbose=0)
    for path in (tmp_path / "neurovault").rglob("*"):
        os.utime(path, (1, 1))
    calls = [
        {},
        {"resample": True},
        {"max_images": 2},
        {"image_terms": {"map_type": "Z map"}},
        {"image_filter": lambda meta: isinstance(meta, dict) and meta["id"] % 2, "image_terms": {}},
        {"image_ids": [1003, 1001]},
        {
            "image_ids": [1003, 1001],
            "image_filter": lambda meta: isinstance(meta, dict) and meta["id"] == 1001,
        },
        {"collection_ids": [2]},
    ]
    for call in calls:
        results = []
        for place in ("off", "cache", "cache", "beside", "beside"):
            with nvframe.set_options(index=place):
                bunch = nvframe.fetch_neurovault(data_dir=tmp_path, mode="offline", verbose=0, **call)
            results.append(json.dumps(dict(bunch)))
        assert len(set(results)) == 1
        assert json.loads(results[0])["images"]


def test_frames_agree_with_and_without(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    with NeuroVaultServer.synthetic() as server:
        monkeypatch.setenv("NVFRAME_NEUROVAULT_URL", server.url)
        fetched = nvframe.fetch(data_dir=tmp_path)
        for path in (tmp_path / "neurovault").rglob("*"):
            os.utime(path, (1, 1))
        for place in ("off", "cache", "cache"):
            with nvframe.set_options(index=place):
                stored = nvframe.fetch(data_dir=tmp_path, mode="offline")
                found = nvframe.search(data_dir=tmp_path, mode="offline")
                again = found.fetch(data_dir=tmp_path)
            assert {type(asset) for asset in stored.assets} == {Asset}
            assert stored.assets == again.assets == fetched.assets
            assert stored.images_meta == again.images_meta == fetched.images_meta
            assert stored.load(0).shape == stored.assets[0].shape
            assert (found.images, found.assets, again.report.nbytes) == ([], [], 0)
            assert repr(stored) == f"<nvframe.Frame: {len(fetched)} images of neurovault, 0 failures>"
            assert "not fetched" in repr(found)


def test_importing_loads_no_sqlite():
    script = "import nvframe, nvframe.cache.index, sys; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

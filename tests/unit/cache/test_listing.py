"""What storage holds, as nilearn left it, as we left it, and as accidents left it."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from nvframe.cache import layout
from nvframe.cache.listing import Cache, describe, in_order
from nvframe.errors import IntegrityError
from nvframe.imaging.nifti import encode
from nvframe.storage.local import LocalStorage
from nvframe.storage.remote import FsspecStorage
from nvframe.testing import NeuroVaultServer


def brain(value=1.0, shape=(3, 4, 5)):
    import nibabel

    return encode(nibabel.Nifti1Image(np.full(shape, value, "float32"), np.diag([3.0, 3, 3, 1])))


class Dataset:
    """A dataset that a test writes by hand."""

    def __init__(self, root):
        self.root = Path(root)
        self.storage = LocalStorage(str(root))

    @property
    def cache(self):
        return Cache(self.storage)

    def collection(self, collection_id, **metadata):
        self.storage.put(
            f"collection_{collection_id}/collection_metadata.json", json.dumps(metadata).encode()
        )

    def image(self, collection_id, image_id, files=None, recorded=True, **metadata):
        assets = {}
        for role, data in files or [("original", brain())]:
            key = layout.asset_key(collection_id, image_id, role)
            self.storage.put(key, data)
            if recorded:
                assets[role] = describe(key, data)
        body = layout.sidecar_json(metadata, assets) if recorded else json.dumps(metadata).encode()
        self.storage.put(layout.sidecar_key(collection_id, image_id), body)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path / "neurovault")


def test_an_empty_place_holds_nothing(dataset):
    cache = dataset.cache
    assert cache.collection_ids() == []
    assert (cache.find("1"), cache.image("1", "1"), cache.collection("1")) == (None, None, None)
    assert list(cache.images("1")) == []
    assert cache.failures == []


def test_what_was_stored_is_found(dataset):
    dataset.collection("1", id=1, name="n/a")
    dataset.image("1", "10", id=10, modality="None / Other", map_type="T map")
    cache = dataset.cache
    assert cache.collection("1") == {"id": 1, "name": None}
    stored = cache.find("10")
    assert (stored.id, stored.collection_id) == ("10", "1")
    paths = layout.image_paths("1", "10")
    assert stored.metadata == {"id": 10, "modality": None, "map_type": "T map", **paths}
    asset = cache.asset(stored, "original")
    assert asset is stored.assets["original"]
    assert (asset.shape, asset.dtype, asset.size) == ((3, 4, 5), "float32", len(brain()))


def test_ids_come_in_numeric_order(dataset):
    for collection_id in ("10", "9", "x", "100"):
        dataset.image(collection_id, "1")
    for image_id in ("100", "20", "3"):
        dataset.image("9", image_id)
    cache = dataset.cache
    assert cache.collection_ids() == ["9", "10", "100", "x"]
    assert [stored.id for stored in cache.images("9")] == ["1", "3", "20", "100"]
    assert in_order(["b", "10", "9", "a"]) == ["9", "10", "a", "b"]


class Asked:
    """Counts what a storage is asked."""

    asked: list

    def list(self, prefix=""):
        self.asked.append(("list", prefix))
        return super().list(prefix)

    def read(self, key):
        self.asked.append(("read", key))
        return super().read(key)


class Counting(Asked, LocalStorage):
    pass


def test_each_collection_is_listed_once(dataset):
    dataset.collection("1", id=1)
    dataset.image("1", "10")
    dataset.image("2", "20")
    storage = Counting(str(dataset.root))
    storage.asked = []
    cache = Cache(storage)
    for _ in range(3):
        cache.image("1", "10")
        cache.collection("1")
        cache.has_annotation("1", "10", "words_{id}.json")
        list(cache.images("2"))
    assert [prefix for verb, prefix in storage.asked if verb == "list"] == ["collection_1", "collection_2"]
    storage.asked.clear()
    cache.collection_ids()
    cache.find("20")
    cache.entries("3")
    assert [
        prefix for verb, prefix in storage.asked if verb == "list"
    ] == []  # but for the names below the root


def test_without_directories_the_root_is_listed_once():
    class Remote(Asked, FsspecStorage):
        pass

    storage = Remote("memory://listed-once")
    for image_id, collection_id in (("10", "1"), ("20", "2")):
        storage.put(layout.sidecar_key(collection_id, image_id), b"{}")
    storage.asked = []
    cache = Cache(storage)
    assert cache.collection_ids() == ["1", "2"]
    assert cache.find("20").collection_id == "2"
    assert cache.find("30") is None
    assert cache.entries("3") == {}
    assert [prefix for verb, prefix in storage.asked if verb == "list"] == [""]


def test_annotations_are_seen(dataset):
    dataset.storage.put("collection_1/words_10.json", b"{}")
    assert dataset.cache.has_annotation("1", "10", "words_{id}.json")
    assert not dataset.cache.has_annotation("1", "11", "words_{id}.json")


@pytest.mark.parametrize(
    "junk",
    [
        "collection_1 (copy)/image_10_metadata.json",
        "collection_1/image_10 (copy)_metadata.json",
        "collection_ü/image_1_metadata.json",
        "collection_/image_1_metadata.json",
        "collection_1/.DS_Store",
        "README.md",
        "collection_7",
        "other/image_1_metadata.json",
    ],
)
def test_what_else_lies_there_is_left_alone(dataset, junk):
    dataset.collection("1", id=1)
    dataset.image("1", "10")
    dataset.storage.put(junk, b"{}")
    cache = dataset.cache
    assert cache.collection_ids() == ["1"]
    assert [stored.id for stored in cache.images("1")] == ["10"]
    assert cache.find("11") is None
    assert cache.failures == []


# Damage


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id": 1'])
def test_a_damaged_sidecar_is_one_failure(dataset, damage):
    for image_id in ("10", "11"):
        dataset.image("1", image_id)
    dataset.storage.put("collection_1/image_10_metadata.json", damage)
    cache = dataset.cache
    for _ in range(2):
        assert [stored.id for stored in cache.images("1")] == ["11"]
        assert cache.find("10") is None
    (failure,) = cache.failures
    assert (failure.image_id, failure.collection_id, failure.stage) == ("10", "1", "list")
    assert "image_10_metadata.json is damaged" in failure.message


def test_damaged_collection_metadata_is_one_failure(dataset):
    dataset.storage.put("collection_1/collection_metadata.json", b"")
    cache = dataset.cache
    assert cache.collection("1") is cache.collection("1") is None
    (failure,) = cache.failures
    assert (failure.image_id, failure.collection_id) == (None, "1")


def test_a_failure_tells_no_credentials():
    storage = FsspecStorage("memory://me:pw0rd@box/damaged")
    storage.put("collection_1/image_1_metadata.json", b"")
    cache = Cache(storage)
    assert list(cache.images("1")) == []
    assert "pw0rd" not in repr(cache.failures)


def test_a_file_of_another_size_is_not_what_was_recorded(dataset):
    dataset.image("1", "10")
    replaced = brain(2.0, (4, 4, 4))
    dataset.storage.put("collection_1/image_10.nii.gz", replaced)
    cache = dataset.cache
    stored = cache.image("1", "10")
    assert stored.assets == {}
    asset = cache.asset(stored, "original")
    assert asset == describe("collection_1/image_10.nii.gz", replaced), "the replacement is what counts now"


@pytest.mark.parametrize("rubbish", [b"", b"<html>502</html>", brain()[:-20], b"\x1f\x8b rubbish"])
@pytest.mark.parametrize("role", ["original", "resampled"])
def test_rubbish_in_an_old_cache_is_not_served(dataset, rubbish, role):
    dataset.image("1", "10", [(role, rubbish)], recorded=False, id=10)
    cache = dataset.cache
    stored = cache.image("1", "10")
    assert cache.asset(stored, role) is None
    assert cache.asset(stored, role) is None
    (failure,) = cache.failures
    assert failure.error_type == "IntegrityError"


def test_only_nilearns_names_are_described(dataset):
    dataset.image("1", "10", [("proc-01234567", brain())], recorded=False)
    cache = dataset.cache
    assert cache.asset(cache.image("1", "10"), "proc-01234567") is None
    assert cache.asset(cache.image("1", "10"), "original") is None
    assert cache.failures == []


def test_a_recorded_key_outside_the_collection_is_not_followed(dataset, tmp_path):
    (tmp_path / "secret.nii.gz").write_bytes(brain())
    good = describe("x", brain()).to_json()
    for key in ("../secret.nii.gz", str(tmp_path / "secret.nii.gz"), "collection_2/image_1.nii.gz"):
        own = {"schema": 1, "assets": {"original": {**good, "key": key}}}
        dataset.storage.put("collection_1/image_10_metadata.json", json.dumps({"nvframe": own}).encode())
        cache = dataset.cache
        assert cache.image("1", "10").assets == {}


def test_describing_rubbish_raises():
    with pytest.raises(IntegrityError):
        describe("key", b"rubbish")


# nilearn's own cache


@pytest.fixture
def nilearns(peer, tmp_path):
    """A cache that nilearn filled, visited twice, and that was then moved elsewhere."""
    with NeuroVaultServer.synthetic(2, 2) as server:
        neurovault = peer(server)
        for resample in (False, True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                neurovault.fetch_neurovault(
                    data_dir=tmp_path / "old", resample=resample, fetch_neurosynth_words=True, verbose=0
                )
                neurovault.fetch_neurovault(
                    data_dir=tmp_path / "old", mode="offline", resample=resample, verbose=0
                )
    (tmp_path / "old").rename(tmp_path / "new")
    return tmp_path / "new/neurovault"


def test_nilearns_cache_is_read_where_it_was_moved_to(nilearns):
    cache = Cache(LocalStorage(str(nilearns)))
    assert cache.collection_ids() == ["1", "2"]
    for collection_id in ("1", "2"):
        for stored in cache.images(collection_id):
            shown = layout.with_absolute_paths(stored.metadata, str(nilearns))
            for role, name in (("original", "absolute_path"), ("resampled", "resampled_absolute_path")):
                asset = cache.asset(stored, role)
                assert Path(shown[name]) == nilearns / asset.key
                assert asset.size == Path(shown[name]).stat().st_size
                assert asset.chain == ()
            assert cache.has_annotation(collection_id, stored.id, "neurosynth_words_for_image_{id}.json")
            assert not [v for k, v in shown.items() if "relative_path" in k and str(v).startswith("/")]
    assert cache.failures == []

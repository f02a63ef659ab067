"""Where things lie, held against nilearn where nilearn says where."""

import json
import os
import warnings
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvframe.cache import layout
from nvframe.errors import SourceError, StorageError
from nvframe.storage.local import LocalStorage
from nvframe.storage.remote import FsspecStorage
from nvframe.types import Asset, checked_id

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nilearn.datasets import get_data_dirs as nilearns_data_dirs
    from nilearn.datasets._utils import get_dataset_dir as nilearns_dataset_dir

VARIABLES = ("NVFRAME_DATA", "NILEARN_SHARED_DATA", "NILEARN_DATA")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("data_dir", [None, "/a", "/a:/b", "a", Path("/a/b"), "/with space:/ü"])
@pytest.mark.parametrize("shared", [None, "/s", "/s1:/s2"])
@pytest.mark.parametrize("own", [None, "/o", "/o1:/o2"])
def test_data_dirs_are_nilearns(monkeypatch, data_dir, shared, own):
    for name, value in (("NILEARN_SHARED_DATA", shared), ("NILEARN_DATA", own)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert layout.get_data_dirs(data_dir) == nilearns_data_dirs(data_dir)


def test_our_own_variable_comes_first_and_is_one_location(monkeypatch):
    monkeypatch.setenv("NVFRAME_DATA", "s3://bucket/prefix")
    monkeypatch.setenv("NILEARN_DATA", "/o")
    assert layout.get_data_dirs()[:2] == ["s3://bucket/prefix", "/o"]
    assert layout.dataset_root(None, "neurovault") == "s3://bucket/prefix/neurovault"


def test_an_empty_variable_names_no_place(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert layout.get_data_dirs() == [str(tmp_path / "home/nilearn_data")]


@pytest.mark.parametrize("held_by", [None, 0, 1, 2])
def test_the_dataset_is_where_nilearn_finds_it(tmp_path, held_by):
    places = [tmp_path / name for name in "abc"]
    if held_by is not None:
        (places[held_by] / "neurovault").mkdir(parents=True)
    joined = os.pathsep.join(map(str, places))
    ours = layout.dataset_root(joined, "neurovault")
    assert ours == str(nilearns_dataset_dir("neurovault", data_dir=joined, verbose=0))
    assert ours == str(places[held_by or 0] / "neurovault")


def test_a_place_that_is_a_file_is_passed_over(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    joined = f"{tmp_path}/file:{tmp_path}/good"
    assert layout.dataset_root(joined, "neurovault") == f"{tmp_path}/good/neurovault"


def test_write_access_counts(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
    monkeypatch.setattr(layout.os, "access", lambda path, mode: Path(path).name != "a")
    assert layout.dataset_root(f"{tmp_path}/a:{tmp_path}/b", "neurovault") == f"{tmp_path}/b/neurovault"


def test_a_read_only_place_that_holds_the_dataset_is_taken(tmp_path, monkeypatch):
    (tmp_path / "a/neurovault").mkdir(parents=True)
    monkeypatch.setattr(layout.os, "access", lambda path, mode: False)
    assert layout.dataset_root(f"{tmp_path}/a:{tmp_path}/b", "neurovault") == f"{tmp_path}/a/neurovault"


def test_nowhere_to_go_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file' is a file: name a directory"):
        layout.dataset_root(tmp_path / "file", "neurovault")
    monkeypatch.setattr(layout.os, "access", lambda path, mode: False)
    with pytest.raises(StorageError, match=r"none of these can be written: .*name another data_dir"):
        layout.dataset_root(tmp_path, "neurovault")


def test_nothing_is_made_by_looking(tmp_path):
    layout.dataset_root(tmp_path / "new", "neurovault")
    assert list(tmp_path.iterdir()) == []


def test_home_is_expanded(tmp_path):
    assert layout.dataset_root("~/maps", "neurovault") == str(tmp_path / "home/maps/neurovault")


def test_a_relative_place_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert layout.dataset_root("maps", "neurovault") == str(tmp_path / "maps/neurovault")


def test_sources_with_parameters_do_not_share_a_directory():
    names = {
        layout.dataset_name("lab"),
        layout.dataset_name("lab", {}),
        layout.dataset_name("lab", {"root": "/a", "n": 1}),
        layout.dataset_name("lab", {"n": 1, "root": "/a"}),
        layout.dataset_name("lab", {"root": "/b", "n": 1}),
    }
    assert len(names) == 3


# Ids and keys


@pytest.mark.parametrize(
    "value", ["../x", "", ".", "..", "a/b", "a\\b", "a b", "ü", "a" * 129, True, None, 1.5 + 2j, "1\n"]
)
def test_an_id_that_could_leave_its_directory_is_refused(value):
    if value is None:
        assert checked_id(value) == "None"  # text like any other: sources refuse what is not an id to them
        return
    with pytest.raises(SourceError, match="not a valid id"):
        checked_id(value)
    for key in (layout.collection_prefix, layout.collection_key):
        with pytest.raises(SourceError):
            key(value)
    with pytest.raises(SourceError):
        layout.asset_key("1", value, "original")
    with pytest.raises(SourceError):
        layout.sidecar_key("1", value)
    with pytest.raises(SourceError):
        layout.annotation_key("1", value, "words_{id}.json")


@pytest.mark.parametrize("value", [1, "1", "a.b-c_d", "x" * 128, 10**30])
def test_an_id_is_kept_as_it_is(value):
    assert checked_id(value) == str(value)


def test_the_layout_is_nilearns():
    assert layout.collection_key("1") == "collection_1/collection_metadata.json"
    assert layout.sidecar_key("1", "2") == "collection_1/image_2_metadata.json"
    assert layout.asset_key("1", "2", "proc-0badcafe") == "collection_1/image_2_proc-0badcafe.nii.gz"
    words = layout.annotation_key("1", "2", "neurosynth_words_for_image_{id}.json")
    assert words == "collection_1/neurosynth_words_for_image_2.json"


# Sidecars

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ASSETS = st.builds(
    Asset,
    key=TEXT,
    size=st.integers(0, 2**40),
    shape=st.lists(st.integers(1, 999), min_size=1, max_size=5).map(tuple),
    affine=st.just(
        ((3.0, 0.0, 0.1, -90.0), (0.0, 3.0, 0.0, -126.0), (0.0, 0.0, 3.0, -72.0), (0.0, 0.0, 0.0, 1.0))
    ),
    dtype=st.sampled_from(["float32", "int16", "rgb24"]),
    sha256=TEXT,
    chain=st.lists(TEXT, max_size=3).map(tuple),
    metadata=st.dictionaries(TEXT, st.none() | st.integers(-(2**53), 2**53) | TEXT, max_size=2),
)
FIELDS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.lists(TEXT, max_size=2)


@given(st.dictionaries(TEXT, FIELDS, max_size=5), st.dictionaries(TEXT, ASSETS, max_size=3))
def test_a_sidecar_comes_back_as_it_was(metadata, assets):
    body = layout.sidecar_json(metadata, assets)
    sidecar = json.loads(body)
    assert layout.assets_of(sidecar) == assets
    shown = layout.with_absolute_paths(sidecar, "/root")
    kept = {k: v for k, v in metadata.items() if k != "nvframe" and "absolute" not in k}
    assert {k: shown[k] for k in kept if "relative_path" not in k} == {
        k: v for k, v in kept.items() if "relative_path" not in k
    }
    assert "nvframe" not in shown


def test_nothing_absolute_is_written():
    metadata = {"absolute_path": "/a", "ns_words_absolute_path": "/b", "relative_path": "c", "nvframe": "old"}
    assert orjson.loads(layout.sidecar_json(metadata, {})) == {
        "relative_path": "c",
        "nvframe": {"schema": 1, "assets": {}},
    }


GOOD = {"key": "k", "size": 1, "shape": [1], "affine": [], "dtype": "u1", "sha256": "", "chain": []}


@pytest.mark.parametrize(
    "own",
    [
        None,
        "text",
        [],
        {},
        {"schema": 1},
        {"schema": 1, "assets": []},
        {"schema": 1, "assets": {"original": None}},
        {"schema": 1, "assets": {"original": {**GOOD, "size": "many"}}},
        {"schema": 1, "assets": {"original": {**GOOD, "shape": None}}},
        {"schema": 1, "assets": {"original": {**GOOD, "affine": 3}}},
        {"schema": 1, "assets": {"original": {k: v for k, v in GOOD.items() if k != "sha256"}}},
        {"schema": 2, "assets": {"original": GOOD}},
    ],
)
def test_a_malformed_record_records_nothing(own):
    assert layout.assets_of({"nvframe": own}) == {}


def test_a_well_formed_record_does():
    assert layout.assets_of({"nvframe": {"schema": 1, "assets": {"original": GOOD}}})["original"].size == 1


def test_absolute_paths_of_an_old_cache_are_put_back_below_their_collection():
    moved = {
        "relative_path": "/old/home/neurovault/collection_9/image_1.nii.gz",
        "absolute_path": "/old",
        "id": 1,
    }
    assert layout.rerooted(moved, "9") == {"relative_path": "collection_9/image_1.nii.gz", "id": 1}
    hostile = {"relative_path": "../../etc/passwd", "resampled_relative_path": 5}
    assert layout.rerooted(hostile, "9") == {
        "relative_path": "collection_9/passwd",
        "resampled_relative_path": 5,
    }


def test_an_object_is_shown_where_it_is(tmp_path):
    assert layout.locations(LocalStorage(str(tmp_path)), ["a/b"]) == [f"{tmp_path}/a/b"]
    assert layout.locations(FsspecStorage("memory://me:pw@box/x"), ["a/b"]) == ["memory://box/x/a/b"]

"""Part A, lines 2 and 3 of the contract: what comes back, what lies on disk, and where."""

import io
import json
import os
import pickle
import re
import uuid
from pathlib import Path

import numpy as np
import pytest
from nilearn.datasets import get_data_dirs as their_data_dirs
from nilearn.datasets._utils import get_dataset_dir
from sklearn.utils import Bunch

import nvframe
from nvframe import neurovault
from nvframe.cache import layout
from nvframe.errors import StorageError


def ids_of(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def on_both(sides, server, **call):
    """Return what both sides return."""
    return [side.fetch(**call) for side in sides(server)]


def categories(side):
    return [each.category for each in side.warnings]


# The Bunch


@pytest.mark.parametrize("call", [{}, {"resample": True}, {"fetch_neurosynth_words": True}], ids=str)
def test_the_bunch_holds_plain_values(sides, server, call):
    """A2: a `sklearn.utils.Bunch` of `str` paths and dicts; `failures` is the one key more."""
    theirs, mine = on_both(sides, server, **call)
    assert type(mine) is Bunch
    assert [key for key in mine if key != "failures"] == list(theirs)
    assert {type(path) for path in mine.images} == {str}
    for key in ("images_meta", "collections_meta"):
        assert type(mine[key]) is list
        assert {type(meta) for meta in mine[key]} == {dict}
        assert len(mine[key]) == len(mine.images)
        for ours, other in zip(mine[key], theirs[key], strict=True):
            assert set(ours) == set(other)
            # the server's own fields in the server's order; nilearn's order of its paths depends on its cache
            assert [k for k in ours if "_path" not in k] == [k for k in other if "_path" not in k]
            assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in other.items()}
            assert json.loads(json.dumps(ours)) == ours
    assert [c["id"] for c in mine.collections_meta] == [m["collection_id"] for m in mine.images_meta]
    assert "nvframe" not in mine.images_meta[0]
    assert "NeuroVault" in mine.description
    assert "eurovault" in theirs.description  # a text of its own, which may not be copied
    assert mine.failures == []


@pytest.mark.parametrize("call", [{}, {"resample": True}, {"fetch_neurosynth_words": True}], ids=str)
def test_paths_of_the_bunch_are_those_of_nilearn(sides, server, call):
    """A2: absolute and relative paths; nilearn's relative ones are sometimes absolute."""
    nilearn, ours = sides(server)
    theirs, mine = nilearn.fetch(**call), ours.fetch(**call)
    for key in ("images_meta", "collections_meta"):
        for meta, other in zip(mine[key], theirs[key], strict=True):
            for name in (name for name in meta if name.endswith("absolute_path")):
                assert meta[name] == other[name].replace(str(nilearn.root), str(ours.root))
                relative = meta[name.replace("absolute", "relative")]
                assert meta[name] == f"{ours.root}/{relative}"
    chosen = "resampled_absolute_path" if call.get("resample") else "absolute_path"
    assert mine.images == [meta[chosen] for meta in mine.images_meta]


class _WithoutNvframe(pickle.Unpickler):
    def find_class(self, module, name):
        assert not module.startswith("nvframe")
        return super().find_class(module, name)


def test_a_bunch_pickles_and_reloads_where_nvframe_is_not_installed(sides, server):
    """A2."""
    _, ours = sides(server)
    server.faults.add("status", "_1001.nii", status=404)
    bunch = ours.fetch(fetch_neurosynth_words=True)
    again = _WithoutNvframe(io.BytesIO(pickle.dumps(bunch))).load()
    assert again.images == bunch.images
    assert again.images_meta == bunch.images_meta
    assert again.failures == bunch.failures
    np.testing.assert_array_equal(again.word_frequencies, bunch.word_frequencies)
    (failure,) = again.failures
    assert list(failure) == ["id", "collection_id", "stage", "url", "error"]
    assert {type(value) for value in failure.values()} <= {int, str}


def test_on_a_remote_data_dir_absolute_paths_are_urls(sides, server):
    """A2: on a remote `data_dir` the `*_absolute_path` are URLs."""
    _, ours = sides(server)
    place = f"memory://compat-{uuid.uuid4().hex}"
    bunch = ours.fetch(max_images=1, data_dir=place, fetch_neurosynth_words=True)
    stem = f"{place}/neurovault/collection_1"
    assert bunch.images == [f"{stem}/image_1001.nii.gz"]
    (meta,) = bunch.images_meta
    assert meta["absolute_path"] == f"{stem}/image_1001.nii.gz"
    assert meta["ns_words_absolute_path"] == f"{stem}/neurosynth_words_for_image_1001.json"
    assert meta["relative_path"] == "collection_1/image_1001.nii.gz"
    assert bunch.collections_meta[0]["absolute_path"] == stem
    frequencies, _ = neurovault.neurosynth_words_vectorized([meta["ns_words_absolute_path"]], verbose=0)
    np.testing.assert_array_equal(frequencies, bunch.word_frequencies)


# Words


def test_words_that_are_not_vectorised(sides, server):
    """A2: `vectorize_words=False` still gives `ns_words_absolute_path`."""
    theirs, mine = on_both(sides, server, fetch_neurosynth_words=True, vectorize_words=False)
    for bunch in (theirs, mine):
        assert not {"word_frequencies", "vocabulary"} & set(bunch)
        assert all(Path(meta["ns_words_absolute_path"]).is_file() for meta in bunch.images_meta)
    assert set(theirs) == set(mine) - {"failures"}


@pytest.mark.parametrize("how", ["status", "break", "empty"])
def test_words_that_do_not_come(sides, server, how):
    """A2: both are `None`, with a warning, when no word could be loaded."""
    nilearn, ours = sides(server)
    server.faults.add("words_down", times=None, how=how)
    for side in (nilearn, ours):
        bunch = side.fetch(fetch_neurosynth_words=True)
        assert (bunch.word_frequencies, bunch.vocabulary) == (None, None)
        assert len(bunch.images) == 9
        assert len(side.warnings) == 1
    assert "No word weight" in nilearn.said
    assert "no annotation for 9 of 9 images" in ours.said
    assert len(bunch.failures) == 9
    assert {failure["stage"] for failure in bunch.failures} == {"annotate"}


def test_a_row_of_words_that_failed_is_zeros(sides, server):
    """A2: row i is image i, a failed row zeros."""
    bunches = []
    for side in sides(server):
        server.faults.add("status", "neurovault=1002", status=404, times=None)
        bunches.append(side.fetch(fetch_neurosynth_words=True))
    theirs, mine = bunches
    assert ids_of(mine).index(1002) == 1
    assert mine.word_frequencies[1].any() == False  # noqa: E712 - a numpy bool
    assert mine.word_frequencies.dtype == theirs.word_frequencies.dtype
    assert mine.vocabulary.dtype.kind == theirs.vocabulary.dtype.kind == "U"
    np.testing.assert_array_equal(mine.word_frequencies, theirs.word_frequencies)
    np.testing.assert_array_equal(mine.vocabulary, theirs.vocabulary)


@pytest.mark.parametrize("options", [{}, {"dtype": np.float32}, {"sort": False}, {"separator": "~"}], ids=str)
@pytest.mark.parametrize("kind", [str, Path])
def test_words_are_vectorised_alike(sides, server, tmp_path, options, kind):
    """A1: `neurosynth_words_vectorized`, from files that are there, damaged, empty or missing."""
    nilearn, ours = sides(server)
    found = ours.fetch(max_images=3, fetch_neurosynth_words=True)
    files = [kind(meta["ns_words_absolute_path"]) for meta in found.images_meta]
    (tmp_path / "damaged.json").write_bytes(b'{"data": {"val')
    (tmp_path / "empty.json").write_text('{"data": {"values": {}}}')
    files[1:1] = [kind(tmp_path / name) for name in ("damaged.json", "empty.json", "missing.json")]
    theirs, mine = (
        side.module.neurosynth_words_vectorized(files, verbose=0, **options) for side in (nilearn, ours)
    )
    for one, other in zip(mine, theirs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for side in (nilearn, ours):
        with pytest.warns(UserWarning, match="(?i)no word weight could be loaded"):
            assert side.module.neurosynth_words_vectorized(files[1:4], verbose=0) == (None, None)


# Where data directories are


@pytest.fixture
def homes(tmp_path, monkeypatch):
    """A home, and neither of the environment variables."""
    for name in ("NVFRAME_DATA", "NILEARN_DATA", "NILEARN_SHARED_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def paths(root, *names):
    return os.pathsep.join(str(root / name) for name in names)


@pytest.mark.parametrize("given", [None, "x", "x:y"])
@pytest.mark.parametrize("shared", [None, "s", "s:t"])
@pytest.mark.parametrize("own", [None, "d", "d:e"])
def test_the_places_to_look_are_those_of_nilearn(homes, monkeypatch, given, shared, own):
    """A3: `get_data_dirs` as in nilearn."""
    for name, value in (("NILEARN_SHARED_DATA", shared), ("NILEARN_DATA", own)):
        if value:
            monkeypatch.setenv(name, paths(homes, *value.split(":")))
    data_dir = paths(homes, *given.split(":")) if given else None
    assert nvframe.get_data_dirs(data_dir) == [str(place) for place in their_data_dirs(data_dir)]


@pytest.mark.parametrize("holds", ["shared-b", "own-a", "own-b", "home/nilearn_data", "", "blocked"])
@pytest.mark.parametrize("first", ["shared-a", "blocked/below-a-file"])
def test_the_first_place_that_holds_the_dataset_else_the_first_writable(homes, monkeypatch, holds, first):
    """A3: the first data directory that holds the dataset, else the first writable."""
    monkeypatch.setenv("NILEARN_SHARED_DATA", paths(homes, first, "shared-b"))
    monkeypatch.setenv("NILEARN_DATA", paths(homes, "own-a", "own-b"))
    (homes / "blocked").write_text("a file, which not even root can write below")
    if holds and holds != "blocked":
        (homes / holds / "neurovault").mkdir(parents=True)
    mine = layout.dataset_root(None, "neurovault")  # ours first: it makes nothing
    assert mine == str(get_dataset_dir("neurovault", verbose=0))


def test_nowhere_to_write_is_an_os_error_on_both_sides(homes):
    """A3, A5."""
    (homes / "blocked").write_text("")
    for look in (layout.dataset_root, lambda place, name: get_dataset_dir(name, place, verbose=0)):
        with pytest.raises(OSError, match=re.escape(str(homes / "blocked"))):
            look(paths(homes, "blocked/a", "blocked/b"), "neurovault")
    assert issubclass(StorageError, OSError)


def test_calls_find_the_same_directory(sides, server, homes, monkeypatch):
    """A3: a call without `data_dir` reads and writes where nilearn's does."""
    monkeypatch.setenv("NILEARN_DATA", paths(homes, "own"))
    nilearn, ours = sides(server)
    assert ids_of(ours.fetch(max_images=2, data_dir=None)) == [1001, 1002]
    found = nilearn.fetch(max_images=2, data_dir=None)
    assert nilearn.requests == []
    assert sorted(found.images) == [
        str(homes / f"own/neurovault/collection_1/image_{n}.nii.gz") for n in (1001, 1002)
    ]


def test_json_on_disk_is_what_nilearn_writes(sides, server):
    """A3: nilearn's JSON keys in its order; nothing absolute; paths whether or not the files exist."""
    nilearn, ours = sides(server)
    for call in ({}, {"resample": True}):
        for side in (nilearn, ours):
            side.fetch(**call)
        assert ours.files() == nilearn.files()
        for name in ours.files("*.json"):
            mine, theirs = (json.loads((side.root / name).read_bytes()) for side in (ours, nilearn))
            own = mine.pop("nvframe", None)
            assert list(mine) == list(theirs)
            assert not [key for key in mine if "absolute" in key]
            if "image" in name:
                assert own["schema"] == 1
                assert mine["relative_path"] == name.replace("_metadata.json", ".nii.gz")
                assert mine["resampled_relative_path"] == name.replace("_metadata.json", "_resampled.nii.gz")
            else:
                assert own is None
                assert mine["relative_path"] == name.partition("/")[0]

import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.errors import NvframeError


@pytest.fixture
def frame(nvframe_server, tmp_path):
    return nvframe.fetch(data_dir=tmp_path, annotators=["neurosynth-words"])


def test_rows_stay_aligned(frame):
    ids = [meta["id"] for meta in frame.images_meta]
    for rows, expected in (
        (slice(1, 3), ids[1:3]),
        (2, [ids[2]]),
        (-1, [ids[-1]]),
        ([3, 0], [ids[3], ids[0]]),
        ([meta["map_type"] == "T map" for meta in frame.images_meta], None),
        ([], []),
    ):
        part = frame[rows]
        found = [meta["id"] for meta in part.images_meta]
        assert found == expected or expected is None
        assert [Path(path).name for path in part.images] == [f"image_{i}.nii.gz" for i in found]
        assert [c["id"] for c in part.collections_meta] == [m["collection_id"] for m in part.images_meta]
        assert len(part.annotations["neurosynth-words"]) == len(part)


def test_a_mask_of_another_length_is_refused(frame):
    with pytest.raises(IndexError, match="the mask has 2 rows"):
        frame[[True, False]]


def test_search_downloads_nothing_and_fetch_goes_on_without_listing(nvframe_server, tmp_path):
    found = nvframe.search(image_terms={"map_type": "T map"}, data_dir=tmp_path)
    assert len(found) > 0
    assert found.images == []
    assert not any("/media/" in request.path for request in nvframe_server.requests)
    assert not list(tmp_path.iterdir())
    with pytest.raises(NvframeError, match="call its fetch"):
        found.load(0)
    nvframe_server.clear()
    frame = found[:2].fetch(data_dir=tmp_path)
    assert [m["id"] for m in frame.images_meta] == [m["id"] for m in found.images_meta][:2]
    assert all("/media/" in request.path for request in nvframe_server.requests)


def test_loaded_images_and_local_paths(frame):
    img = frame.load(0)
    np.testing.assert_array_equal(img.dataobj, nib.load(frame.local_paths()[0]).dataobj)


def test_remote_storage_gives_urls_and_verified_local_copies(nvframe_server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    frame = nvframe.fetch(max_images=2, data_dir="memory://frame-test")
    assert frame.images[0].startswith("memory://frame-test/neurovault/collection_")
    for path, i in zip(frame.local_paths(), range(2), strict=True):
        np.testing.assert_array_equal(nib.load(path).dataobj, frame.load(i).dataobj)
    assert frame.to_xarray().stat_map.shape[0] == 2


def test_grids_counts(frame):
    assert sum(frame.grids().values()) == len(frame)


def test_table_has_a_row_per_image(frame):
    table = frame.to_pandas()
    assert table.index.tolist() == [meta["id"] for meta in frame.images_meta]
    assert table["path"].tolist() == frame.images
    assert set(table["collection_name"]) <= {c["name"] for c in frame.collections_meta}


def test_bunch_holds_plain_values_only(frame):
    bunch = pickle.loads(pickle.dumps(frame.to_bunch()))
    assert bunch.word_frequencies.shape == (len(frame), len(bunch.vocabulary))
    assert not any(isinstance(value, Path) for meta in bunch.images_meta for value in meta.values())
    assert b"nvframe" not in pickle.dumps({k: v for k, v in bunch.items() if k == "failures"})


def test_frames_pickle(frame):
    again = pickle.loads(pickle.dumps(frame))
    assert again.images == frame.images


def test_repr_says_what_it_holds(frame):
    assert repr(frame) == f"<nvframe.Frame: {len(frame)} images of neurovault, 0 failures>"


def test_fetch_after_search_stores_where_fetch_alone_would(nvframe_server, tmp_path):
    selector = ("neurovault", {"url": nvframe_server.url})
    at_once = nvframe.fetch(selector, image_ids=[1001], data_dir=tmp_path / "a")
    in_steps = nvframe.search(selector, image_ids=[1001]).fetch(data_dir=tmp_path / "b")
    below = [
        Path(frame.images[0]).relative_to(tmp_path / name)
        for frame, name in ((at_once, "a"), (in_steps, "b"))
    ]
    assert below[0] == below[1]


def test_storage_options_for_all_calls_leave_local_directories_alone(nvframe_server, tmp_path):
    with nvframe.set_options(storage_options={"profile": "lab"}):
        assert len(nvframe.fetch(image_ids=[1001], data_dir=tmp_path)) == 1
    with pytest.raises(nvframe.errors.PluginError, match=r"'local'.*'profile'"):
        nvframe.fetch(data_dir=tmp_path, storage_options={"profile": "lab"})


def test_the_same_map_in_another_file_is_a_duplicate(stored, brain):
    """Uploads differ in compression, orientation, type and header, and hold one map all the same."""
    original = brain(0)
    flipped = original.as_reoriented(np.array([[0, -1], [2, 1], [1, 1]]))
    single = nib.Nifti1Image(original.get_fdata(dtype="f4")[..., None], original.affine)
    zero = nib.Nifti1Image(np.array(original.dataobj), original.affine)
    zero.header["descrip"] = b"uploaded again"
    almost = nib.Nifti1Image(np.array(original.dataobj), original.affine)
    almost.dataobj[4, 4, 4] += 1e-3
    frame = stored(original, brain(1), flipped, almost, zero, brain(1), single)
    assert frame.duplicates() == [[0, 2, 4, 6], [1, 5]]
    assert frame[[1, 3]].duplicates() == []


def test_a_damaged_file_is_named(stored, brain):
    frame = stored(brain(0), brain(1))
    path = frame.local_paths()[1]
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(nvframe.errors.IntegrityError, match=r"image_2\.nii\.gz.*fetch it again"):
        frame.duplicates()
    with pytest.raises(nvframe.errors.IntegrityError, match=r"image_2\.nii\.gz.*fetch it again"):
        frame.to_xarray().stat_map.load()


def test_a_file_that_was_replaced_is_named(stored, brain):
    frame = stored(brain(0), brain(1))
    nib.save(brain(2, shape=(5, 4, 3)), frame.local_paths()[0])
    with pytest.raises(nvframe.errors.IntegrityError, match=r"image_1\.nii\.gz changed since it was stored"):
        frame.duplicates()
    with pytest.raises(nvframe.errors.IntegrityError, match=r"image_1\.nii\.gz changed since it was stored"):
        frame.to_xarray().stat_map.load()

"""Real maps, as the real application serves them: the whole way."""

import socket
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe import neurovault
from nvframe.testing import NeuroVaultServer

CORPUS = Path(__file__).parents[3] / "shared" / "neurovault-corpus"

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real maps lies beside the project")

COLLECTIONS = (1, 2, 3, 6, 7, 8, 9, 10, 132)
FOUR_D_AND_MORE = {4}
SURFACES = {48}
UNAVAILABLE = {38, 63}
RENAMED = {1107}  # its metadata name a file that the corpus holds under another name


@pytest.fixture(scope="module")
def server():
    with NeuroVaultServer.from_corpus(CORPUS) as server:
        yield server


@pytest.fixture
def live(server, monkeypatch):
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    server.clear()
    return server


def quietly(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nvframe.errors.PartialResultWarning)
        return call(*args, **kwargs)


def test_the_unicode_named_and_the_lost_file_are_reported_and_the_rest_arrives(live, tmp_path):
    with pytest.warns(nvframe.errors.PartialResultWarning, match="404"):
        maps = neurovault.fetch_neurovault(max_images=None, data_dir=tmp_path, verbose=0)
    assert {failure["id"] for failure in maps.failures} == UNAVAILABLE
    assert {failure["stage"] for failure in maps.failures} == {"download"}
    assert len(maps.images) == 32
    for path, meta in zip(maps.images, maps.images_meta, strict=True):
        assert path.endswith(f"image_{meta['id']}.nii.gz")
        assert nib.load(path).shape


def test_every_collection_by_id_arrives_in_the_order_asked_for(live, tmp_path):
    maps = quietly(neurovault.fetch_neurovault_ids, COLLECTIONS[::-1], data_dir=tmp_path, verbose=0)
    collections = list(dict.fromkeys(meta["collection_id"] for meta in maps.images_meta))
    assert collections == [c for c in COLLECTIONS[::-1] if c != 7]  # 7 is empty
    assert {failure["id"] for failure in maps.failures} == UNAVAILABLE | RENAMED
    atlas = next(p for p, m in zip(maps.images, maps.images_meta, strict=True) if m["id"] == 1108)
    assert nib.load(atlas).get_fdata().max() > 0  # a bare .nii on the server


def test_resampled_and_then_offline_without_a_socket(live, tmp_path, monkeypatch):
    maps = quietly(neurovault.fetch_neurovault, max_images=None, resample=True, data_dir=tmp_path, verbose=0)
    assert {failure["id"] for failure in maps.failures} == UNAVAILABLE
    for path in maps.images:
        np.testing.assert_array_equal(nib.load(path).affine, neurovault.STD_AFFINE)

    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened offline")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    again = neurovault.fetch_neurovault(
        max_images=None, resample=True, mode="offline", data_dir=tmp_path, verbose=0
    )
    assert sorted(again.images) == sorted(maps.images)
    assert again.failures == []


def test_what_is_no_single_volume_is_left_out_of_the_dataset_and_said(live, tmp_path):
    frame = quietly(nvframe.fetch, data_dir=tmp_path, max_images=None, processors=["resample-3mm"])
    ds = frame.to_xarray()
    opened = {failure.image_id for failure in frame.failures if failure.stage == "open"}
    assert opened == {str(i) for i in FOUR_D_AND_MORE | SURFACES}
    assert ds.sizes["image"] == len(frame) - len(opened)
    assert ds.stat_map.dtype == np.float32
    first = np.asanyarray(frame.load(0).dataobj)
    row = ds.stat_map.isel(image=0)
    np.testing.assert_array_equal(np.asanyarray(nvframe.to_nifti(row).dataobj)[: first.shape[0]], first)

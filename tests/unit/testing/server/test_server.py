"""The log, the ways to fill a server, the fixture and nilearn as a client."""

import gc
import os
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import requests

from nvframe.testing import NeuroVaultServer


@pytest.fixture
def quiet():
    """nilearn warns and prints at will."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_log_of_requests(nvframe_server):
    with requests.Session() as session:
        session.get(f"{nvframe_server.url}/api/images/?limit=2", headers={"X-Test": "a"}, timeout=10)
        session.head(f"{nvframe_server.url}/api/nope/", timeout=10)
    first, second = nvframe_server.requests
    assert (first.method, first.path, first.query, first.status) == ("GET", "/api/images/", "limit=2", 200)
    assert first.target == "/api/images/?limit=2"
    assert first.headers["x-test"] == "a"
    assert (second.method, second.status) == ("HEAD", 404)
    assert first.client == second.client
    nvframe_server.clear()
    assert nvframe_server.requests == []


def test_log_and_script_are_thread_safe(nvframe_server):
    nvframe_server.faults.add("status", times=40)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(
            lambda _: requests.get(f"{nvframe_server.url}/api/", timeout=10).status_code, range(80)
        )
    assert sorted(answers) == [200] * 40 + [500] * 40
    assert len(nvframe_server.requests) == 80


def test_fixture_points_nvframe_at_the_server(nvframe_server):
    assert nvframe_server.url == os.environ["NVFRAME_NEUROVAULT_URL"] == os.environ["NVFRAME_NEUROSYNTH_URL"]
    page = requests.get(f"{nvframe_server.url}/api/images/", timeout=10).json()
    assert page["count"] == 12


def test_synthetic_takes_one_grid_and_tidies_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = -90, -126, -72
    server = NeuroVaultServer.synthetic(1, 2, shape=(21, 25, 21), affine=affine)
    with server:
        row = requests.get(f"{server.url}/api/images/1001/", timeout=10).json()
        content = requests.get(row["file"], timeout=10).content
        assert len(content) == row["file_size"]
        assert list(tmp_path.iterdir())
    del server
    gc.collect()
    with pytest.raises(ValueError, match="axes run along"):
        NeuroVaultServer.synthetic(1, 1, shape=(2, 2, 2), affine=np.ones((4, 4)))
    assert not list(tmp_path.iterdir())


def test_plugin_module_is_light():
    code = "import sys, nvframe.testing.fixtures; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "nibabel", "starlette", "uvicorn", "requests", "fsspec", "orjson"} & set(loaded)


def test_nilearn_fetches_as_it_does_from_neurovault(nvframe_server, peer, tmp_path, quiet):
    neurovault = peer(nvframe_server)
    bunch = neurovault.fetch_neurovault(data_dir=tmp_path, fetch_neurosynth_words=True, verbose=0)
    assert len(bunch.images) == 12
    assert bunch.word_frequencies.shape[0] == 12
    assert "motor" in bunch.vocabulary
    assert nib.load(bunch.images[0]).shape == (24, 28, 24)
    assert {meta["id"] for meta in bunch.images_meta} == set(range(1001, 1013))
    assert all(request.status in (200, 301) for request in nvframe_server.requests)


def test_nilearn_resamples_and_its_cache_can_be_mirrored(nvframe_server, peer, tmp_path, quiet):
    neurovault = peer(nvframe_server)
    neurovault.fetch_neurovault(data_dir=tmp_path, resample=True, max_images=3, verbose=0)
    with NeuroVaultServer.from_dataset(tmp_path / "neurovault") as mirror:
        neurovault = peer(mirror)
        again = neurovault.fetch_neurovault(data_dir=tmp_path / "second", verbose=0)
        assert len(again.images) == 3
        np.testing.assert_array_equal(nib.load(again.images[0]).affine, neurovault.STD_AFFINE)
        assert again.images_meta[0]["file"].endswith("_resampled.nii.gz")


def test_nilearn_by_ids(nvframe_server, peer, tmp_path, quiet):
    neurovault = peer(nvframe_server)
    bunch = neurovault.fetch_neurovault_ids(
        collection_ids=[2], image_ids=[1001], data_dir=tmp_path, verbose=0
    )
    assert {meta["id"] for meta in bunch.images_meta} == {1001, 1005, 1006, 1007, 1008}

"""nvframe stage."""

import hashlib
import json
from pathlib import Path

import pytest
import xarray as xr

from nvframe.testing import NeuroVaultServer, synthetic_corpus

WORDS = ("stage", "neurovault", "shared")


def manifest():
    return json.loads(Path("shared/neurovault-manifest.json").read_bytes())


def test_files_an_array_and_a_manifest(run, nvframe_server):
    result = run(*WORDS, "--max-images", 3, "--words")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("3 images staged: ")
    with xr.open_zarr("shared/neurovault.zarr") as ds:
        assert ds.id.values.tolist() == [1001, 1002, 1003]
        assert ds.status.values.tolist() == [1, 1, 1]
        assert ds.sizes["word"] > 0
    document = manifest()
    assert document["root"].endswith("shared/neurovault")
    for row in document["images"]:
        data = (Path(document["root"]) / row["key"]).read_bytes()
        assert (row["size"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert row["source_sha256"] == row["sha256"]
        assert row["modify_date"].startswith("20")
        assert row["doi"].startswith("10.5555/")


def test_more_is_added_and_nothing_is_staged_twice(run, nvframe_server):
    run(*WORDS, "--collection-id", 1, "--resample")
    first = manifest()["images"]
    nvframe_server.clear()
    result = run(*WORDS, "--collection-id", 1, "--collection-id", 2, "--resample")
    assert result.stdout.startswith("8 images staged, 4 of them before: ")
    downloads = [request for request in nvframe_server.requests if request.path.startswith("/media/")]
    assert len(downloads) == 4
    rows = manifest()["images"]
    assert rows[:4] == first
    assert [row["id"] for row in rows] == list(range(1001, 1009))
    assert all("resample-3mm" in row["steps"][0] and row["source_sha256"] != row["sha256"] for row in rows)
    with xr.open_zarr("shared/neurovault.zarr") as ds:
        assert ds.id.values.tolist() == list(range(1001, 1009))


def test_maps_of_several_grids_are_staged_without_an_array(run, tmp_path, monkeypatch):
    grids = ("RAS-8mm", "RAS-4mm")
    corpus = synthetic_corpus(tmp_path / "two", 1, 4, grids=grids, specials=False, words=False)
    with NeuroVaultServer.from_corpus(corpus) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        result = run(*WORDS)
        assert result.exit_code == 3
        assert "no array was written: the images lie on 2 lattices" in result.stderr
        assert "resample" in result.stderr
        assert len(manifest()["images"]) == 4
        assert run(*WORDS, "--no-zarr").exit_code == 0
        assert not Path("shared/neurovault.zarr").exists()
        assert run(*WORDS, "--resample").exit_code == 0


def test_json_for_programs(run, nvframe_server):
    result = run(*WORDS, "--max-images", 2, "--json")
    document = json.loads(result.stdout)
    assert document["report"]["images"] == 2
    assert {Path(url).name for url in document["written"].values()} == {
        "neurovault",
        "neurovault.zarr",
        "neurovault-manifest.json",
    }


def test_what_was_lost_is_named_and_the_rest_is_staged(run, nvframe_server):
    nvframe_server.faults.add("status", "_1002", times=None, status=404)
    result = run(*WORDS, "--collection-id", 1)
    assert result.exit_code == 3
    assert "lost: image 1002: download failed" in result.stderr
    assert [row["id"] for row in manifest()["images"]] == [1001, 1003, 1004]
    nvframe_server.clear()
    assert run(*WORDS, "--collection-id", 1).exit_code == 0
    with xr.open_zarr("shared/neurovault.zarr") as ds:
        assert sorted(ds.id.values.tolist()) == [1001, 1002, 1003, 1004]


def test_another_file_in_the_manifests_place_is_left_alone(run, nvframe_server):
    Path("shared").mkdir()
    Path("shared/neurovault-manifest.json").write_text('{"name": "mine"}')
    result = run(*WORDS, "--max-images", 1)
    assert result.exit_code == 1
    assert "is not a manifest of" in result.stderr
    assert manifest() == {"name": "mine"}


@pytest.mark.parametrize("words", [("stage",), ("stage", "neurovault")])
def test_source_and_url_must_be_named(run, words):
    result = run(*words)
    assert result.exit_code == 2
    assert "Missing argument" in result.stderr


def test_jobs_stage_parts_and_a_last_call_the_whole(run, nvframe_server):
    for part in ("0/2", "1/2"):
        refused = run(*WORDS, "--shard", part)
        assert refused.exit_code == 2
        assert "with --shard give --no-zarr" in refused.stderr
        assert run(*WORDS, "--resample", "--no-zarr", "--shard", part).exit_code == 0
    parts = [Path(f"shared/neurovault-manifest-{i}-of-2.json") for i in range(2)]
    staged = [row["id"] for path in parts for row in json.loads(path.read_bytes())["images"]]
    assert run(*WORDS, "--resample", "--mode", "offline").exit_code == 0
    assert sorted(staged) == sorted(row["id"] for row in manifest()["images"])
    with xr.open_zarr("shared/neurovault.zarr") as ds:
        assert sorted(ds.id.values.tolist()) == sorted(staged)
    assert {path.name[0] for path in Path("shared").iterdir()} == {"n"}  # and nothing hidden

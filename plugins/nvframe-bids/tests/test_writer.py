"""Frames written as BIDS derivatives: names, descriptions, sidecars, and the BIDS validator's word on them."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import nvframe
from nvframe_bids.labels import file_stem, label
from nvframe_bids.writer import _dataset_description, _directory_name


@pytest.fixture
def frame(nvframe_server, tmp_path):
    """Fetch maps of NeuroVault's kind."""
    return nvframe.fetch(image_terms={}, max_images=5, data_dir=tmp_path / "data")


@pytest.fixture
def written(frame, tmp_path):
    """Write the frame."""
    frame.to("bids", url=tmp_path / "out")
    return tmp_path / "out"


def errors_in(dataset):
    """Return the errors that the BIDS validator finds, as (code, location)."""
    scripts = sysconfig.get_path("scripts")
    command = shutil.which("bids-validator-deno", path=scripts) or shutil.which("bids-validator-deno")
    if command is None:
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")
    made = subprocess.run(
        [command, str(dataset), "--format", "json"], capture_output=True, check=False, timeout=100
    )
    issues = json.loads(made.stdout)["issues"]["issues"]
    return [(issue["code"], issue["location"]) for issue in issues if issue["severity"] == "error"]


def test_the_bids_validator_finds_no_error(written):
    for dataset in (written, *(written / "derivatives").iterdir()):
        assert errors_in(dataset) == []


def test_the_bids_validator_would_find_one(written):
    dataset = next((written / "derivatives").iterdir())
    description = json.loads((dataset / "dataset_description.json").read_text())
    description["Authors"] = "one text, where a list belongs"
    (dataset / "dataset_description.json").write_text(json.dumps(description))
    (dataset / "notes.txt").write_text("no BIDS file")
    assert {code for code, _ in errors_in(dataset)} == {"JSON_SCHEMA_VALIDATION_ERROR", "NOT_INCLUDED"}


def test_without_bidsignore_it_objects_to_statistical_maps_alone(written):
    dataset = next((written / "derivatives").iterdir())
    (dataset / ".bidsignore").unlink()
    errors = errors_in(dataset)
    assert {code for code, _ in errors} == {"NOT_INCLUDED"}
    assert all(location.partition(".")[0].endswith("_statmap") for _, location in errors)


def test_each_collection_is_a_described_derivative_dataset(frame, written):
    assert json.loads((written / "dataset_description.json").read_text())["DatasetType"] == "study"
    collections = {meta["id"]: meta for meta in frame.collections_meta}
    datasets = sorted(path.name for path in (written / "derivatives").iterdir())
    assert datasets == sorted(f"collection-{identifier}" for identifier in collections)
    for identifier, collection in collections.items():
        path = written / f"derivatives/collection-{identifier}/dataset_description.json"
        described = json.loads(path.read_text())
        assert (described["Name"], described["DatasetType"]) == (collection["name"], "derivative")
        assert [each["Name"] for each in described["GeneratedBy"]] == ["nvframe-bids", "nvframe"]


def test_images_are_the_stored_bytes_and_sidecars_have_the_metadata(frame, written):
    by_id = {}
    for path in written.rglob("*_statmap.json"):
        sidecar = json.loads(path.read_text())
        by_id[sidecar["id"]] = (path, sidecar)
    assert set(by_id) == {meta["id"] for meta in frame.images_meta}
    for stored, meta in zip(frame.images, frame.images_meta, strict=True):
        path, sidecar = by_id[meta["id"]]
        assert path.with_name(f"{path.stem}.nii.gz").read_bytes() == Path(stored).read_bytes()
        assert sidecar["map_type"] == meta["map_type"]
        assert not any("absolute_path" in key or "relative_path" in key for key in sidecar)


def test_what_was_written_is_a_source_with_the_same_maps(frame, written, tmp_path):
    again = nvframe.fetch(("bids", {"root": written}), data_dir=tmp_path / "again")
    assert len(again) == len(frame)
    first = {meta["name"]: frame.load(i).get_fdata() for i, meta in enumerate(frame.images_meta)}
    for i, meta in enumerate(again.images_meta):
        np.testing.assert_array_equal(again.load(i).get_fdata(), first[meta["name"]])
    types = [sorted(meta["map_type"] for meta in each.images_meta) for each in (frame, again)]
    assert types[0] == types[1]


def test_maps_of_subjects_go_back_to_where_they_were(tree, tmp_path):
    frame = nvframe.fetch(("bids", {"root": tree}), data_dir=tmp_path / "data")
    frame.to("bids", url=str(tmp_path / "out"))
    there = {path.name for path in (tree / "derivatives").rglob("*map.nii.gz")}
    assert {path.name for path in (tmp_path / "out").rglob("*map.nii.gz")} == there
    (boldref,) = (tmp_path / "out").rglob("*_boldref.nii.gz")
    assert boldref.parent.parts[-2:] == ("sub-01", "func")
    datasets = sorted((tmp_path / "out/derivatives").iterdir())
    assert [path.name for path in datasets] == ["collection-derivatives.glm", "collection-derivatives.prep"]
    for dataset in datasets:
        assert errors_in(dataset) == []


def test_nothing_is_overwritten_unasked_and_nothing_of_others_ever(frame, tmp_path):
    url = tmp_path / "out"
    assert frame.to("bids", url=url) == str(url)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        frame.to("bids", url=url)
    frame[:1].to("bids", url=url, overwrite=True)
    assert len(list(url.rglob("*.nii.gz"))) == 1
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="did not write"):
        frame.to("bids", url=other, overwrite=True)
    assert (other / "thesis.tex").exists()


def test_a_damaged_map_is_left_out_and_is_a_failure(frame, tmp_path):
    damaged = Path(frame.images[1])
    damaged.write_bytes(damaged.read_bytes()[:-20])
    frame.to("bids", url=tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 4
    (failure,) = frame.failures
    assert (failure.stage, failure.plugin, failure.image_id) == (
        "open",
        "bids",
        str(frame.images_meta[1]["id"]),
    )


def test_a_bucket_is_written_too(frame, bucket):
    bucket.create_bucket(Bucket="lab")
    options = {"key": "test", "secret": "test"}
    assert frame.to("bids", url="s3://lab/study", storage_options=options) == "s3://lab/study"
    selector = ("bids", {"root": "s3://lab/study", "storage_options": options})
    assert len(nvframe.search(selector, image_terms={})) == 5


@pytest.mark.parametrize(
    ("identifier", "name"), [(658, "658"), ("a.b", "a.b"), ("../../x", "x"), ("..", "unknown")]
)
def test_a_collection_cannot_leave_the_study(identifier, name):
    assert _directory_name(identifier) == name


def test_two_images_never_share_a_name():
    taken = set()
    meta = {"name": "a", "suffix": "statmap", "stat": "t"}
    stems = [file_stem({**meta, "id": identifier}, taken) for identifier in ("1", "2")]
    assert stems[0] == "stat-t_statmap"
    assert stems[1].startswith("stat-t_desc-")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Go > Stop", "GoStop"), ("../../etc", "etc"), ("α β", ""), ("x" * 99, "x" * 40), (3, "3"), (None, "")],
)
def test_a_label_is_letters_and_digits(text, expected):
    assert label(text) == expected


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"authors": "J. Doe, R. Roe"}, ["J. Doe", "R. Roe"]),
        ({"authors": "Doe, Jane; Roe, Richard"}, ["Doe, Jane", "Roe, Richard"]),
        ({"Authors": ["Doe, Jane", "Roe"]}, ["Doe, Jane", "Roe"]),
        ({"authors": None}, None),
    ],
)
def test_authors_keep_their_names(said, names):
    assert _dataset_description({"name": "maps", **said}, "1").get("Authors") == names


def test_what_is_no_number_is_null_in_a_sidecar(frame, tmp_path):
    frame.images_meta[0].update(odd={"peak": float("inf"), "all": [1.5, float("nan")]}, low=-float("inf"))
    frame.to("bids", url=tmp_path / "out")
    read = [
        json.loads(path.read_text(), parse_constant=pytest.fail)
        for path in (tmp_path / "out").rglob("*.json")
    ]
    assert [each["odd"] for each in read if "odd" in each] == [{"peak": None, "all": [1.5, None]}]

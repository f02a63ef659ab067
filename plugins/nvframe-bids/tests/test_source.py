"""BIDS trees as a source: what is an image, what is said of it, and how it is opened."""

import gzip
import os
import pickle
from dataclasses import replace

import pytest

import nvframe
from nvframe.errors import DownloadError, SourceError
from nvframe.types import CollectionRecord, Failure, ImageRecord, checked_id
from nvframe_bids.source import BidsDerivatives

STOP_T = "sub-01_task-stop_space-MNI152NLin6Asym_contrast-go_stat-t_statmap"


def images_of(source):
    return [each for each in source.images(None) if isinstance(each, ImageRecord)]


def by_name(source):
    return {record.metadata["name"]: record for record in images_of(source)}


# Datasets


def test_a_study_is_its_root_and_its_pipelines(tree):
    found = list(BidsDerivatives(tree).collections({}))
    assert [each.id for each in found] == ["study", "derivatives.glm", "derivatives.prep"]
    glm = found[1].metadata
    assert (glm["name"], glm["DOI"], glm["licence"], glm["Name"]) == (
        "First-level models",
        "10.18112/openneuro.ds000114.v1",
        "CC0",
        "First-level models",
    )


def test_a_directory_of_pipelines_and_one_pipeline_are_roots_too(tree):
    assert [each.id for each in BidsDerivatives(tree / "derivatives").collections({})] == ["glm", "prep"]
    assert [each.id for each in BidsDerivatives(tree / "derivatives/glm").collections({})] == ["glm"]


def test_datasets_two_directories_down_are_found(make):
    make.dataset("fmriprep/ds000001-fmriprep")
    make.dataset("fmriprep/ds000002 (old)")
    ids = [each.id for each in BidsDerivatives(make.root).collections({})]
    assert "fmriprep.ds000001-fmriprep" in ids
    assert any(each.startswith("fmriprep.ds000002-old-") for each in ids)
    assert all(checked_id(each) for each in ids)


@pytest.mark.parametrize(("name", "problem"), [("", "has no BIDS dataset"), ("nowhere", "is not there")])
def test_a_root_without_a_dataset_is_a_failure_that_says_so(tmp_path, name, problem):
    (failure,) = BidsDerivatives(tmp_path / name).collections({})
    assert isinstance(failure, Failure)
    assert problem in failure.message
    with pytest.warns(nvframe.errors.PartialResultWarning, match=problem):
        assert len(nvframe.fetch(("bids", {"root": tmp_path / name}), data_dir=tmp_path / "data")) == 0


def test_a_damaged_description_costs_only_its_dataset(tree):
    (tree / "derivatives/prep/dataset_description.json").write_text("{")
    *_, glm, prep = BidsDerivatives(tree).collections({})
    assert isinstance(glm, CollectionRecord)
    assert isinstance(prep, Failure)
    assert (prep.collection_id, prep.stage) == ("derivatives.prep", "list")


# Images


def test_maps_are_images_and_masks_series_and_raw_data_are_not(tree):
    assert sorted(by_name(BidsDerivatives(tree))) == sorted(
        [
            STOP_T,
            STOP_T.replace("stat-t", "stat-z"),
            "sub-01_task-stop_space-MNI152NLin6Asym_boldref",
            STOP_T.replace("sub-01", "sub-02"),
            STOP_T.replace("sub-01", "sub-02").replace("stat-t", "stat-z"),
        ]
    )


def test_entities_become_metadata_with_neurovaults_words_beside_them(tree):
    record = by_name(BidsDerivatives(tree))[STOP_T]
    meta = record.metadata
    entities = {key: meta[key] for key in ("sub", "task", "space", "contrast", "stat", "suffix", "datatype")}
    assert entities == {
        "sub": "01",
        "task": "stop",
        "space": "MNI152NLin6Asym",
        "contrast": "go",
        "stat": "t",
        "suffix": "statmap",
        "datatype": "func",
    }
    assert (meta["map_type"], meta["target_template_image"], meta["analysis_level"]) == (
        "T map",
        "MNI152NLin6Asym",
        "single-subject",
    )
    size = (tree / f"derivatives/glm/sub-01/func/{STOP_T}.nii.gz").stat().st_size
    assert record.size == meta["file_size"] == size
    assert record.modified == meta["modify_date"]


def test_sidecars_are_inherited_and_the_nearest_wins(tree):
    images = by_name(BidsDerivatives(tree))
    second = STOP_T.replace("sub-01", "sub-02")
    assert images[STOP_T].metadata["EchoTime"] == 0.025
    assert images[STOP_T].metadata["TaskName"] == "stop signal"
    assert images[second].metadata["EchoTime"] == 0.02
    assert images[second].metadata["CogAtlasID"].endswith("trm_4c8a834779883")
    assert images[second.replace("stat-t", "stat-z")].metadata["EchoTime"] == 0.03
    assert "EchoTime" not in images["sub-01_task-stop_space-MNI152NLin6Asym_boldref"].metadata


def test_beside_each_other_the_sidecar_with_more_entities_has_the_last_word(make):
    make.dataset("")
    make.json("statmap.json", {"a": 1, "b": 1})
    make.json("task-x_statmap.json", {"b": 2})
    make.json("task-x_stat-z_statmap.json", {"a": 9})
    make.map("task-x_stat-t_statmap.nii.gz")
    (record,) = images_of(BidsDerivatives(make.root))
    assert (record.metadata["a"], record.metadata["b"]) == (1, 2)


def test_a_sidecar_cannot_pose_as_another_image(make):
    make.dataset("")
    make.json("stat-t_statmap.json", {"id": "1", "collection_id": "x", "file": "/etc/passwd", "stat": "z"})
    make.map("stat-t_statmap.nii.gz")
    (record,) = images_of(BidsDerivatives(make.root))
    assert (record.metadata["id"], record.metadata["collection_id"]) == (record.id, "made")
    assert record.metadata["stat"] == "t"
    assert record.metadata["file"] == record.url == str(make.root / "stat-t_statmap.nii.gz")


@pytest.mark.parametrize("content", ["{", "[1]", "\x00"])
def test_a_damaged_sidecar_is_one_failure_and_its_images_come_without_it(tree, content):
    (tree / "derivatives/glm/task-stop_statmap.json").write_text(content)
    found = list(BidsDerivatives(tree).images(None))
    (failure,) = (each for each in found if isinstance(each, Failure))
    assert failure.message.startswith("derivatives/glm/task-stop_statmap.json")
    assert len(found) == 6


def test_a_name_that_is_no_text_costs_only_its_file(make):
    make.dataset("")
    path = make.map("sub-02/sub-02_stat-t_statmap.nii.gz")
    try:
        path.with_name(os.fsdecode(b"sub-01_\xff_stat-t_statmap.nii.gz")).write_bytes(path.read_bytes())
    except OSError:
        pytest.skip("this file system takes names that are text alone")
    failure, image = BidsDerivatives(make.root).images(None)
    assert image.metadata["sub"] == "02"
    assert (failure.stage, failure.error_type) == ("list", "SourceError")
    assert r"sub-01_\udcff_stat-t_statmap.nii.gz is not valid text: rename the file" in failure.message
    str(failure).encode()


def test_ids_are_readable_stable_when_the_tree_moves_and_never_too_long(tree, tmp_path, make):
    before = by_name(BidsDerivatives(tree))[STOP_T].id
    assert before.startswith(f"{STOP_T}-")
    moved = tree.rename(tmp_path / "elsewhere")
    assert by_name(BidsDerivatives(moved))[STOP_T].id == before
    make.dataset("")
    for directory in ("node-a", "node-b"):
        make.map(f"{directory}/contrast-{'x' * 200}_stat-t_statmap.nii.gz")
    ids = [record.id for record in images_of(BidsDerivatives(make.root))]
    assert len(set(ids)) == 2
    assert all(len(checked_id(each)) == 128 for each in ids)


def test_an_image_and_a_collection_are_found_by_id(tree):
    source = BidsDerivatives(tree)
    for record in images_of(source):
        assert source.get_image(record.id) == record
        assert source.get_collection(record.collection_id).id == record.collection_id
    with pytest.raises(SourceError, match="no image 'sub-09_x'"):
        source.get_image("sub-09_x")
    with pytest.raises(SourceError, match="no dataset"):
        source.get_collection("other")


def test_listing_is_lazy(tree, monkeypatch):
    source = BidsDerivatives(tree)
    collection = source.get_collection("derivatives.glm")
    asked = []
    listed = source.tree.listed
    monkeypatch.setattr(source.tree, "listed", lambda path: asked.append(path) or listed(path))
    next(iter(source.images(collection)))
    assert not any("sub-02" in path or "prep" in path for path in asked)


# Bytes


def read(source, record, **resume):
    with source.open_image(record, **resume) as stream:
        return stream, b"".join(stream.chunks)


def test_a_file_is_opened_and_resumed_if_it_is_still_the_same(tree):
    source = BidsDerivatives(tree)
    record = by_name(source)[STOP_T]
    body = (tree / f"derivatives/glm/sub-01/func/{STOP_T}.nii.gz").read_bytes()
    stream, whole = read(source, record)
    assert (stream.size, whole) == (len(body), body)
    again, rest = read(source, record, start=100, validator=stream.validator)
    assert (again.start, rest) == (100, body[100:])
    other, anew = read(source, record, start=100, validator="another")
    assert (other.start, anew) == (0, body)


@pytest.mark.parametrize("url", ["/etc/passwd", "{root}/../x", "{root}x/y", "https://elsewhere/x"])
def test_what_is_not_below_the_root_is_not_opened(tree, url):
    source = BidsDerivatives(tree)
    record = replace(by_name(source)[STOP_T], url=url.format(root=tree))
    with pytest.raises(SourceError, match="is not below"):
        read(source, record)


def test_a_file_that_vanished_is_not_tried_again(tree):
    source = BidsDerivatives(tree)
    record = by_name(source)[STOP_T]
    (tree / f"derivatives/glm/sub-01/func/{STOP_T}.nii.gz").unlink()
    with pytest.raises(DownloadError, match="is not there") as caught:
        read(source, record)
    assert not caught.value.retryable


# In a fetch


def test_a_fetch_filters_by_entities_and_processes(tree, tmp_path):
    frame = nvframe.fetch(
        ("bids", {"root": str(tree)}),
        image_terms={"stat": "t"},
        data_dir=tmp_path / "data",
        processors=["resample-3mm"],
    )
    assert [meta["sub"] for meta in frame.images_meta] == ["01", "02"]
    assert frame.collections_meta[0]["name"] == "First-level models"
    ds = frame.to_xarray()
    assert ds.sizes["image"] == 2
    assert ds.attrs["map_type"] == "T map"
    offline = nvframe.fetch(("bids", {"root": str(tree)}), data_dir=tmp_path / "data", mode="offline")
    assert len(offline) == 0, "only the resampled maps are kept"


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/"])
def test_a_path_and_a_file_url_are_one_dataset(tree, tmp_path, form):
    nvframe.fetch(("bids", {"root": str(tree)}), data_dir=tmp_path / "data")
    frame = nvframe.fetch(("bids", {"root": form.format(tree)}), data_dir=tmp_path / "data")
    assert len(frame) == 5
    assert frame.report.nbytes == 0
    assert len(list((tmp_path / "data").iterdir())) == 1


def test_a_bare_nii_is_stored_compressed(tree, tmp_path):
    frame = nvframe.fetch(
        ("bids", {"root": tree}), image_terms={"suffix": "boldref"}, data_dir=tmp_path / "data"
    )
    assert frame.load(0).get_fdata().max() == 3
    with gzip.open(frame.images[0]) as file:
        assert file.read(4) == b"\x5c\x01\x00\x00"


def test_update_fetches_a_changed_map_again(tree, make, tmp_path):
    options = {"data_dir": tmp_path / "data", "image_terms": {"stat": "z", "sub": "01"}}
    assert nvframe.fetch(("bids", {"root": tree}), **options).load(0).get_fdata().max() == 2
    make.root = tree
    make.map(f"derivatives/glm/sub-01/func/{STOP_T.replace('stat-t', 'stat-z')}.nii.gz", 7)
    assert nvframe.fetch(("bids", {"root": tree}), **options).load(0).get_fdata().max() == 2
    updated = nvframe.fetch(("bids", {"root": tree}), mode="update", **options)
    assert updated.load(0).get_fdata().max() == 7


def test_a_public_bucket_is_read_without_credentials(tree_in_bucket, tmp_path):
    selector = ("bids", {"root": tree_in_bucket, "storage_options": {"anon": True}})
    frame = nvframe.fetch(selector, data_dir=tmp_path / "data", image_terms={"suffix": "statmap"})
    assert len(frame) == 4
    assert frame.images_meta[0]["file"].startswith(
        "s3://open-derivatives/studies/ds1/derivatives/glm/sub-01/"
    )
    assert frame.images_meta[0]["TaskName"] == "stop signal"
    assert frame.failures == []


def test_credentials_are_in_no_pickle_repr_or_directory(tmp_path):
    pytest.importorskip("s3fs", reason="S3 needs nvframe-bids[s3]")
    options = {"anon": False, "key": "AKIAKEY", "secret": "s3cr3t", "endpoint_url": "http://127.0.0.1:9"}
    source = BidsDerivatives("s3://bucket/x", options)
    pickled = pickle.dumps(source)
    assert b"s3cr3t" not in pickled
    assert b"AKIAKEY" not in pickled
    arrived = pickle.loads(pickled)
    assert arrived.tree.url == "s3://bucket/x"
    assert source.parameters() == {"root": "s3://bucket/x"}
    assert "s3cr3t" not in repr(source) + str(vars(source.tree))


def test_it_travels_to_other_processes(tree):
    source = pickle.loads(pickle.dumps(BidsDerivatives(tree)))
    assert len(images_of(source)) == 5
    assert read(source, images_of(source)[0])[1][:2] == b"\x1f\x8b"


def test_a_url_that_nothing_opens_is_told_before_any_request():
    with pytest.raises(SourceError, match="cannot open"):
        BidsDerivatives("nonsense://x")

"""Zenodo's records as a source, against a stand-in of its API."""

import logging
import pickle

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.errors import DownloadError, PartialResultWarning, SourceError
from nvframe.http import Retry
from nvframe.imaging import nifti
from nvframe.types import Failure, ImageRecord, checked_id
from nvframe_zenodo.source import Zenodo

TOKEN = "zen-s3cr3t"
QUICK = Retry(tries=2, backoff=0.0)


def a_map(value):
    return nifti.encode(nib.Nifti1Image(np.full((2, 3, 4), value, "float32"), np.eye(4)))


def images_of(source):
    return [each for each in source.images(None) if isinstance(each, ImageRecord)]


def paths(archive):
    return [path for path, _ in archive.requests]


# Records, versions, ids


def test_nifti_files_are_images_and_other_files_are_not(filled):
    source = Zenodo(records=[103, "10.5281/zenodo.202"])
    images = images_of(source)
    assert [(image.collection_id, image.metadata["file_name"]) for image in images] == [
        ("103", "Go > Stop.nii.gz"),
        ("103", "plain.nii"),
        ("202", "z.nii.gz"),
    ]
    assert all(checked_id(image.id) == image.id for image in images)
    assert images[0].id.startswith("103-Go-Stop-")


def test_a_record_is_a_collection_with_its_doi_licence_and_authors(filled):
    (collection,) = Zenodo(records=[103]).collections({})
    wanted = {
        "id": "103",
        "name": "Maps 103",
        "DOI": "10.5281/zenodo.103",
        "concept_doi": "10.5281/zenodo.101",
        "version": "v2",
        "authors": "Doe, Jane; Roe, Richard",
        "licence": "cc-by-4.0",
        "number_of_images": 2,
    }
    assert {key: collection.metadata[key] for key in wanted} == wanted


def test_a_concept_stands_for_its_latest_version_and_a_version_for_itself(filled):
    assert [each.id for each in Zenodo(records=[101]).collections({})] == ["103"]
    assert [each.id for each in Zenodo(records=[102]).collections({})] == ["102"]
    (image,) = images_of(Zenodo(records=[102]))
    assert (image.metadata["record_version"], image.metadata["concept_id"]) == ("v1", "101")


def test_an_id_keeps_its_version_when_a_newer_one_appears(filled):
    source = Zenodo(records=[101])
    before = images_of(source)[0]
    filled.add(104, {"Go > Stop.nii.gz": a_map(9)}, concept=101, version="v3")
    assert source.get_image(before.id) == before
    assert images_of(source)[0].collection_id == "104"


def test_two_files_whose_names_an_id_cannot_tell_apart_have_two_ids(archive):
    long = "x" * 300
    archive.add(
        7,
        {
            "a b.nii.gz": a_map(1),
            "a_b.nii.gz": a_map(2),
            "a?b.nii": a_map(3),
            f"{long}.nii": b"",
            f"{long}y.nii": b"",
        },
    )
    ids = [image.id for image in images_of(Zenodo(records=[7]))]
    assert len(set(ids)) == 5
    assert max(map(len, ids)) == 128


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "give either"),
        ({"records": [1], "query": "x"}, "give either"),
        ({"records": ["../../x"]}, "is not a record of Zenodo"),
        ({"records": [True]}, "is not a record of Zenodo"),
        ({"records": [1], "url": "ftp://x"}, "is not an http or https URL"),
    ],
)
def test_bad_input_is_told_before_any_request(archive, options, problem):
    with pytest.raises((ValueError, SourceError), match=problem):
        Zenodo(**options)
    assert archive.requests == []


@pytest.mark.parametrize(("record", "status"), [(999, "404"), (5, "410")])
def test_a_record_that_is_not_there_is_a_failure_and_the_others_come(filled, record, status):
    filled.deleted.add(5)
    failure, collection = Zenodo(records=[record, 202]).collections({})
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.collection_id) == ("list", str(record))
    assert status in failure.message
    assert collection.id == "202"


# Search and its pages


@pytest.mark.parametrize("number", [0, 1, 24, 25, 26, 51])
def test_every_record_of_a_query_comes_once(archive, number):
    for n in range(number):
        archive.add(1000 + 2 * n, {"a.nii.gz": b"x"})
    found = list(Zenodo(query="keywords:fMRI").collections({}))
    assert [each.id for each in found] == [str(1000 + 2 * n) for n in range(number)]
    assert len(archive.requests) == max(1, -(-number // 25))


def test_listing_is_lazy_and_a_record_is_not_asked_for_twice(archive):
    for n in range(60):
        archive.add(1000 + 2 * n, {"a.nii.gz": b"x"})
    source = Zenodo(query="x")
    first = next(iter(source.collections({})))
    next(iter(source.images(first)))
    assert len(archive.requests) == 1


def test_a_lost_page_is_a_failure_and_the_next_ones_come(archive):
    for n in range(60):
        archive.add(1000 + 2 * n, {"a.nii.gz": b"x"})
    archive.pages_lost.add(2)
    found = list(Zenodo(query="x", retry=QUICK).collections({}))
    (failure,) = (each for each in found if isinstance(each, Failure))
    assert failure.retryable
    assert len(found) == 25 + 1 + 10


@pytest.mark.parametrize("answer", [{}, {"hits": 3}, {"hits": {"hits": [], "total": "x"}}])
def test_an_answer_that_is_no_list_is_a_failure(archive, monkeypatch, answer):
    monkeypatch.setattr(archive, "search", lambda request, query: archive.send(request, 200, answer))
    (failure,) = Zenodo(query="x").collections({})
    assert "no list of records" in failure.message


@pytest.mark.parametrize(
    "row", [{"id": "../x"}, {"id": True}, {"metadata": {}}, {"id": 7, "files": "x", "metadata": 3}]
)
def test_a_hostile_record_is_a_failure_or_empty(archive, monkeypatch, row):
    answer = {"hits": {"hits": [row], "total": 1}}
    monkeypatch.setattr(archive, "search", lambda request, query: archive.send(request, 200, answer))
    source = Zenodo(query="x")
    (found,) = source.collections({})
    assert isinstance(found, Failure) or list(source.images(found)) == []


# Allowances and tokens


def test_a_name_that_comes_twice_is_one_file(archive):
    row = archive.add(102, {"a.nii.gz": a_map(1), "b.nii.gz": a_map(2)})
    row["files"].append({**row["files"][0], "size": 3})
    source = Zenodo(records=[102])
    (collection,) = source.collections({})
    assert [image.metadata["file_name"] for image in source.images(collection)] == ["a.nii.gz", "b.nii.gz"]
    assert collection.metadata["number_of_images"] == 2


def test_an_allowance_that_is_used_up_is_waited_for(filled):
    filled.limit = 1
    source = Zenodo(records=[103, 202], retry=QUICK)
    assert [each.id for each in source.collections({})] == ["103", "202"]
    assert len(filled.requests) == 3


def test_a_token_opens_a_restricted_record_and_stands_nowhere(filled, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    filled.restricted.add(202)
    selector = ("zenodo", {"records": [202]})
    assert len(nvframe.fetch(selector, data_dir=tmp_path / "before")) == 0
    monkeypatch.setenv("ZENODO_TOKEN", TOKEN)
    frame = nvframe.fetch(selector, data_dir=tmp_path / "data")
    assert len(frame) == 1
    assert filled.requests[-1][1] == f"Bearer {TOKEN}"
    source = Zenodo(records=[202])
    assert images_of(source)
    everything = [
        repr(vars(source)),
        repr(frame.images_meta),
        repr(frame.collections_meta),
        caplog.text,
        *paths(filled),
    ]
    everything += [path.read_text("latin1") for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not any(TOKEN in text for text in everything)
    assert TOKEN.encode() not in pickle.dumps(source)
    filled.restricted.clear()
    filled.records.clear()
    (failure,) = source.collections({})
    assert TOKEN not in str(failure)


def test_a_token_does_not_follow_a_redirect_to_another_server(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("ZENODO_TOKEN", TOKEN)
    elsewhere = type(filled)()
    elsewhere.add(202, {"z.nii.gz": filled.files[202, "z.nii.gz"]})
    filled.redirects[202, "z.nii.gz"] = f"{elsewhere.url}/api/records/202/files/z.nii.gz/content"
    frame = nvframe.fetch(("zenodo", {"records": [202]}), data_dir=tmp_path)
    elsewhere.stop()
    assert len(frame) == 1
    assert [token for _, token in elsewhere.requests] == [None]


# In a fetch


def test_a_fetch_stores_verifies_and_serves_offline(filled, tmp_path):
    selector = ("zenodo", {"records": [103, 202]})
    frame = nvframe.fetch(selector, data_dir=tmp_path)
    assert [frame.load(i).get_fdata().max() for i in range(3)] == [2, 3, 4]
    assert frame.collections_meta[0]["DOI"] == "10.5281/zenodo.103"
    asked = len(filled.requests)
    again = nvframe.fetch(selector, data_dir=tmp_path, mode="offline")
    assert again.images == frame.images
    assert len(filled.requests) == asked
    assert frame.to_xarray(on_mismatch="drop").doi.values[0] == "10.5281/zenodo.103"


def test_what_is_stored_is_not_listed_again(filled, tmp_path):
    selector = ("zenodo", {"query": "fMRI"})
    nvframe.fetch(selector, data_dir=tmp_path)
    filled.requests.clear()
    assert len(nvframe.fetch(selector, data_dir=tmp_path)) == 3
    assert len(paths(filled)) == 1


def test_another_query_is_another_dataset(filled, tmp_path):
    nvframe.fetch(("zenodo", {"records": [103]}), data_dir=tmp_path)
    frame = nvframe.fetch(("zenodo", {"records": [202]}), data_dir=tmp_path)
    assert [meta["collection_id"] for meta in frame.images_meta] == ["202"]


def test_a_body_with_another_md5_is_refused(filled, tmp_path):
    filled.files[202, "z.nii.gz"] = a_map(5)
    with pytest.warns(PartialResultWarning, match="its md5 is"):
        frame = nvframe.fetch(("zenodo", {"records": [202]}), data_dir=tmp_path)
    (failure,) = frame.failures
    assert (failure.stage, failure.error_type) == ("verify", "IntegrityError")
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_a_cut_off_file_is_resumed_and_its_md5_is_of_the_whole(filled, tmp_path):
    filled.cuts = 1
    frame = nvframe.fetch(("zenodo", {"records": [202]}), data_dir=tmp_path)
    assert frame.load(0).get_fdata().max() == 4
    assert [path.rpartition("/")[2] for path in paths(filled)].count("content") == 2
    assert frame.report.nbytes == len(filled.files[202, "z.nii.gz"]), "no byte came twice"


def test_images_are_fetched_by_id(filled, tmp_path):
    (image,) = images_of(Zenodo(records=[102]))
    frame = nvframe.fetch(("zenodo", {"records": [101]}), image_ids=[image.id], data_dir=tmp_path)
    assert [meta["record_version"] for meta in frame.images_meta] == ["v1"]


@pytest.mark.parametrize("bad", ["1", "x-y", "103-no-00000000", ""])
def test_an_id_that_names_no_image_says_so(filled, bad):
    with pytest.raises((SourceError, DownloadError), match=r"(is not an|has no) image"):
        Zenodo(records=[103]).get_image(bad)


def test_it_travels_without_what_it_has_listed(filled):
    source = Zenodo(records=[103])
    collection = next(iter(source.collections({})))
    arrived = pickle.loads(pickle.dumps(source))
    assert [image.id for image in arrived.images(collection)] == [
        image.id for image in source.images(collection)
    ]

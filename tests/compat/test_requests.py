"""What each side asks the server: part A, lines 4, 5 and 7, and "at most one listing" of part B."""

from collections import Counter
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest

import nvframe
from nvframe import neurovault
from nvframe.errors import PartialResultWarning
from nvframe.pipeline import run

EVERYTHING = {"image_terms": {}, "collection_terms": {}, "max_images": None}
CALLS = {
    "default": {},
    "limited": {"max_images": 3},
    "none": {"max_images": 0},
    "everything": EVERYTHING,
    "words": {"fetch_neurosynth_words": True, "max_images": 5},
    "resampled": {"resample": True, "max_images": 5},
    "one collection": {"collection_id": 2},
    "a collection by text": {"collection_terms": {"id": "3"}},
    "a keyword": {"map_type": "Z map", "max_images": 1},
    "a function": {"image_filter": lambda metadata: metadata["id"] > 1006},
}


def ids_of(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def targets(side):
    """Return what was asked, without the redirects that nilearn's addresses cost, and without pages' limits."""
    return Counter(urlsplit(r.target).path for r in side.requests if r.status != 301)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_never_more_media_and_no_more_listings(sides, server, call):
    """A4, B: cold and warm, ours asks for no more files, and lists only collections not known complete."""
    nilearn, ours = sides(server)
    for state in ("cold", "warm"):
        theirs, mine = nilearn.fetch(**call), ours.fetch(**call)
        assert sorted(ids_of(mine)) == sorted(ids_of(theirs))
        assert not Counter(ours.media) - Counter(nilearn.media)
        assert len(ours.media) == (len(mine.images) if state == "cold" else 0)
        assert len(ours.paths("/api/decode/")) == len(nilearn.paths("/api/decode/"))
        assert len(ours.listings) == len(set(ours.listings))  # one page each
    assert len(targets(ours)) <= sum(targets(nilearn).values()) + 3


def test_a_complete_collection_is_not_listed(sides, server):
    """B: at most one listing per collection not known complete."""
    _, ours = sides(server)
    ours.fetch(**EVERYTHING | {"max_images": 6})
    ours.fetch(**EVERYTHING)
    assert sorted(ours.listings) == ["/api/collections/2/images/", "/api/collections/3/images/"]
    ours.fetch(**EVERYTHING)
    assert ours.paths("/") == ["/api/collections/"]
    ours.fetch(**EVERYTHING | {"max_images": 12})
    assert ours.requests == []  # as many as wanted are here
    ours.fetch_ids(collection_ids=[1, 2, 3], image_ids=[1001, 1012])
    assert ours.requests == []


@pytest.mark.parametrize("collection", [2, "2", np.int64(2), np.uint8(2)], ids=repr)
@pytest.mark.parametrize("where", ["keyword", "image_terms", "collection_terms"])
def test_one_collection_id_asks_for_that_collection_only(sides, server, collection, where):
    """A4: one collection id (numpy ints too) asks the server for that collection only."""
    _, ours = sides(server)
    calls = {
        "keyword": {"collection_id": collection},
        "image_terms": {"image_terms": {"collection_id": collection, "is_thresholded": False}},
        "collection_terms": {"collection_terms": {"id": collection}},
    }
    found = ours.fetch(**calls[where])
    assert ours.paths("/api/") == ["/api/collections/2/", "/api/collections/2/images/"]
    assert ids_of(found) == [1005, 1006, 1007]


def test_explicit_image_ids_ask_for_those_only(sides, server):
    """A4: explicit image ids for those only; each collection's metadata once."""
    nilearn, ours = sides(server)
    for side in (nilearn, ours):
        assert sorted(ids_of(side.fetch_ids(image_ids=[1002, 1007, 1001]))) == [1001, 1002, 1007]
        assert side.listings == []
        assert sorted(side.media) == ["motor_1001.nii.gz", "visual_1002.nii.gz", "working_memory_1007.nii.gz"]
    assert sorted(ours.paths("/api/")) == [
        *[f"/api/collections/{n}/" for n in (1, 2)],
        *[f"/api/images/{n}/" for n in (1001, 1002, 1007)],
    ]
    assert targets(ours) == targets(nilearn)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_offline_asks_nothing(sides, server, call):
    """A5: no request at all offline, over an empty directory and over a full one."""
    for side in sides(server):
        assert side.fetch(**call, mode="offline").images == []
        assert side.requests == []
        side.fetch(**call)
        side.fetch(**call, mode="offline")
        assert side.requests == []


# Part A, line 7: the seed's third example


def test_overwrite_with_modify_date_downloads_only_what_is_newer(sides, serve):
    """A7: `mode="overwrite", modify_date=GreaterThan(newest)` downloads only what is newer."""
    dates = {}

    def edit(kind, row):
        row["modify_date"] = dates.get(row["id"], row["modify_date"])

    server = serve(edit)
    for side in sides(server):
        dates.clear()
        newest = max(meta["modify_date"] for meta in side.fetch(max_images=None).images_meta)
        update = {"max_images": None, "mode": "overwrite", "modify_date": side.module.GreaterThan(newest)}
        assert side.fetch(**update).images == []
        assert side.media == []
        dates.update({1002: "2031-01-01T00:00:00Z", 1010: "2031-02-02T00:00:00Z"})
        assert ids_of(side.fetch(**update)) == [1002, 1010]
        assert sorted(side.media) == ["visual_1002.nii.gz", "visual_1010.nii.gz"]
        whole = side.fetch(max_images=None)
        assert {m["modify_date"][:4] for m in whole.images_meta if m["id"] in dates} == {"2031"}
        assert len(whole.images) == 9


# Part A, line 5: the stop rules


def with_many(catalogue, collections, images):
    """Add collections 11, 12, … of so many images each, all of one file."""
    collection = orjson.loads(catalogue.record("collections", "1"))
    row = orjson.loads(catalogue.record("images", "1001"))
    for collection_id in range(11, 11 + collections):
        catalogue.add_collection({**collection, "id": collection_id, "number_of_images": images})
        for n in range(images):
            added = {**row, "id": 1000 * collection_id + n, "collection_id": collection_id}
            catalogue.add_image(added, f"images/{collection_id}/lost.nii.gz")


def test_a_collection_is_given_up_after_30_failures_in_a_row(sides, serve, catalogue):
    """A5: the stop after 30 in a row in one collection; the rest goes on."""
    with_many(catalogue, 1, 60)
    server = serve()
    nilearn, ours = sides(server)
    call = {"collection_terms": {"id": neurovault.IsIn(3, 11)}, "max_images": None}
    in_flight = 4
    with nvframe.set_options(max_workers=in_flight // 2):
        theirs, mine = nilearn.fetch(**call), ours.fetch(**call)
    assert ids_of(theirs) == ids_of(mine) == [1009, 1010, 1011]
    assert nilearn.media.count("lost.nii.gz") == run.MAX_FAILURES_IN_COLLECTION == 30
    assert 30 <= ours.media.count("lost.nii.gz") <= 30 + in_flight
    assert len(mine.failures) == ours.media.count("lost.nii.gz")
    assert [each.category for each in ours.warnings] == [PartialResultWarning]


def test_a_success_starts_the_count_anew(sides, serve, catalogue, corpus):
    """A5: in a row means in a row."""
    with_many(catalogue, 1, 45)
    row = orjson.loads(catalogue.record("images", "11000"))
    catalogue.add_image({**row, "id": 11020}, "images/1/motor_1001.nii.gz")
    for side in sides(serve()):
        found = side.fetch(collection_id=11, max_images=None)
        assert ids_of(found) == [11020]
        assert side.media.count("lost.nii.gz") == 44  # 20 before the good one, 24 after it


def test_everything_stops_after_100_failures_in_a_row(sides, serve, catalogue):
    """A5: the stop after 100 images failed in a row; one warning says so."""
    with_many(catalogue, 7, 35)
    server = serve()
    nilearn, ours = sides(server)
    call = {"collection_terms": {"id": neurovault.GreaterThan(10)}, "max_images": None}
    in_flight = 4
    with nvframe.set_options(max_workers=in_flight // 2):
        theirs, mine = nilearn.fetch(**call), ours.fetch(**call)
    assert theirs.images == mine.images == []
    assert len(nilearn.media) == run.MAX_CONSECUTIVE_FAILURES == 100
    assert 100 <= len(ours.media) <= 100 + 4 * in_flight
    assert "stopped early" in nilearn.said
    assert "stopped early" in ours.said
    assert "100 images failed in a row" in ours.said
    assert [each.category for each in ours.warnings] == [PartialResultWarning]
    assert ours.paths("/api/collections/17/") == []


def test_retries_are_not_failures(sides, serve, catalogue):
    """A5: the rules count per image, after retries."""
    with_many(catalogue, 1, 29)
    server = serve()
    _, ours = sides(server)
    server.faults.add("status", "lost.nii.gz", status=429, times=None)
    found = ours.fetch(collection_terms={"id": neurovault.IsIn(11, 3)}, max_images=None)
    assert ours.media.count("lost.nii.gz") == 2 * 29
    assert len(found.failures) == 29
    assert ids_of(found) == [1009, 1010, 1011]

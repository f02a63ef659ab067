"""Part B of the contract, first third: which images a call returns, and what it says of those it does not.

One test per row of the table; the row is quoted. nilearn's half stands under `defect_of_nilearn`: should a
later nilearn do better, the test fails and says that the row belongs to part A now.
"""

import numpy as np
import pytest

import nvframe
from nvframe import neurovault
from nvframe.errors import PartialResultWarning
from nvframe.sources.neurovault import paging

EVERYTHING = {"image_terms": {}, "collection_terms": {}}


def ids_of(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def categories(side):
    return [each.category for each in side.warnings]


def test_a_nilearn_that_does_better_makes_its_test_say_so(defect_of_nilearn):
    message = "nilearn no longer sulks: move this line to part A"
    with pytest.raises(pytest.fail.Exception, match=message), defect_of_nilearn("sulks"):
        assert len([]) == 1
    with pytest.raises(pytest.fail.Exception, match=message), defect_of_nilearn("sulks"):  # noqa: SIM117
        with pytest.raises(ZeroDivisionError):
            len([])


def test_a_collection_with_one_failed_image_is_completed_by_the_same_call(sides, server, defect_of_nilearn):
    """B: a collection of which any image is on disk is never completed (#1731): one failed image."""
    nilearn, ours = sides(server)
    for side in (nilearn, ours):
        server.faults.add("status", "_1002.nii", status=404)
        assert ids_of(side.fetch(collection_id=1, image_terms={})) == [1001, 1003, 1004]
    with defect_of_nilearn("leaves a collection partial in which one image failed"):
        again = nilearn.fetch(collection_id=1, image_terms={})
        assert sorted(ids_of(again)) == [1001, 1003, 1004]
        assert nilearn.media == []
    assert nilearn.said == ""

    again = ours.fetch(collection_id=1, image_terms={})
    assert ids_of(again) == [1001, 1003, 1004, 1002]  # what is stored comes first
    assert ours.media == ["visual_1002.nii.gz"]
    assert ours.listings == ["/api/collections/1/images/"]

    assert ids_of(ours.fetch(collection_id=1, image_terms={})) == [1001, 1002, 1003, 1004]
    assert (ours.media, ours.listings) == ([], [])


def test_a_collection_that_max_images_cut_off_is_completed(sides, server, defect_of_nilearn):
    """B: a collection of which any image is on disk is never completed (#1774): `max_images=1`, then `None`."""
    nilearn, ours = sides(server)
    for side in (nilearn, ours):
        assert ids_of(side.fetch(max_images=1)) == [1001]
    with defect_of_nilearn("leaves a collection partial that max_images cut off"):
        rest = nilearn.fetch(max_images=None)
        assert sorted(ids_of(rest)) == [1001, 1005, 1006, 1007, 1009, 1010, 1011]
    rest = ours.fetch(max_images=None)
    assert ids_of(rest) == [1001, 1002, 1003, 1005, 1006, 1007, 1009, 1010, 1011]
    assert len(ours.media) == 8
    assert sorted(ours.listings) == [f"/api/collections/{n}/images/" for n in (1, 2, 3)]


def test_filters_and_max_images_hold_with_collection_ids(sides, server, defect_of_nilearn):
    """B: `fetch_neurovault(collection_ids=[…])` drops every filter and `max_images` (#1700)."""
    nilearn, ours = sides(server)
    call = {"collection_ids": [1, 2], "map_type": "T map", "max_images": 3}
    with defect_of_nilearn("drops filters and max_images where collection_ids are given"):
        everything = nilearn.fetch(**call)
        assert len(everything.images) == 8
        assert {meta["map_type"] for meta in everything.images_meta} > {"T map"}

    kept = ours.fetch(**call)
    assert [meta["map_type"] for meta in kept.images_meta] == ["T map"] * 3
    assert len(ours.media) == 3
    functions = {"image_filter": lambda m: m["id"] % 2, "collection_filter": lambda m: m["id"] == 2}
    assert ids_of(ours.fetch(collection_ids=[1, 2], **functions)) == [1005, 1007]
    assert ids_of(ours.fetch(collection_ids=[1, 2], collection_terms={"id": 1})) == [1001, 1002, 1003, 1004]
    # default terms do not apply (1004 and 1008 are special), nor does the default of max_images
    assert len(ours.fetch(collection_ids=[1, 2]).images) == 8
    assert ids_of(ours.fetch(image_ids=[1004, 1002])) == [1004, 1002]
    assert ours.warnings == []


def test_a_hundred_images_and_more_come_when_ids_are_given_and_max_images_is_not(sides, serve, catalogue):
    """B: a `max_images` other than the default 100 still applies with ids: the default itself does not."""
    import orjson

    row = orjson.loads(catalogue.record("images", "1001"))
    for image_id in range(2001, 2101):
        catalogue.add_image({**row, "id": image_id}, "images/1/motor_1001.nii.gz")
    _, ours = sides(serve())
    assert len(ours.fetch(collection_ids=[1]).images) == 104
    assert len(ours.fetch(collection_ids=[1], max_images=99).images) == 99


def test_ids_come_back_in_the_order_asked_for(sides, server, defect_of_nilearn):
    """B: ids come back in set order, and in another order from the cache."""
    asked = [1010, 1005, 1003, 1011, 1001]
    nilearn, ours = sides(server)
    with defect_of_nilearn("returns ids in the order of a set"):
        found = ids_of(nilearn.fetch_ids(image_ids=asked))
        assert set(found) == set(asked)
        assert found != asked
    for _ in ("from the server", "from the cache"):
        assert ids_of(ours.fetch_ids(image_ids=asked)) == asked
    assert ids_of(ours.fetch_ids(image_ids=asked, mode="offline")) == asked
    # images of collections first, then images; the first mention wins
    both = ours.fetch_ids(collection_ids=[3, 1], image_ids=[1008, 1001, 1006])
    assert ids_of(both) == [1009, 1010, 1011, 1012, 1001, 1002, 1003, 1004, 1008, 1006]
    # term queries: local hits by (collection id, id), then the server's order; only 1007 was left to fetch
    assert ids_of(ours.fetch()) == [1001, 1002, 1003, 1005, 1006, 1009, 1010, 1011, 1007]


TERMS = {
    "DOI": "10.5555/nvframe.synthetic.2",
    "name": "Synthetic collection 2",
    "owner": 2,
}


@pytest.mark.parametrize("field", TERMS)
def test_terms_that_the_server_ignores_are_applied_here(sides, serve, field, defect_of_nilearn):
    """B: DOI/name/owner terms are trusted to the server; current NeuroVault ignores them."""

    def edit(kind, row):
        if kind == "collections":
            row["owner"] = row["id"]

    nilearn, ours = sides(serve(edit))
    call = {"collection_terms": {field: TERMS[field]}}
    with defect_of_nilearn(f"trusts the server with a term on {field}"):
        assert {meta["id"] for meta in nilearn.fetch(**call).collections_meta} == {1, 2, 3}
    assert ids_of(ours.fetch(**call)) == [1005, 1006, 1007]
    assert ours.listings == ["/api/collections/2/images/"]


def test_null_strings_mean_the_same_from_the_server_and_from_the_cache(sides, server, defect_of_nilearn):
    """B: null strings are filtered raw from the server but normalised from the cache."""
    nilearn, ours = sides(server)
    call = {"cognitive_contrast_cogatlas": neurovault.IsNull()}  # "None / Other" on the wire
    cold = [side.fetch(**call) for side in (nilearn, ours)]
    for side in (nilearn, ours):
        side.fetch()
    warm = [side.fetch(**call) for side in (nilearn, ours)]
    with defect_of_nilearn("filters null strings raw from the server"):
        assert ids_of(cold[0]) == []
        assert len(ids_of(warm[0])) == 9
    assert len(ids_of(cold[1])) == 9
    assert ids_of(cold[1]) == ids_of(warm[1])


def test_a_list_without_a_stable_order_repeats_no_image_and_says_what_is_missing(
    sides, serve, catalogue, monkeypatch, defect_of_nilearn
):
    """B: lists without a stable order: repeated and lost images."""
    import orjson

    collection = orjson.loads(catalogue.record("collections", "1"))
    row = orjson.loads(catalogue.record("images", "1001"))
    for extra in range(4, 10):
        catalogue.add_collection({**collection, "id": extra})
        catalogue.add_image({**row, "id": 2000 + extra, "collection_id": extra}, "images/1/motor_1001.nii.gz")
    server = serve()
    nilearn, ours = sides(server)
    server.faults.add("shuffle", seed=1)
    monkeypatch.setattr(nilearn.module, "_DEFAULT_BATCH_SIZE", 2)
    monkeypatch.setattr(paging, "FIRST_LIMIT", 2)
    monkeypatch.setattr(paging, "MAX_LIMIT", 2)
    with defect_of_nilearn("repeats images of a list without a stable order, and says nothing of lost ones"):
        found = ids_of(nilearn.fetch(max_images=None))
        assert len(found) > len(set(found))
        assert len(set(found)) < 15
        assert nilearn.warnings == []

    found = ours.fetch(max_images=None)
    assert len(ids_of(found)) == len(set(ids_of(found))) < 15
    assert "promised 9 entries" in found.failures[-1]["error"]
    assert categories(ours) == [PartialResultWarning]
    # a collection's own list is ordered by id: each of its pages is what it should be
    assert ids_of(ours.fetch(collection_id=1, image_terms={})) == [1001, 1002, 1003, 1004]
    # and the same call again finds more, until nothing is missing
    server.faults.clear()
    assert len(ours.fetch(max_images=None).images) == 15


def test_unknown_and_private_ids_are_reported(sides, server, defect_of_nilearn):
    """B: unknown or private ids vanish with a log line."""
    nilearn, ours = sides(server)
    server.faults.add("private", collection=2, token="ABCDEFGH")
    call = {"collection_ids": [2, 77], "image_ids": [1001, 999999, 1006]}
    with defect_of_nilearn("lets unknown and private ids vanish"):
        assert ids_of(nilearn.fetch_ids(**call)) == [1001]
        assert nilearn.warnings == []

    found = ours.fetch_ids(**call)
    assert ids_of(found) == [1001]
    lost = [(each["collection_id"], each["id"]) for each in found.failures]
    assert lost == [(2, None), (77, None), (None, 999999), (None, 1006)]
    reasons = [each["error"] for each in found.failures]
    assert "403" in reasons[0]
    assert "You do not have permission" in reasons[0]
    assert all("404" in reason and "Not found." in reason for reason in reasons[1:])
    assert categories(ours) == [PartialResultWarning]
    assert "and 3 more in `failures`" in ours.said


def test_a_mistyped_keyword_is_said(sides, server, defect_of_nilearn):
    """B: a mistyped keyword gives an empty result in silence; here near names are told."""
    nilearn, ours = sides(server)
    for mistyped, near in (
        ({"map_typ": "T map"}, "map_type"),
        ({"colection_terms": {"id": 1}}, "collection_terms"),
    ):
        with defect_of_nilearn("takes a mistyped keyword in silence"):
            assert nilearn.fetch(**mistyped).images == []
            assert nilearn.warnings == []
        assert ours.fetch(**mistyped).images == []
        assert repr(near) in ours.said
    ours.fetch(collection_terms={"owner_nam": "nvframe"})
    assert "owner_name" in ours.said


def test_ids_of_numpy_ask_for_their_collection_only(sides, server, defect_of_nilearn):
    """A4 says "numpy ints too"; nilearn takes only `int` and `str` for it, and lists every collection."""
    nilearn, ours = sides(server)
    with defect_of_nilearn("lists all collections for a numpy id"):
        assert ids_of(nilearn.fetch(collection_id=np.int64(2))) == [1005, 1006, 1007]
        assert "/api/collections/" in nilearn.paths("/api/")
    assert ids_of(ours.fetch(collection_id=np.int64(2))) == [1005, 1006, 1007]
    assert ours.paths("/api/") == ["/api/collections/2/", "/api/collections/2/images/"]


def test_on_error_raises_the_first_failure(sides, server):
    """B: `on_error="raise"` in `nvframe.fetch`; finished images stay stored."""
    _, ours = sides(server)
    server.faults.add("status", "_1002.nii", status=404)
    with pytest.raises(nvframe.errors.DownloadError, match="404"):
        nvframe.fetch(collection_ids=[1], data_dir=ours.directory, on_error="raise")
    assert len(ours.files("*.nii.gz")) == 3

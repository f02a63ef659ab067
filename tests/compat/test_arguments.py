"""Part A, lines 1, 4 and 5 of the contract: what a call takes, and what it warns of."""

import os

import nibabel as nib
import numpy as np
import orjson
import pytest

import nvframe
from nvframe import neurovault
from nvframe.errors import NvframeWarning, OfflineWarning, PartialResultWarning


def ids_of(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def categories(side):
    return [each.category for each in side.warnings]


# What a call tolerates

MAX_IMAGES = [
    None,
    np.inf,
    float("inf"),
    -1,
    -7.0,
    0,
    1,
    2.0,
    10**6,
    np.int64(2),
    np.uint8(3),
    np.float32(2),
    True,
]


@pytest.mark.parametrize("wanted", MAX_IMAGES, ids=repr)
def test_max_images_in_all_its_forms(sides, server, wanted):
    """A1, A4: negative, `None` or `inf` = all, 0 = none; counts local hits."""
    nilearn, ours = sides(server)
    for _ in ("cold", "warm"):
        theirs, mine = nilearn.fetch(max_images=wanted), ours.fetch(max_images=wanted)
        assert sorted(ids_of(mine)) == sorted(ids_of(theirs))
        assert ours.warnings == []
    assert (ours.media, nilearn.media) == ([], [])


@pytest.mark.parametrize("mode", ["download_new", "overwrite", "offline", "OFFLINE", "Download_New"])
def test_the_three_modes(sides, server, mode):
    """A1, A5: the three modes, in any case, over a directory that holds some."""
    for side in sides(server):
        side.fetch(max_images=2)
        found = side.fetch(mode=mode)
        offline = mode.lower() == "offline"
        assert ids_of(found)[0] in (1001, 1002)
        assert sorted(ids_of(found))[:2] == [1001, 1002]
        assert bool(side.requests) is not offline
        assert ("motor_1001.nii.gz" in side.media) is (mode == "overwrite")


@pytest.mark.parametrize("mode", ["offlin", "", "update_all"])
def test_an_unknown_mode_is_refused(sides, server, mode):
    """A1, A5: a `ValueError` before any request."""
    for side in sides(server):
        with pytest.raises(ValueError, match="mode"):
            side.fetch(mode=mode)
        assert side.requests == []


@pytest.mark.parametrize("verbose", [0, 1, 2, 3, 10, True, False], ids=repr)
def test_verbose_changes_what_is_said_and_nothing_else(sides, server, verbose, capfd):
    """A1, A5: `verbose` 0 to 3, and what nilearn takes besides."""
    nilearn, ours = sides(server)
    theirs = ids_of(nilearn.fetch(verbose=verbose, max_images=2))
    capfd.readouterr()
    assert ids_of(ours.fetch(verbose=verbose, max_images=2)) == theirs == [1001, 1002]
    out, err = capfd.readouterr()
    assert out == ""
    assert ("[nvframe]" in err) is (int(verbose) >= 2)  # at 1 only what was lost
    assert ours.warnings == []


IDS = [
    [1003, 1001],
    (1003, 1001),
    {1003, 1001},
    frozenset([1003, 1001]),
    np.array([1003, 1001]),
    np.array([1003, 1001], dtype="uint16"),
    [np.int32(1003), np.int64(1001)],
    ["1003", "1001"],
    np.array(["1003", "1001"]),
    [1003, "1001", np.str_("1001"), 1001],
    range(1001, 1004, 2),
    iter([1003, 1001]),
]


@pytest.mark.parametrize("ids", range(len(IDS)), ids=lambda n: f"{type(IDS[n]).__name__}-{n}")
def test_ids_in_any_container(sides, server, ids):
    """A1: ids as list, tuple, set, ndarray, strings, numpy ints, by position and by keyword."""
    nilearn, ours = sides(server)
    given = IDS[ids]
    if not isinstance(given, range) and hasattr(given, "__next__"):
        assert ids_of(ours.fetch_ids(image_ids=given)) == [1003, 1001]  # nilearn finds an iterator used up
        return
    for call in ((), given), ((3,), given):
        theirs = nilearn.call("fetch_neurovault_ids", *call)
        mine = ours.call("fetch_neurovault_ids", *call)
        assert set(ids_of(mine)) == set(ids_of(theirs))
        # nilearn returns an image twice whose id is given as number and as text
        assert len(ids_of(mine)) == len(set(ids_of(mine)))
        ordered = not isinstance(given, set | frozenset | range)
        assert ids_of(mine)[-2:] == ([1003, 1001] if ordered else [1001, 1003])
    assert ours.warnings == []


@pytest.mark.parametrize("kind", [list, tuple, set, np.array], ids=["list", "tuple", "set", "ndarray"])
def test_collection_ids_in_any_container(sides, server, kind):
    """A1: the same for collections."""
    nilearn, ours = sides(server)
    theirs = nilearn.fetch_ids(collection_ids=kind([2, 3]))
    mine = ours.fetch_ids(collection_ids=kind([2, 3]))
    assert ids_of(mine) == list(range(1005, 1013))
    assert sorted(ids_of(theirs)) == ids_of(mine)


def test_ids_take_an_interpolation_too(sides, server):
    """A1: ours adds a keyword-only `interpolation` to `fetch_neurovault_ids`."""
    nilearn, ours = sides(server)
    for interpolation in ("continuous", "linear", "nearest"):
        nilearn.directory = nilearn.directory.parent / interpolation
        expected = nilearn.fetch(resample=True, interpolation=interpolation, max_images=1).images[0]
        found = ours.fetch_ids(image_ids=[1001], resample=True, interpolation=interpolation).images[0]
        one, other = (np.asanyarray(nib.load(path).dataobj) for path in (expected, found))
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6 * np.abs(one).max())
    with pytest.raises(TypeError):
        ours.call(
            "fetch_neurovault_ids",
            [],
            [1001],
            "offline",
            ours.directory,
            False,
            True,
            True,
            10.0,
            0,
            "linear",
        )


def test_the_common_names_are_at_top_level_too():
    """A1: all in `nvframe.neurovault` under nilearn's names, the common ones at top level too."""
    for name in ("fetch_neurovault", "fetch_neurovault_ids", "fetch_neurovault_auditory_computation_task"):
        assert getattr(nvframe, name) is getattr(neurovault, name)
    assert nvframe.neurovault is neurovault


@pytest.mark.parametrize("empty", [(), [], set(), np.array([], int)], ids=repr)
def test_no_ids_are_no_images(sides, server, empty):
    """A1: the defaults of `fetch_neurovault_ids` ask for nothing."""
    for side in sides(server):
        assert side.fetch_ids(image_ids=empty).images == []
        assert side.fetch_ids(collection_ids=empty).images == []
        assert side.requests == []


def test_default_terms_are_fresh_and_edited_ones_apply(sides, server):
    """A1, A4: `basic_collection_terms`, `basic_image_terms`; edited defaults leave the defaults unharmed."""
    found = []
    for side in sides(server):
        terms = side.module.basic_image_terms()
        assert {key: repr(value) for key, value in terms.items()} == {
            "not_mni": "False",
            "is_thresholded": "False",
            "map_type": repr(neurovault.NotIn("ROI/mask", "anatomical", "parcellation")),
            "image_type": "NotEqual('atlas')",
        }
        terms.pop("is_thresholded")
        collections = dict(side.module.basic_collection_terms(), DOI=side.module.NotNull())
        found.append(ids_of(side.fetch(image_terms=terms, collection_terms=collections)))
        assert "is_thresholded" in side.module.basic_image_terms()
        assert len(side.fetch().images) == 9
    assert found[0] == found[1] == [1001, 1002, 1003, 1004, 1005, 1006, 1007]


def test_the_auditory_task_is_one_known_image(sides, serve, catalogue):
    """A1: `fetch_neurovault_auditory_computation_task`."""
    row = orjson.loads(catalogue.record("images", "1003"))
    catalogue.add_image({**row, "id": 32980}, "images/1/auditory_1003.nii.gz")
    for side in sides(serve()):
        bunch = side.call("fetch_neurovault_auditory_computation_task")
        assert ids_of(bunch) == [32980]
        assert bunch.images == [str(side.root / "collection_1/image_32980.nii.gz")]


# Warnings


def test_contradictory_collection_ids_warn(sides, server):
    """A4: contradictory ids warn, and nothing is found."""
    for side in sides(server):
        assert side.fetch(collection_id=2, collection_terms={"id": 3}).images == []
        assert categories(side) == [UserWarning]
        assert "contradictory" in side.said
        assert len(side.fetch(collection_id=2, collection_terms={"id": 2}).images) == 3
        assert side.warnings == []


@pytest.mark.parametrize("level", ["image", "collection"])
def test_a_function_beside_default_terms_warns(sides, server, level):
    """A4: a callable filter given while default terms still apply warns."""

    def keep(metadata):
        return True

    for side in sides(server):
        defaults = getattr(side.module, f"basic_{level}_terms")()
        for terms in ({}, {f"{level}_terms": defaults}):
            side.fetch(**{f"{level}_filter": keep}, **terms, max_images=1)
            assert categories(side) == [UserWarning]
            assert f"{level}_terms={{}}" in side.said
        for terms in ({}, {"name": side.module.NotNull()}):
            side.fetch(**{f"{level}_filter": keep, f"{level}_terms": terms}, max_images=1)
            assert side.warnings == []
        side.fetch(max_images=1)
        assert side.warnings == []


def test_our_warnings_are_user_warnings():
    """A5: what filters nilearn's warnings filters ours."""
    for kind in (PartialResultWarning, OfflineWarning):
        assert issubclass(kind, NvframeWarning)
        assert issubclass(kind, UserWarning)


def test_a_directory_that_cannot_be_written_is_read_offline(sides, server, monkeypatch):
    """A5: the warning and offline fallback for a directory that cannot be written."""
    both = sides(server)
    for side in both:
        side.fetch(max_images=4, fetch_neurosynth_words=True)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **kw: mode != os.W_OK and may(path, mode, **kw))
    for side, kind in zip(both, (UserWarning, OfflineWarning), strict=True):
        for mode in ("download_new", "overwrite"):
            found = side.fetch(mode=mode, fetch_neurosynth_words=True)
            assert sorted(ids_of(found)) == [1001, 1002, 1003, 1005]
            assert categories(side) == [kind]
            assert "write access" in side.said
            assert side.requests == []
            assert found.word_frequencies.shape[0] == 4
        side.fetch(mode="offline")
        assert side.warnings == []

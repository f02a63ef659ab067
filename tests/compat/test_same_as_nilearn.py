"""Part A of the contract: one server, both libraries, equal results."""

import json

import nibabel as nib
import numpy as np
import pytest

from nvframe import neurovault

pytestmark = pytest.mark.usefixtures("tmp_path")


def plain(metas):
    return [
        {k: v for k, v in meta.items() if "relative_path" not in k and "absolute_path" not in k}
        for meta in metas
    ]


def below(paths, directory):
    return [str(path).removeprefix(f"{directory}/") for path in paths]


def voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


CALLS = {
    "default": {},
    "words": {"fetch_neurosynth_words": True},
    "resample": {"resample": True},
    "limited": {"max_images": 3},
    "none": {"max_images": 0},
    "all": {"max_images": None, "image_terms": {}, "collection_terms": {}},
    "edited terms": {"image_terms": {"map_type": neurovault.IsIn("T map", "ROI/mask")}},
    "keyword": {"map_type": "Z map"},
    "one collection": {"collection_terms": {"id": 2}, "image_terms": {}},
    "collection of images": {"collection_id": 3},
    "upper-case mode": {"mode": "OVERWRITE", "max_images": 2.0},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_cold_call_returns_the_same(both, server, call):
    pair = both(server, **call)
    assert below(pair.ours.images, pair.our_dir) == below(pair.peer.images, pair.peer_dir)
    assert plain(pair.ours.images_meta) == plain(pair.peer.images_meta)
    assert plain(pair.ours.collections_meta) == plain(pair.peer.collections_meta)
    assert [set(m) for m in pair.ours.images_meta] == [set(m) for m in pair.peer.images_meta]
    assert set(pair.ours) - set(pair.peer) == {"failures"}
    assert pair.ours.failures == []
    assert all(isinstance(path, str) for path in pair.ours.images)
    for ours, peer in zip(pair.ours.images, pair.peer.images, strict=True):
        same_image(ours, peer)


def same_image(ours, peer):
    ours, peer = nib.load(ours), nib.load(peer)
    assert ours.shape == peer.shape
    np.testing.assert_array_equal(ours.affine, peer.affine)
    expected = np.asanyarray(peer.dataobj)
    # float32 on disk: one unit in its last place is 6e-8 of the largest value.
    tolerance = 1e-6 * max(float(np.abs(expected).max()), 1e-30)
    np.testing.assert_allclose(np.asanyarray(ours.dataobj), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_we_never_ask_for_more_images(both, server, call):
    pair = both(server, **call)
    media = [
        [r.path for r in log if r.path.startswith("/media/")]
        for log in (pair.our_requests, pair.peer_requests)
    ]
    assert sorted(media[0]) == sorted(media[1])


def test_word_matrices_are_equal(both, server):
    pair = both(server, fetch_neurosynth_words=True)
    assert pair.ours.vocabulary.tolist() == pair.peer.vocabulary.tolist()
    np.testing.assert_array_equal(pair.ours.word_frequencies, pair.peer.word_frequencies)


@pytest.mark.parametrize("call", [{}, {"resample": True}, {"fetch_neurosynth_words": True}], ids=str)
def test_the_directory_holds_the_same_files_and_json(both, server, call):
    pair = both(server, **call)
    files = [
        sorted(p.relative_to(d) for p in d.rglob("*") if p.is_file()) for d in (pair.our_dir, pair.peer_dir)
    ]
    left_by_nilearn_only = {"README.md"}
    assert files[0] == [f for f in files[1] if f.name not in left_by_nilearn_only]
    for file in files[0]:
        if file.suffix != ".json":
            continue
        ours, peer = (json.loads((d / file).read_bytes()) for d in (pair.our_dir, pair.peer_dir))
        assert not any("absolute" in key for key in ours)
        ours.pop("nvframe", None)
        assert set(ours) == set(peer)
        assert plain([ours]) == plain([peer])
        for key in ours:
            if "relative_path" in key:  # nilearn's is absolute from a collection's second image on
                assert peer[key].endswith(ours[key])
                assert not ours[key].startswith("/")


@pytest.mark.parametrize("call", [{}, {"resample": True}, {"fetch_neurosynth_words": True}], ids=str)
def test_each_reads_the_cache_of_the_other_offline(both, server, call, peer, monkeypatch):
    pair = both(server, **call)
    server.clear()
    theirs = peer(server).fetch_neurovault(data_dir=pair.our_dir, verbose=0, mode="offline", **call)
    ours = neurovault.fetch_neurovault(data_dir=pair.peer_dir, verbose=0, mode="offline", **call)
    assert server.requests == []

    def by_id(bunch):
        metas = sorted(plain(bunch.images_meta), key=lambda meta: meta["id"])
        # nilearn shows every key of a sidecar, our own one too.
        return [{key: value for key, value in meta.items() if key != "nvframe"} for meta in metas]

    assert by_id(theirs) == by_id(pair.ours) == by_id(ours)
    assert len(theirs.images) == len(ours.images) == len(pair.peer.images)
    if call.get("fetch_neurosynth_words"):
        assert ours.vocabulary.tolist() == theirs.vocabulary.tolist()


@pytest.mark.parametrize(
    "ids",
    [
        {"image_ids": [1002, 1001]},
        {"collection_ids": (2,)},
        {"collection_ids": np.array([3]), "image_ids": {"1001"}},
        {"image_ids": (np.int64(1003),)},
    ],
    ids=str,
)
def test_ids_find_the_same_images(both, server, ids):
    pair = both(server, "fetch_neurovault_ids", **ids)
    ours, peer = ([m["id"] for m in bunch.images_meta] for bunch in (pair.ours, pair.peer))
    assert sorted(ours) == sorted(peer)
    assert len(ours) > 0


def test_signatures_have_the_same_parameters_and_defaults(peer, server):
    import inspect

    theirs = peer(server)
    for name in (
        "fetch_neurovault",
        "fetch_neurovault_ids",
        "fetch_neurovault_auditory_computation_task",
        "neurosynth_words_vectorized",
    ):
        ours = inspect.signature(getattr(neurovault, name)).parameters
        expected = inspect.signature(getattr(theirs, name)).parameters
        positional = [p for p in ours.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        assert [(p.name, p.kind) for p in positional] == [(p.name, p.kind) for p in expected.values()]
        for parameter in positional:
            default = expected[parameter.name].default
            if not callable(default) or default is inspect.Parameter.empty:
                assert parameter.default == default


def test_every_public_name_of_nilearn_is_there(peer, server):
    theirs = peer(server)
    public = {
        name for name, value in vars(theirs).items() if getattr(value, "__module__", "") == theirs.__name__
    }
    public = {name for name in public if not name.startswith("_")} | {"STD_AFFINE"}
    assert public <= set(neurovault.__all__)
    np.testing.assert_array_equal(neurovault.STD_AFFINE, theirs.STD_AFFINE)

"""Part A, line 3 of the contract: a cache written by either is used by the other."""

import json
import os
import shutil
import socket

import nibabel as nib
import numpy as np
import pytest

EVERYTHING = {"image_terms": {}, "collection_terms": {}, "max_images": None}
CALLS = {
    "plain": {},
    "resampled": {"resample": True},
    "words": {"fetch_neurosynth_words": True},
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
each_writer = pytest.mark.parametrize("writer", ["nilearn", "nvframe"])


def pair_of(sides, server, writer):
    """Return (writer, reader) over one directory."""
    nilearn, ours = sides(server)
    first, second = (nilearn, ours) if writer == "nilearn" else (ours, nilearn)
    second.directory = first.directory
    return first, second


def contents(bunch):
    """Return what a bunch says of each image, by id, without where things are and in which order."""
    metas = [
        {k: v for k, v in meta.items() if "_path" not in k and k != "nvframe"} for meta in bunch.images_meta
    ]
    collections = [{k: v for k, v in meta.items() if "_path" not in k} for meta in bunch.collections_meta]
    return {meta["id"]: (meta, each) for meta, each in zip(metas, collections, strict=True)}


def maps(bunch):
    """Return each image's grid and voxels, by id."""
    loaded = [nib.load(path) for path in bunch.images]
    ids = [meta["id"] for meta in bunch.images_meta]
    return {i: (img.affine, np.asanyarray(img.dataobj)) for i, img in zip(ids, loaded, strict=True)}


def assert_same(one, other):
    assert contents(one) == contents(other)
    ours, theirs = maps(one), maps(other)
    assert ours.keys() == theirs.keys()
    for image_id, (affine, data) in ours.items():
        np.testing.assert_array_equal(affine, theirs[image_id][0])
        top = np.abs(data.astype(float)).max()
        np.testing.assert_allclose(data, theirs[image_id][1], rtol=0, atol=1e-6 * top)
    assert ("vocabulary" in one) is ("vocabulary" in other)
    if "vocabulary" in one:
        assert one.vocabulary.tolist() == other.vocabulary.tolist()
        assert (
            np.sort(one.word_frequencies, axis=0).tolist() == np.sort(other.word_frequencies, axis=0).tolist()
        )


def snapshot(directory):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in directory.rglob("*") if p.is_file()}


@each_writer
@each_call
def test_a_cache_of_either_is_completed_by_the_other(sides, server, writer, call):
    """A3: begun by one, completed by the other, read offline by the first: the same as from one hand."""
    first, second = pair_of(sides, server, writer)
    begun = first.fetch(
        **call, **EVERYTHING | {"max_images": 4}
    )  # one whole collection: nilearn completes no other
    assert len(begun.images) == 4
    whole = second.fetch(**call, **EVERYTHING)
    assert len(whole.images) == len(second.media) + 4 == 12  # nothing that was there came twice
    if call.get("fetch_neurosynth_words"):
        assert len(second.paths("/api/decode/")) == 8
    again = first.fetch(**call, **EVERYTHING, mode="offline")
    assert_same(whole, again)
    assert_same(again, second.fetch(**call, **EVERYTHING, mode="offline"))
    # and what each fetches by itself is that, too
    first.directory = first.directory / "by itself"
    assert_same(first.fetch(**call, **EVERYTHING), whole)


@each_writer
@each_call
def test_a_moved_cache_is_read_by_both(sides, server, writer, call):
    """A3: moved to another folder; only what lies beside a sidecar counts."""
    first, second = pair_of(sides, server, writer)
    written = first.fetch(**call, max_images=5)
    elsewhere = first.directory.parent / "moved" / "elsewhere"
    elsewhere.parent.mkdir()
    shutil.move(first.directory, elsewhere)
    second.directory = elsewhere
    found = second.fetch(**call, mode="offline")
    assert second.requests == []
    assert all(path.startswith(str(elsewhere)) for path in found.images)
    assert contents(found) == contents(written)
    assert len(maps(found)) == 5
    ours = second if writer == "nilearn" else first
    ours.directory = elsewhere
    for meta in ours.fetch(**call, mode="offline").images_meta:
        for key, value in meta.items():
            if "absolute_path" in key:
                assert value.startswith(f"{elsewhere}/neurovault/collection_")
            if "relative_path" in key:
                assert value.startswith("collection_")


@each_writer
@each_call
def test_a_read_only_cache_of_either_is_served(sides, server, writer, call, monkeypatch):
    """A3, A5: read from a read-only mount; here nothing is written, not even tried."""
    first, second = pair_of(sides, server, writer)
    written = first.fetch(**call, max_images=5)
    ours = second if writer == "nilearn" else first
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **kw: mode != os.W_OK and may(path, mode, **kw))
    directories = [path for path in [first.directory, *first.directory.rglob("*")] if path.is_dir()]
    before = snapshot(first.directory)
    for path in directories:
        path.chmod(0o555)  # holds for all but root; for root there is the snapshot
    try:
        for mode in ("offline", "download_new"):
            found = ours.fetch(**call, mode=mode)
            assert contents(found) == contents(written)
            assert ours.requests == []
        assert snapshot(first.directory) == before
        assert contents((first if ours is second else second).fetch(**call, mode="offline")) == contents(
            written
        )
    finally:
        for path in directories:
            path.chmod(0o755)


@each_call
def test_absolute_relative_paths_of_nilearn_are_no_trap(sides, server, call):
    """A2, A3: nilearn writes absolute paths into `relative_path`; here they are relative, always."""
    nilearn, ours = pair_of(sides, server, "nilearn")
    nilearn.fetch(**call)
    sidecars = sorted(nilearn.root.rglob("image_*_metadata.json"))
    recorded = [json.loads(path.read_bytes())["relative_path"] for path in sidecars]
    assert any(path.startswith("/") for path in recorded)  # else this test proves nothing
    for mode in ("offline", "download_new"):
        found = ours.fetch(**call, mode=mode)
        for meta in found.images_meta:
            stem = f"collection_{meta['collection_id']}/image_{meta['id']}"
            assert meta["relative_path"] == f"{stem}.nii.gz"
            assert meta["absolute_path"] == str(nilearn.root / f"{stem}.nii.gz")
            assert meta["resampled_relative_path"] == f"{stem}_resampled.nii.gz"
            assert meta.get("ns_words_relative_path", "collection_").startswith("collection_")
        assert len(maps(found)) == 9


def test_after_our_visit_nilearn_still_reads_its_cache(sides, server):
    """A3: we add resampled maps and words to nilearn's cache, replace an image, and it reads all of it."""
    nilearn, ours = pair_of(sides, server, "nilearn")
    nilearn.fetch(max_images=3)
    before = {p.name: p.read_bytes() for p in nilearn.root.rglob("*.nii.gz")}
    ours.fetch(max_images=3, resample=True, fetch_neurosynth_words=True)
    assert ours.media == []  # original on disk: resampled without a download
    after = {p.name: p.read_bytes() for p in nilearn.root.rglob("*.nii.gz")}
    assert before.items() <= after.items()
    ours.fetch(max_images=2, mode="overwrite")
    server.faults.add("status", times=None)
    plain = nilearn.fetch(mode="offline")
    resampled = nilearn.fetch(mode="offline", resample=True, fetch_neurosynth_words=True)
    assert nilearn.warnings == []
    for bunch, zoom in ((plain, 8), (resampled, 3)):
        assert {grid[0, 0] for grid, _ in maps(bunch).values()} == {zoom}
        assert sorted(contents(bunch)) == [1001, 1002, 1003]
    assert resampled.word_frequencies.shape[0] == 3


def test_resampled_only_and_the_original_afterwards(sides, server):
    """A6: only the resampled file is kept; the original then costs one download; the reverse none."""
    for side in sides(server):
        side.fetch(max_images=1, resample=True)
        assert side.files("*.nii.gz") == ["collection_1/image_1001_resampled.nii.gz"]
        assert len(side.media) == 1
        assert len(side.fetch(max_images=1, resample=True).images) == 1
        assert side.media == []
        side.fetch_ids(image_ids=[1001])
        assert side.media == ["motor_1001.nii.gz"]
        assert len(side.files("*.nii.gz")) == 2
        side.fetch_ids(image_ids=[1002])
        side.fetch_ids(image_ids=[1002], resample=True)
        assert side.media == []
        assert len(side.files("*.nii.gz")) == 4


def test_resampled_maps_of_nilearn_are_taken_as_continuous(sides, server):
    """B: nilearn's own `_resampled` files are taken as continuous; another interpolation is made anew."""
    nilearn, ours = pair_of(sides, server, "nilearn")
    written = nilearn.fetch(max_images=1, resample=True)
    found = ours.fetch(max_images=1, resample=True)
    assert found.images == written.images
    assert ours.requests == []
    other = ours.fetch_ids(image_ids=[1001], resample=True, interpolation="nearest")
    assert ours.media == ["motor_1001.nii.gz"]
    assert not np.array_equal(maps(other)[1001][1], maps(written)[1001][1])
    assert_same(nilearn.fetch(max_images=1, resample=True, mode="offline"), written)


@each_writer
def test_offline_opens_no_socket_over_either_cache(sides, server, writer, monkeypatch):
    """A3, A5: a cache written by either, read with every socket forbidden."""
    first, second = pair_of(sides, server, writer)
    for call in CALLS.values():
        first.fetch(**call, max_images=2)

    def forbidden(*args):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket.socket, "connect_ex", forbidden)
    for call in CALLS.values():
        for side in (first, second):
            assert len(side.fetch(**call, mode="offline").images) == 2
            assert len(side.fetch_ids(collection_ids=[1], **call, mode="offline").images) == 2

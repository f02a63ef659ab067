"""Part B of the contract, last third: what is put on disk, and what is made of what is found there.

One test per row of the table; the row is quoted. nilearn's half stands under `defect_of_nilearn`: should a
later nilearn do better, the test fails and says that the row belongs to part A now.
"""

import gzip
import json
import logging
import os
import socket
from pathlib import Path

import nibabel as nib
import numpy as np
import orjson
import pytest
from fsspec.implementations.local import LocalFileSystem
from nibabel.filebasedimages import ImageFileError

from nvframe.errors import OfflineWarning, PartialResultWarning
from nvframe.mirror.stored import StoredFile
from nvframe.storage import local as storage

ALL = {"image_terms": {}, "collection_terms": {}}


def ids_of(bunch):
    return [meta["id"] for meta in bunch.images_meta]


def voxels(path):
    return np.asanyarray(nib.load(path).dataobj)


def stored(path):
    return StoredFile(LocalFileSystem(), str(path), path.stat().st_size)


def snapshot(directory):
    """Return every file's time and bytes."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in directory.rglob("*") if p.is_file()}


def aged(directory):
    """Set every file's time long back, so that a rewrite shows."""
    for path in directory.rglob("*"):
        os.utime(path, (1e9, 1e9))
    return snapshot(directory)


@pytest.mark.parametrize("kind", ["html", "short"])
def test_what_is_no_image_is_never_cached(sides, server, kind, defect_of_nilearn):
    """B: an HTML page or a cut-off body with status 200 is cached as NIfTI; here verified before published."""
    nilearn, ours = sides(server)
    server.faults.add(kind, "_1001.nii", times=None)
    with defect_of_nilearn("caches what is not an image"):
        rubbish = nilearn.fetch_ids(image_ids=[1001, 1002]).images[-2:]
        assert len(rubbish) == 2
        assert nilearn.files("*1001.nii.gz") == ["collection_1/image_1001.nii.gz"]
        with pytest.raises((ImageFileError, EOFError, OSError)):
            [voxels(path) for path in rubbish]

    found = ours.fetch_ids(image_ids=[1001, 1002])
    assert ids_of(found) == [1002]
    assert ours.files("*1001*") == []
    assert [(each["id"], each["stage"]) for each in found.failures] == [(1001, "verify")]
    assert [each.category for each in ours.warnings] == [PartialResultWarning]
    assert ours.media.count("motor_1001.nii.gz") == 2  # once more, in case a proxy answered

    # rubbish in an old cache is not served but fetched again
    server.faults.clear()
    ours.directory = nilearn.directory
    found = ours.fetch_ids(image_ids=[1001, 1002])
    assert [voxels(path).shape for path in found.images] == [(24, 28, 24)] * 2
    assert ours.media == ["motor_1001.nii.gz"]
    assert found.failures == []
    assert ours.warnings == []  # mended, so nothing was lost


def test_one_html_page_is_retried(sides, server):
    """B: … retried; reported."""
    _, ours = sides(server)
    server.faults.add("html", "_1001.nii")
    found = ours.fetch_ids(image_ids=[1001])
    assert voxels(found.images[0]).shape == (24, 28, 24)
    assert found.failures == []


def test_another_interpolation_is_another_map(sides, server, defect_of_nilearn):
    """B: changing `interpolation` returns the old resampled file."""
    nilearn, ours = sides(server)
    maps = {}
    for side in (nilearn, ours):
        for interpolation in ("continuous", "nearest"):
            found = side.fetch(max_images=1, resample=True, interpolation=interpolation)
            maps[side.module.__name__, interpolation] = voxels(found.images[0])
    with defect_of_nilearn("returns the old resampled file for another interpolation"):
        np.testing.assert_array_equal(*(v for (name, _), v in maps.items() if "nilearn" in name))
    continuous, nearest = (v for (name, _), v in maps.items() if "nilearn" not in name)
    assert not np.array_equal(continuous, nearest)
    nilearn.directory = nilearn.directory / "cold"
    expected = voxels(nilearn.fetch(max_images=1, resample=True, interpolation="nearest").images[0])
    np.testing.assert_allclose(nearest, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_a_replaced_original_gives_a_new_resampled_map(sides, serve, corpus, defect_of_nilearn):
    """B: replacing the original returns the old resampled file."""
    media = {}
    nilearn, ours = sides(serve(media=media))
    maps = {}
    for side in (nilearn, ours):
        media.clear()
        for step in ("old", "new"):
            side.fetch_ids(image_ids=[1001], mode="overwrite")
            maps[side.module.__name__, step] = voxels(
                side.fetch_ids(image_ids=[1001], resample=True).images[0]
            )
            if side is ours:
                assert side.media == []  # the original is on disk
            media["images/1/motor_1001.nii.gz"] = stored(corpus / "media/images/1/visual_1002.nii.gz")
    with defect_of_nilearn("returns the old resampled file for a replaced original"):
        np.testing.assert_array_equal(*(v for (name, _), v in maps.items() if "nilearn" in name))
    old, new = (v for (name, _), v in maps.items() if "nilearn" not in name)
    assert not np.array_equal(old, new)
    media.clear()
    expected = voxels(ours.fetch_ids(image_ids=[1002], resample=True).images[0])
    np.testing.assert_array_equal(new, expected)


def test_offline_mode_writes_nothing(sides, server, monkeypatch, defect_of_nilearn):
    """B: offline mode rewrites every metadata file; here it opens no socket and rewrites no sidecar."""
    nilearn, ours = sides(server)
    for side in (nilearn, ours):
        side.fetch(fetch_neurosynth_words=True)
    before = [aged(side.root) for side in (nilearn, ours)]

    def no_socket(*args):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", no_socket)
    for side in (nilearn, ours):
        assert len(side.fetch(mode="offline", fetch_neurosynth_words=True).images) == 9
    with defect_of_nilearn("rewrites metadata in offline mode"):
        assert snapshot(nilearn.root) != before[0]
    assert snapshot(ours.root) == before[1]


def test_a_kill_leaves_every_json_whole(sides, server, monkeypatch, defect_of_nilearn):
    """B: not atomically: a kill leaves a zero-length JSON and every later call crashes."""
    nilearn, ours = sides(server)
    for side in (nilearn, ours):
        side.fetch(max_images=3)

    class KilledError(BaseException):
        pass

    def killed(*args, **kwargs):
        raise KilledError

    # nilearn: between the opening of the file and the writing into it, in a call that should only read
    with monkeypatch.context() as patch:
        patch.setattr(nilearn.module.json, "dumps", killed)
        with pytest.raises(KilledError):
            nilearn.fetch(mode="offline")
    with defect_of_nilearn("leaves a zero-length JSON behind a kill, and crashes over it for ever"):
        assert [path for path in nilearn.root.rglob("*.json") if path.stat().st_size == 0]
        with pytest.raises(json.JSONDecodeError):
            nilearn.fetch(mode="offline")

    # ours: at each of the moments of a write, in a call that replaces everything
    for where, moment in ((storage, "_write"), (os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(where, moment, killed)
            with pytest.raises(KilledError):
                ours.fetch(max_images=3, mode="overwrite")
        for path in ours.root.rglob("*.json"):
            orjson.loads(path.read_bytes())
        assert len(ours.fetch(max_images=3).images) == 3


def test_an_unreadable_sidecar_is_one_failure(sides, server, defect_of_nilearn):
    """B: an unreadable sidecar is one failure, not the end of every later call."""
    nilearn, ours = sides(server)
    for side in (nilearn, ours):
        side.fetch(max_images=3)
        (side.root / "collection_1/image_1002_metadata.json").write_bytes(b"")
    with defect_of_nilearn("crashes over an empty metadata file"), pytest.raises(json.JSONDecodeError):
        nilearn.fetch(mode="offline")
    found = ours.fetch(mode="offline")
    assert ids_of(found) == [1001, 1003]
    assert [each["id"] for each in found.failures] == [1002]
    assert "image_1002_metadata.json is damaged" in ours.said
    # and with a server it is mended
    (ours.root / "collection_1/collection_metadata.json").write_bytes(b"")
    found = ours.fetch(max_images=3, collection_id=1)
    assert sorted(ids_of(found)) == [1001, 1002, 1003]
    assert found.failures == []
    assert ours.fetch(mode="offline").failures == []


@pytest.mark.parametrize("writable", [True, False])
def test_offline_a_derived_map_is_made_and_kept(sides, server, writable, monkeypatch, tmp_path):
    """B: a derived map is computed and stored if the root is writable, else in the user's cache directory."""
    _, ours = sides(server)
    ours.fetch(max_images=2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not writable:
        may = os.access
        monkeypatch.setattr(os, "access", lambda path, mode, **kw: mode != os.W_OK and may(path, mode, **kw))
        before = aged(ours.directory)
    for _ in ("made", "kept"):
        found = ours.fetch(mode="offline", resample=True)
        assert [nib.load(path).affine[0, 0] for path in found.images] == [3, 3]
        if not writable:
            assert all(str(tmp_path / "cache") in path for path in found.images)
            assert snapshot(ours.directory) == before
        else:
            assert len(ours.files("*_resampled.nii.gz")) == 2
    assert OfflineWarning not in [each.category for each in ours.warnings]  # offline was asked for


def as_plain_nifti(serve, corpus, tmp_path):
    """Serve image 1002 uncompressed, as many uploaders do."""
    plain = tmp_path / "visual_1002.nii"
    plain.write_bytes(gzip.decompress((corpus / "media/images/1/visual_1002.nii.gz").read_bytes()))

    def edit(kind, row):
        if row["id"] == 1002:
            row["file"] = row["file"].removesuffix(".gz")
            row["file_size"] = plain.stat().st_size

    return serve(edit, {"images/1/visual_1002.nii": stored(plain)})


def test_a_plain_nifti_is_stored_as_what_its_name_says(sides, serve, corpus, tmp_path, defect_of_nilearn):
    """B: a `.nii` file is stored as `image_<id>.nii.gz` that nothing can read."""
    nilearn, ours = sides(as_plain_nifti(serve, corpus, tmp_path))
    expected = voxels(corpus / "media/images/1/visual_1002.nii.gz")
    with defect_of_nilearn("stores a .nii file as .nii.gz"):
        path = nilearn.fetch_ids(image_ids=[1002]).images[0]
        with pytest.raises(ImageFileError):
            voxels(path)
    path = ours.fetch_ids(image_ids=[1002]).images[0]
    assert path.endswith("collection_1/image_1002.nii.gz")
    assert Path(path).read_bytes()[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(voxels(path), expected)


def test_nothing_temporary_survives_and_one_failure_stays_one(
    sides, serve, corpus, tmp_path, defect_of_nilearn
):
    """B: `resample=True` leaves `tmp_*.nii.gz` behind; offline + resample over it fails the whole call."""
    nilearn, ours = sides(as_plain_nifti(serve, corpus, tmp_path))
    with defect_of_nilearn("leaves a temporary file behind a failed resampling"):
        assert sorted(ids_of(nilearn.fetch(collection_id=1, resample=True))) == [1001, 1003]
        assert len(nilearn.files("tmp_*.nii.gz")) == 1
    assert ids_of(ours.fetch(collection_id=1, resample=True)) == [1001, 1002, 1003]
    names = {name.rpartition("/")[2] for name in ours.files()}
    images = {
        f"image_{n}{suffix}" for n in (1001, 1002, 1003) for suffix in ("_metadata.json", "_resampled.nii.gz")
    }
    assert names == images | {"collection_metadata.json"}

    nilearn.directory = ours.directory = tmp_path / "old cache of nilearn"
    nilearn.fetch_ids(image_ids=[1001, 1002, 1003])
    (nilearn.root / "collection_1/image_1003.nii.gz").write_bytes(b"<html>")
    with (
        defect_of_nilearn("fails the whole call over one bad file, offline and resampling"),
        pytest.raises(ImageFileError),
    ):
        nilearn.fetch(mode="offline", resample=True)
    found = ours.fetch(mode="offline", resample=True)
    assert {1001} <= set(ids_of(found)) <= {1001, 1002}
    assert 1003 in {each["id"] for each in found.failures}
    assert all(nib.load(path).affine[0, 0] == 3 for path in found.images)


def test_file_size_is_read(sides, serve, caplog, defect_of_nilearn):
    """B: `file_size` is never read; here checked, when it is not 0; Content-Length and the gzip CRC win."""
    sizes = {1001: 12345, 1002: 0}

    def edit(kind, row):
        row.update({"file_size": sizes[row["id"]]} if row["id"] in sizes else {})

    server = serve(edit)
    nilearn, ours = sides(server)
    server.faults.add("short", "_1003.nii", after=900)
    with defect_of_nilearn("keeps a file that is shorter than file_size says"):
        found = nilearn.fetch_ids(image_ids=[1003])
        assert Path(found.images[0]).stat().st_size == 900 < found.images_meta[0]["file_size"]
    server.faults.add("short", "_1003.nii", after=900)
    with caplog.at_level(logging.INFO, "nvframe"):
        found = ours.fetch_ids(image_ids=[1001, 1002, 1003])
    assert Path(found.images[2]).stat().st_size == found.images_meta[2]["file_size"]
    assert found.failures == []
    assert [voxels(path).shape for path in found.images] == [(24, 28, 24)] * 3
    told = [record.message for record in caplog.records if "listed as" in record.message]
    assert len(told) == 1
    assert "image 1001" in told[0]
    assert "listed as 12345" in told[0]


@pytest.mark.parametrize("kind", ["collections", "images"])
def test_an_id_of_the_server_is_no_path(sides, serve, kind, tmp_path, defect_of_nilearn):
    """B: a server id such as `../../x` would become a path; here ids are validated before they become keys."""

    def edit(which, row):
        if which == kind and row["id"] in (2, 1006):
            row["id"] = "../../../../escaped"

    nilearn, ours = sides(serve(edit))
    for side in (nilearn, ours):
        side.directory = tmp_path / side.module.__name__ / "data"
    nilearn.fetch(max_images=None)
    if kind == "collections":  # an image's id leads into a directory that is not there, and so to nothing
        with defect_of_nilearn("writes where a server's id leads"):
            assert (nilearn.directory.parent / "escaped/collection_metadata.json").is_file()

    found = ours.fetch(max_images=None)
    lost = {1005, 1006, 1007} if kind == "collections" else {1006}
    assert set(ids_of(found)) == {1001, 1002, 1003, 1005, 1006, 1007, 1009, 1010, 1011} - lost
    assert "is not a NeuroVault id" in found.failures[0]["error"]
    assert [p.name for p in ours.directory.parent.iterdir()] == ["data"]
    assert [p.name for p in ours.directory.iterdir()] == ["neurovault"]
    assert {p.name for p in ours.root.iterdir()} <= {f"collection_{n}" for n in (1, 2, 3)}

import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import xarray as xr
from nilearn.masking import apply_mask

import nvframe
from nvframe.errors import GridMismatchError, NvframeError, PartialResultWarning, StorageError
from nvframe.results.zarr import shards
from nvframe.results.zarr import write as filling


@pytest.fixture
def forty(stored, brain):
    metadata = [
        {"age": i, "map_type": "T map", "modify_date": f"2026-11-{1 + i % 28:02}T10:00:00Z"}
        for i in range(40)
    ]
    return stored(*(brain(seed) for seed in range(40)), metadata=metadata)


@pytest.fixture
def written(monkeypatch):
    """Note which rows are written; a number in `broken` makes the write of that shard fail."""
    seen = []
    genuine = shards.write_shard

    def noting(target, shard):
        if shard.start in noting.broken:
            raise KeyboardInterrupt
        seen.append([row.number for row in shard.rows])
        return genuine(target, shard)

    noting.broken = set()
    noting.rows = seen
    monkeypatch.setattr(filling, "write_shard", noting)
    return noting


def opened(url):
    """Open a Zarr; with nvframe it is the same Dataset as without."""
    plain = xr.open_zarr(url, chunks=None)
    xr.testing.assert_identical(xr.open_dataset(url, engine="nvframe"), xr.open_zarr(url, chunks=None))
    return plain


def assert_holds(url, frame, ids=None):
    """Whatever way it was written, the Zarr is what `to_xarray` gives."""
    ds, expected = opened(url).load(), frame.to_xarray().load()
    assert (ds.status == 1).all()
    ds = ds.drop_vars(["status", "source"]).drop_attrs(deep=False)
    xr.testing.assert_identical(ds, expected.drop_attrs(deep=False))
    assert ds.stat_map.values.tobytes() == expected.stat_map.values.tobytes()


def test_what_is_read_is_what_was_stored(forty, tmp_path):
    url = str(tmp_path / "cube.zarr")
    assert forty.to_zarr(url) == url
    assert_holds(url, forty)
    encoding = opened(url).stat_map.encoding
    assert encoding["chunks"] == (1, 9, 8, 7)
    assert encoding["shards"] == (16, 9, 8, 7)
    assert opened(url).attrs["map_type"] == "T map"
    assert opened(url).status.attrs["flag_meanings"] == "missing stored"


def test_it_is_read_without_nvframe(forty, tmp_path):
    url = forty[:3].to_zarr(tmp_path / "cube.zarr")
    expected = tmp_path / "expected.npy"
    np.save(expected, forty[:3].to_xarray().stat_map.values)
    code = f"""
import sys
sys.modules["nvframe"] = None
import warnings
warnings.simplefilter("error")
import numpy as np, xarray as xr
ds = xr.open_zarr({url!r}, chunks=None)
assert ds.stat_map.values.tobytes() == np.load({str(expected)!r}).tobytes()
assert ds.id.values.tolist() == [1, 2, 3]
assert str(ds.modify_date.dtype).startswith("datetime64")
assert ds.map_type.values.tolist() == ["T map"] * 3
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_more_images_are_added_and_nothing_stored_is_touched(forty, tmp_path, written):
    url = forty[:20].to_zarr(tmp_path / "cube.zarr")
    first = next(tmp_path.glob("cube.zarr/stat_map/c/0/**/0"))
    before = first.stat()
    forty[5:].to_zarr(url)
    assert [rows for rows in written.rows if rows[0] < 16] == [list(range(16))]
    assert sorted(itertools.chain(*written.rows)) == list(range(40))
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert_holds(url, forty)
    forty.to_zarr(url)
    assert len(written.rows) == 4


@pytest.mark.parametrize("broken", [{0}, {16}, {32}, {0, 16, 32}])
def test_a_killed_run_is_completed_by_the_next(forty, tmp_path, written, broken):
    url = tmp_path / "cube.zarr"
    written.broken = broken
    with pytest.raises(KeyboardInterrupt):
        forty.to_zarr(url, max_workers=1)
    stored = [row for rows in written.rows for row in rows]
    missing = xr.open_zarr(url, chunks=None, consolidated=False).status.values == 0
    assert np.flatnonzero(~missing).tolist() == stored
    written.broken = set()
    written.rows.clear()
    forty.to_zarr(url)
    assert sorted(itertools.chain(*written.rows)) == np.flatnonzero(missing).tolist()
    assert_holds(url, forty)


def kills(n, monkeypatch):
    """Let the n-th change of a Zarr's arrays end the program."""
    from nvframe.results.zarr import arrays
    from nvframe.results.zarr import store as cube

    count = iter(range(10_000))
    names = ("write_whole", "put_copy", "grow", "resize", "create_maps")
    for module, name in [*((cube, name) for name in names), (arrays, "resize")]:
        genuine = getattr(module, name)

        def dying(*args, genuine=genuine):
            if next(count) == n:
                raise KeyboardInterrupt
            return genuine(*args)

        monkeypatch.setattr(module, name, dying)


@pytest.mark.parametrize("n", [0, 1, 3, 7, 12, 20, 26, 28])
def test_a_run_that_is_killed_while_it_prepares_costs_nothing(stored, brain, tmp_path, n):
    frame = stored(*(brain(seed) for seed in range(20)), metadata=[{"age": i} for i in range(20)])
    url = tmp_path / "cube.zarr"
    frame[:10].to_zarr(url)
    with pytest.MonkeyPatch.context() as patch:
        kills(n, patch)
        with pytest.raises(KeyboardInterrupt):
            frame.to_zarr(url)
    readable = opened(url)  # readers see the old state until the new one is complete
    assert readable.sizes["image"] == 10
    np.testing.assert_array_equal(readable.stat_map, frame[:10].to_xarray().stat_map)
    frame.to_zarr(url)
    assert_holds(url, frame)


def changing(stored, brain, tmp_path):
    """Return a frame whose second half changes what there is: types, words, what all images share."""
    early = [{"age": i, "note": "calm", "map_type": "T map"} for i in range(3)]
    late = [{"age": None, "note": 7, "map_type": "Z map", "fresh": i} for i in range(3)]
    stored(*(brain(seed) for seed in range(6)), metadata=early + late)
    for number, word in enumerate(["calm", "dull", "easy", "fear", "glad", "hope"], 1):
        place = tmp_path / "neurovault/collection_1" / f"neurosynth_words_for_image_{number}.json"
        place.write_text(json.dumps({"data": {"values": {word: number / 10}}}))
    return nvframe.fetch(
        mode="offline",
        data_dir=tmp_path,
        image_terms={},
        collection_terms={},
        annotators=["neurosynth-words"],
    )


def test_readers_see_what_was_there_until_all_is_filled(stored, brain, tmp_path, written):
    frame, url = changing(stored, brain, tmp_path), tmp_path / "cube.zarr"
    frame[:3].to_zarr(url)
    before = opened(url).load()
    written.broken = {0}
    with pytest.raises(KeyboardInterrupt):
        frame.to_zarr(url)
    xr.testing.assert_identical(xr.open_zarr(url, chunks=None, consolidated=True).load(), before)
    written.broken = set()
    frame[:4].to_zarr(url)  # fewer than were added: those of the killed run stay, and are missing
    assert opened(url).status.values.tolist() == [1, 1, 1, 1, 0, 0]
    frame.to_zarr(url)
    assert_holds_all_of(url, frame)


@pytest.mark.parametrize("n", range(0, 40, 3))
def test_whenever_a_run_is_killed_nothing_known_is_lost(stored, brain, tmp_path, n):
    frame, url = changing(stored, brain, tmp_path), tmp_path / "cube.zarr"
    frame[:3].to_zarr(url)
    with pytest.MonkeyPatch.context() as patch:
        kills(n, patch)
        with suppress(KeyboardInterrupt):
            frame.to_zarr(url)
    frame[3:].to_zarr(url)  # what is known of the first three now comes from the Zarr alone
    assert_holds_all_of(url, frame)


def assert_holds_all_of(url, frame):
    ds, expected = opened(url).load(), frame.to_xarray().load()
    assert (ds.status == 1).all()
    assert "map_type" not in ds.attrs
    assert ds.note.values.tolist() == ['"calm"'] * 3 + ["7"] * 3
    assert not (Path(url) / "_next").exists()
    ds = ds.drop_vars(["status", "source", "note"]).drop_attrs()
    xr.testing.assert_identical(ds, expected.drop_vars("note").drop_attrs())


@pytest.mark.parametrize("n", [0, 1, 5, 20])
def test_a_creation_that_is_killed_is_begun_again(forty, tmp_path, n):
    url = tmp_path / "cube.zarr"
    with pytest.MonkeyPatch.context() as patch:
        kills(n, patch)
        with pytest.raises(KeyboardInterrupt):
            forty[:3].to_zarr(url)
    forty[:3].to_zarr(url)
    assert_holds(url, forty[:3])


def test_columns_take_the_type_that_fits_all(stored, brain, tmp_path):
    early = [
        {"age": 20, "ok": True, "note": "a", "when": "2026-11-22T10:00:00Z", "odd": 1},
        {"age": 21, "ok": False},
    ]
    late = [{"age": None, "ok": None, "note": 7, "when": None, "odd": "x", "fresh": 2.5}]
    frame = stored(brain(0), brain(1), brain(2), metadata=early + late)
    url = tmp_path / "cube.zarr"
    frame[:2].to_zarr(url)
    assert opened(url).age.dtype == np.int64
    frame.to_zarr(url)
    cube, expected = opened(url), frame.to_xarray()
    for name in ("age", "ok", "when", "fresh", "id"):
        xr.testing.assert_identical(cube[name].variable.load(), expected[name].variable)
    assert cube.note.values.tolist() == ['"a"', '""', "7"]
    assert cube.odd.attrs == {"encoding": "JSON"}


def test_words_are_added_at_the_end(nvframe_server, tmp_path):
    frame = nvframe.fetch(data_dir=tmp_path, annotators=["neurosynth-words"], processors=["resample-3mm"])
    order = sorted(range(len(frame)), key=lambda i: frame.images_meta[i]["id"])
    ds = frame.to_xarray(on_mismatch="drop")
    n = ds.sizes["image"]
    url = frame[order[: n // 2]].to_zarr(tmp_path / "cube.zarr", on_mismatch="drop")
    words = opened(url).word.values.tolist()
    frame[order].to_zarr(url, on_mismatch="drop")
    cube = opened(url)
    assert cube.word.values.tolist()[: len(words)] == words
    expected = ds.set_index(image="id").word_frequencies.sel(image=cube.id.values, word=cube.word.values)
    np.testing.assert_array_equal(cube.word_frequencies, expected)


def test_images_that_do_not_fit_are_refused_or_left_out(stored, brain, tmp_path):
    frame = stored(brain(0), brain(1, zoom=3.0), brain(2, origin=(-10, -6, -4)), brain(3, shape=(4, 4, 4)))
    url = tmp_path / "cube.zarr"
    frame[[0]].to_zarr(url)
    with pytest.raises(
        GridMismatchError, match=r"image 2: it lies on another lattice.*overwrite=True.*resample"
    ):
        frame[[1]].to_zarr(url)
    with pytest.raises(GridMismatchError, match="image 3: it reaches outside the array's box"):
        frame[[2]].to_zarr(url)
    frame.to_zarr(url, on_mismatch="drop")
    cube = opened(url)
    assert cube.id.values.tolist() == [1, 4]
    assert [failure.image_id for failure in frame.failures] == ["2", "3"]
    back = nvframe.to_nifti(cube.stat_map[1].load(), original_extent=True)
    np.testing.assert_array_equal(back.dataobj, frame.load(3).dataobj)


def test_what_else_lies_there_is_refused(forty, tmp_path):
    frame = forty[:2]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    xr.Dataset({"a": ("b", [1])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StorageError, match="not a Zarr lies at"):
        frame.to_zarr(tmp_path / "notes")
    with pytest.raises(StorageError, match="remove it yourself"):
        frame.to_zarr(tmp_path / "notes", overwrite=True)
    with pytest.raises(StorageError, match=r"another Zarr lies at.*overwrite=True"):
        frame.to_zarr(tmp_path / "other.zarr")
    frame.to_zarr(tmp_path / "other.zarr", overwrite=True)
    assert_holds(tmp_path / "other.zarr", frame)
    forty[3:5].to_zarr(tmp_path / "other.zarr", overwrite=True)
    assert_holds(tmp_path / "other.zarr", forty[3:5])


def test_another_version_of_a_stored_image_is_reported_and_left_out(stored, brain, tmp_path):
    frame = stored(brain(0), brain(1))
    url = frame.to_zarr(tmp_path / "cube.zarr")
    changed = stored(brain(7))
    with pytest.warns(PartialResultWarning, match="another version"):
        changed[[0]].to_zarr(url)
    np.testing.assert_array_equal(opened(url).stat_map[0], brain(0).get_fdata(dtype="f4"))
    assert changed.failures[0].image_id == "1"


def test_a_damaged_file_stays_missing_until_it_is_mended(forty, tmp_path):
    frame, url = forty[:3], tmp_path / "cube.zarr"
    path = frame.local_paths()[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:400])
    with pytest.warns(PartialResultWarning, match="1 images were not written"):
        frame.to_zarr(url)
    assert opened(url).status.values.tolist() == [1, 0, 1]
    assert np.isnan(opened(url).stat_map[1]).all()
    path.write_bytes(whole)
    frame.to_zarr(url)
    assert_holds(url, frame)


def test_a_row_without_its_image_takes_the_version_that_is_there_now(stored, brain, tmp_path):
    frame, url = stored(brain(0), brain(1)), tmp_path / "cube.zarr"
    frame.local_paths()[0].write_bytes(b"cut off")
    with pytest.warns(PartialResultWarning, match="1 images were not written"):
        frame.to_zarr(url)
    mended = stored(brain(7, shape=(4, 8, 7)))
    mended.to_zarr(url)
    np.testing.assert_array_equal(opened(url).stat_map[0], mended.to_xarray().stat_map[0])
    for name in ("sha256", "x_max"):
        np.testing.assert_array_equal(opened(url)[name], mended.to_xarray()[name])


def test_rows_of_voxels_are_nilearns(forty, brain, tmp_path):
    chosen = np.random.default_rng(3).random((9, 8, 7)) < 0.3
    mask = nib.Nifti1Image(chosen.astype("u1"), brain().affine)
    url = forty[:20].to_zarr(tmp_path / "rows.zarr", layout="voxels", mask_img=mask)
    forty.to_zarr(url, layout="voxels", mask_img=mask)
    ds = opened(url)
    np.testing.assert_array_equal(ds.stat_map, apply_mask(forty.images, mask))
    rows = forty.to_xarray().nvframe.masked(mask)
    for name in ("x", "y", "z", "coverage", "id"):
        np.testing.assert_array_equal(ds[name], rows[name])
    assert ds.stat_map.encoding["chunks"] == (16, chosen.sum())
    other = nib.Nifti1Image((~chosen).astype("u1"), mask.affine)
    with pytest.raises(ValueError, match="another mask_img"):
        forty.to_zarr(url, layout="voxels", mask_img=other)
    with pytest.raises(ValueError, match="layout='voxels'"):
        forty.to_zarr(url)
    for wrong in ({"layout": "voxels"}, {"mask_img": mask}, {"layout": "cube"}):
        with pytest.raises(ValueError, match="layout must be"):
            forty.to_zarr(tmp_path / "new.zarr", **wrong)


def test_processes_write_what_threads_write(forty, tmp_path):
    with ProcessPoolExecutor(2) as pool:
        url = forty.to_zarr(tmp_path / "cube.zarr", executor=pool)
    assert_holds(url, forty)


def test_progress_counts_images(forty, tmp_path):
    events = []
    forty.to_zarr(tmp_path / "cube.zarr", progress=events.append)
    assert events[0].kind == "start"
    assert events[0].wanted == 40
    assert [event.done for event in events if event.kind == "image"] == list(range(1, 41))
    assert (events[-1].kind, events[-1].done, events[-1].failed) == ("finish", 40, 0)


def test_an_image_that_stands_in_a_frame_twice_is_stored_once(forty, tmp_path):
    url = forty[[0, 1, 0]].to_zarr(tmp_path / "cube.zarr")
    assert_holds(url, forty[:2])


def test_an_array_is_replaced_only_by_one_that_can_be_written(stored, brain, tmp_path):
    frame = stored(brain(0), brain(1), brain(2, zoom=3.0))
    url = frame[:2].to_zarr(tmp_path / "cube.zarr")
    with pytest.raises(GridMismatchError):
        frame.to_zarr(url, overwrite=True)
    with pytest.raises(ValueError, match="no image"):
        frame[:0].to_zarr(url, overwrite=True)
    assert_holds(url, frame[:2])


@pytest.mark.parametrize(
    "name", ["status", "source", "coverage", "..", "zarr.json", "a\\b", "a\0b", "é" * 300]
)
def test_uploaders_name_fields_as_they_like(stored, brain, tmp_path, name):
    frame = stored(*(brain(seed) for seed in range(3)), metadata=[{name: "theirs"}] * 3)
    url = frame[:2].to_zarr(tmp_path / "cube.zarr")
    frame.to_zarr(url)
    assert_holds(url, frame)
    assert opened(url).source.values.tolist() == ["neurovault"] * 3
    assert [c for c in opened(url).coords if opened(url)[c].values.tolist() == ["theirs"] * 3]


def test_a_file_that_changed_is_not_written_under_the_old_ones_checksum(stored, brain, tmp_path):
    frame = stored(brain(0), brain(1))
    path = frame.local_paths()[1]
    body = bytearray(gzip.decompress(path.read_bytes()))
    body[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(body), mtime=0).ljust(path.stat().st_size, b"\0"))
    with pytest.warns(PartialResultWarning, match="image 2: .*changed since it was stored: fetch it again"):
        frame.to_zarr(tmp_path / "cube.zarr")
    assert opened(tmp_path / "cube.zarr").status.values.tolist() == [1, 0]


def test_a_path_is_a_path_however_it_is_written(stored, brain, tmp_path, monkeypatch):
    frame = stored(brain(0), brain(1))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for url in (f"file://{tmp_path}/cube.zarr", "~/cube.zarr", "cube.zarr", f"{tmp_path}/cube.zarr/"):
        assert frame.to_zarr(url) == url
    assert [path.name for path in tmp_path.rglob("*.zarr")] == ["cube.zarr"]
    assert_holds(tmp_path / "cube.zarr", frame)


def test_a_place_that_cannot_be_written_is_named(stored, brain, tmp_path):
    (tmp_path / "note").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot .*note/cube\.zarr"):
        stored(brain(0)).to_zarr(tmp_path / "note" / "cube.zarr")


def test_what_was_only_found_is_fetched_first(stored, brain, tmp_path):
    stored(brain(0))
    found = nvframe.search(mode="offline", data_dir=tmp_path, image_terms={}, collection_terms={})
    uses = (
        found.to_xarray,
        found.duplicates,
        found.grids,
        found.local_paths,
        lambda: found.to_zarr(tmp_path / "cube.zarr"),
        lambda: found.to("manifest", url=str(tmp_path / "manifest.json")),
    )
    for use in uses:
        with pytest.raises(NvframeError, match="call its fetch"):
            use()


def test_a_second_writer_is_refused(forty, tmp_path):
    url, told = tmp_path / "cube.zarr", []

    def write_too(event):
        with pytest.raises(StorageError, match="another call is writing") as caught:
            forty[3:5].to_zarr(url)
        told.append(caught)

    forty[:3].to_zarr(url, progress=write_too)
    assert told
    with ProcessPoolExecutor(1) as pool:  # whose worker outlives the call
        forty[:5].to_zarr(url, executor=pool)
        forty[:20].to_zarr(url, executor=pool)
    assert_holds(url, forty[:20])


def test_nothing_is_left_where_nothing_was_written(forty, tmp_path):
    with pytest.raises(ValueError, match="no image"):
        forty[:0].to_zarr(tmp_path / "cube.zarr")
    assert not (tmp_path / "cube.zarr").exists()


class Unreliable(ThreadPoolExecutor):
    """Gives no answer for the first shard, as Dask does where its worker was killed again and again."""

    def submit(self, work, target, shard):
        return super().submit(self.fail if shard.start == 0 else work, target, shard)

    def fail(self, target, shard):
        raise MemoryError("killed")


def test_a_shard_that_kills_its_workers_costs_its_own_images(forty, tmp_path):
    url = tmp_path / "cube.zarr"
    with Unreliable(1) as pool, pytest.warns(PartialResultWarning, match="16 images were not written"):
        forty.to_zarr(url, executor=pool)
    assert opened(url).status.values.tolist() == [0] * 16 + [1] * 24
    forty.to_zarr(url)
    assert_holds(url, forty)


def kill(target, shard):
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_executor_that_does_not_do_is_explained(forty, tmp_path, monkeypatch):
    class Client:
        def submit(self, *work):
            return object()

    with pytest.raises(TypeError, match=r"client\.get_executor\(pure=False\)"):
        forty.to_zarr(tmp_path / "cube.zarr", executor=Client())
    with monkeypatch.context() as patch, ProcessPoolExecutor(1) as pool:
        patch.setattr(filling, "write_shard", kill)
        with pytest.raises(NvframeError, match="What is stored stays: run the same call again"):
            forty.to_zarr(tmp_path / "cube.zarr", executor=pool)
    forty.to_zarr(tmp_path / "cube.zarr")
    assert_holds(tmp_path / "cube.zarr", forty)

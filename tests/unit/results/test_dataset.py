import pickle

import fsspec
import nibabel as nib
import numpy as np
import pytest
import xarray as xr

import nvframe
from nvframe.errors import GridMismatchError, PartialResultWarning
from nvframe.http.retry import Retry
from nvframe.testing import NeuroVaultServer


@pytest.fixture(scope="module")
def server():
    with NeuroVaultServer.synthetic(grids=("RAS-8mm",), specials=True) as server:
        yield server


@pytest.fixture
def frame(server, tmp_path, monkeypatch):
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return nvframe.fetch(data_dir=tmp_path, annotators=["neurosynth-words"])


@pytest.fixture
def reads(frame, monkeypatch):
    """Count the files that are read."""
    seen = []
    read = type(frame.storage).read

    def counted(self, key):
        seen.append(key)
        return read(self, key)

    monkeypatch.setattr(type(frame.storage), "read", counted)
    return seen


def test_it_is_lazy_until_values_are_asked_for(frame, reads):
    ds = frame.to_xarray()
    part = ds.isel(image=[0, 2, 4]).sel(z=slice(-20, 20))
    repr(part)
    assert reads == []
    part.stat_map.load()
    assert len(reads) == 3


def test_values_and_coordinates_are_those_of_the_files(frame):
    ds = frame.to_xarray()
    for i, path in enumerate(frame.images):
        img = nib.as_closest_canonical(nib.load(path))
        back = nvframe.to_nifti(ds.stat_map.isel(image=i))
        np.testing.assert_array_equal(back.affine, img.affine)
        np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), img.get_fdata(dtype=np.float32))
    for axis in "xyz":
        assert (np.diff(ds[axis]) > 0).all()
        assert ds[axis].attrs["units"] == "mm"


@pytest.mark.parametrize(
    "key",
    [
        {"image": 0},
        {"image": slice(1, 4), "x": 3},
        {"image": [2, 0], "y": slice(None, None, 2)},
        {"z": slice(None, None, -1)},
        {"image": slice(0, 0)},
        {"image": [0, 1], "x": [5, 2, 2], "z": -1},
    ],
    ids=str,
)
def test_any_part_equals_the_part_of_the_whole(frame, key):
    ds = frame.to_xarray()
    whole = frame.to_xarray().stat_map.load()
    xr.testing.assert_identical(ds.stat_map.isel(key).load(), whole.isel(key))


def test_it_chunks_and_pickles(frame):
    ds = frame.to_xarray()
    chunked = pickle.loads(pickle.dumps(ds.chunk({"image": 1})))
    np.testing.assert_array_equal(chunked.stat_map.mean("image").compute(), ds.stat_map.mean("image"))


def test_metadata_are_typed_coordinates(frame):
    ds = frame.to_xarray()
    assert ds.id.values.tolist() == [meta["id"] for meta in frame.images_meta]
    assert ds.is_thresholded.dtype == np.int8
    assert ds.modify_date.dtype == "datetime64[ns]"
    assert set(ds.original_axcodes.values) <= {"RAS", "LAS"}
    assert ds.sha256.values.tolist() == [asset.sha256 for asset in frame.assets]
    assert not [name for name in ds.coords if "path" in str(name)]


def test_words_stand_beside_and_failed_rows_are_nan(server, tmp_path, monkeypatch):
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    server.faults.add("words_down", times=2, how="status")
    with (
        nvframe.set_options(retry=Retry(tries=1)),
        pytest.warns(nvframe.errors.PartialResultWarning),
    ):
        frame = nvframe.fetch(data_dir=tmp_path, annotators=["neurosynth-words"])
    ds = frame.to_xarray()
    assert ds.word_frequencies.dims == ("image", "word")
    failed = [annotation is None for annotation in frame.annotations["neurosynth-words"]]
    assert sum(failed) == 2
    np.testing.assert_array_equal(np.isnan(ds.word_frequencies).all("word"), failed)
    assert ds.sel(word="motor").word_frequencies.sizes == {"image": len(frame)}


def write(directory, maps):
    """Leave images as nilearn would, without a word about their grids."""
    import json

    collection = directory / "neurovault" / "collection_1"
    collection.mkdir(parents=True)
    (collection / "collection_metadata.json").write_text('{"id": 1}')
    for number, img in enumerate(maps, 1):
        nib.save(img, collection / f"image_{number}.nii.gz")
        (collection / f"image_{number}_metadata.json").write_text(
            json.dumps({"id": number, "collection_id": 1})
        )


def image(origin=(0, 0, 0), shape=(3, 3, 3), zoom=2.0, value=1.0):
    affine = np.diag([zoom, zoom, zoom, 1.0])
    affine[:3, 3] = origin
    return nib.Nifti1Image(np.full(shape, value, np.float32), affine)


def offline(directory):
    return nvframe.fetch(mode="offline", data_dir=directory, image_terms={}, collection_terms={})


def test_nan_is_what_lies_outside_the_field_of_view(tmp_path):
    hollow = image(value=0.0)
    write(tmp_path, [image(), image(origin=(2, 0, 0), value=7.0), hollow])
    ds = offline(tmp_path).to_xarray()
    assert ds.sizes == {"image": 3, "x": 4, "y": 3, "z": 3}
    assert np.isnan(ds.stat_map[0, 3]).all()
    assert np.isnan(ds.stat_map[1, 0]).all()
    assert (ds.stat_map[1].sel(x=slice(2, 6)) == 7).all()
    assert (ds.stat_map[2, :3] == 0).all()
    inner = offline(tmp_path).to_xarray(join="inner")
    assert inner.sizes["x"] == 2
    assert not np.isnan(inner.stat_map).any()


def test_several_lattices_are_an_error_that_helps_or_are_dropped(tmp_path):
    write(tmp_path, [image(), image(), image(zoom=3.0), image(origin=(1, 0, 0))])
    frame = offline(tmp_path)
    with pytest.raises(GridMismatchError, match=r"3 lattices: 2 × 3×3×3 voxels of 2×2×2 mm.*'resample'"):
        frame.to_xarray()
    assert frame.failures == []
    ds = frame.to_xarray(on_mismatch="drop")
    assert ds.sizes["image"] == 2
    assert [failure.image_id for failure in frame.failures] == ["3", "4"]
    frame.to_xarray(on_mismatch="drop")
    assert len(frame.failures) == 2


def test_what_is_no_volume_of_numbers_is_a_failure_of_its_own(tmp_path):
    rgb = nib.Nifti1Image(np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4))
    four_d = nib.Nifti1Image(np.zeros((3, 3, 3, 2), np.float32), np.diag([2, 2, 2, 1]))
    squeezable = nib.Nifti1Image(np.ones((3, 3, 3, 1), np.float32), np.diag([2, 2, 2, 1]))
    write(tmp_path, [image(), rgb, four_d, squeezable])
    frame = offline(tmp_path)
    ds = frame.to_xarray()
    assert ds.id.values.tolist() == [1, 4]
    assert float(ds.stat_map.max()) == 1
    assert {failure.image_id: failure.stage for failure in frame.failures} == {"2": "open", "3": "open"}


@pytest.mark.parametrize("wrong", [{"join": "left"}, {"on_mismatch": "ignore"}, {"dtype": "int16"}])
def test_bad_choices_name_the_good_ones(frame, wrong):
    with pytest.raises(ValueError, match="must be"):
        frame.to_xarray(**wrong)


def test_engine_opens_what_nilearn_left(tmp_path):
    write(tmp_path, [image(value=v) for v in (1, 2)])
    ds = xr.open_dataset(tmp_path / "neurovault", engine="nvframe")
    assert ds.stat_map.mean(("x", "y", "z")).values.tolist() == [1, 2]
    nib.save(image(), tmp_path / "neurovault" / "collection_1" / "image_1_resampled.nii.gz")
    assert xr.open_dataset(tmp_path / "neurovault", engine="nvframe").sizes["image"] == 2
    with pytest.raises(FileNotFoundError, match="no stored image"):
        xr.open_dataset(tmp_path / "elsewhere", engine="nvframe")


def test_engine_asks_which_of_several_roles(frame):
    again = frame.fetch(processors=["resample-3mm"])
    with pytest.raises(ValueError, match="say which asset"):
        xr.open_dataset(again.storage.url, engine="nvframe")
    ds = xr.open_dataset(again.storage.url, engine="nvframe", role="resampled")
    assert float(ds.x[1] - ds.x[0]) == 3


def test_one_slice_keeps_its_thickness_on_the_way_back(tmp_path):
    img = nib.Nifti1Image(np.ones((3, 4, 1), np.float32), np.diag([2, 2, 8, 1]))
    write(tmp_path, [img])
    ds = offline(tmp_path).to_xarray()
    np.testing.assert_array_equal(nvframe.to_nifti(ds.stat_map[0]).affine, img.affine)


def test_engine_keeps_no_password(tmp_path):
    write(tmp_path, [image()])
    fsspec.filesystem("memory").put(str(tmp_path / "neurovault"), "/me:s3cr3t@host/maps", recursive=True)
    ds = xr.open_dataset("memory://me:s3cr3t@host/maps", engine="nvframe")
    assert ds.encoding["source"] == "memory://host/maps"
    assert ds.stat_map.values.any()
    assert b"s3cr3t" not in pickle.dumps(ds)


def test_engine_says_why_nothing_is_left(tmp_path):
    write(tmp_path, [nib.Nifti1Image(np.zeros((3, 3, 3, 2), np.float32), np.diag([2, 2, 2, 1]))])
    with pytest.raises(ValueError, match=r"no image to build a Dataset from; .*image 1: .*not one volume"):
        xr.open_dataset(tmp_path / "neurovault", engine="nvframe")


def test_engine_says_what_it_left_out_and_which_roles_there_are(tmp_path):
    four_d = nib.Nifti1Image(np.zeros((3, 3, 3, 2), np.float32), np.diag([2, 2, 2, 1]))
    write(tmp_path, [image(), image(), four_d])
    root = tmp_path / "neurovault"
    with pytest.warns(nvframe.errors.PartialResultWarning, match=r"1 of 3 .*image 3: .*not one volume"):
        assert xr.open_dataset(root, engine="nvframe").id.values.tolist() == [1, 2]
    nib.save(image(zoom=3.0), root / "collection_1" / "image_1_resampled.nii.gz")
    with pytest.warns(
        nvframe.errors.PartialResultWarning, match=r"2 of 3 .*image 2: .*no stored 'resampled'"
    ):
        ds = xr.open_dataset(root, engine="nvframe", role="resampled", drop_variables=["licence", "nothing"])
    assert ds.id.values.tolist() == [1]
    assert "licence" not in ds.coords
    with pytest.raises(
        ValueError, match=r"no image has a stored 'smooth': there are 'original' \(3 of 3 images\)"
    ):
        xr.open_dataset(root, engine="nvframe", role="smooth")


def test_a_directory_that_links_to_itself_is_listed_once(tmp_path):
    write(tmp_path, [image()])
    root = tmp_path / "neurovault"
    (root / "collection_1" / "again").symlink_to(root)
    (root / "collection_2").symlink_to("collection_1")
    (root / "me").symlink_to(".")
    storage = nvframe.storage.local.LocalStorage(str(root))
    keys = [entry.key for entry in storage.list()]
    names = ["collection_metadata.json", "image_1.nii.gz", "image_1_metadata.json"]
    assert keys == [f"collection_{n}/{name}" for n in (1, 2) for name in names]


def test_long_notes_cost_what_they_weigh(tmp_path):
    frame = offline_with_notes(tmp_path)
    column = frame.to_xarray().notes
    assert column.dtype == object
    assert column.values.tolist() == ["x" * 100_000, "short"]


def offline_with_notes(directory):
    import json

    write(directory, [image(), image()])
    for number, note in ((1, "x" * 100_000), (2, "short")):
        sidecar = directory / "neurovault" / "collection_1" / f"image_{number}_metadata.json"
        sidecar.write_text(json.dumps({"id": number, "collection_id": 1, "notes": note}))
    return offline(directory)


@pytest.mark.parametrize("collated", [None, {"score": (("image",), [1.0], {})}, ZeroDivisionError("scores")])
def test_an_annotator_that_cannot_collate_costs_its_own_columns(frame, tmp_path, collated):
    class Scores:
        name, metadata_key, sidecar_name = "scores", "scores", "scores_{id}.json"
        needs_network = needs_image = False

        def annotate(self, record, img=None):
            return {"score": 1}

        def collate(self, annotations):
            if isinstance(collated, Exception):
                raise collated
            return collated

    scored = nvframe.fetch(data_dir=tmp_path, annotators=[Scores(), "neurosynth-words"])
    with pytest.warns(PartialResultWarning, match="scores: its annotations are left out"):
        dataset = scored.to_xarray()
    assert dataset.sizes["word"] > 0
    assert "score" not in dataset

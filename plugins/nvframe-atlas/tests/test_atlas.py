"""Values in regions: equal to nilearn's maskers, aligned with the frame, and never a crash."""

import pickle
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.errors import AnnotationError, ProcessingError
from nvframe.types import ImageRecord
from nvframe_atlas.annotator import Regions
from nvframe_atlas.atlas import Atlas

RNG = np.random.default_rng(0)
AFFINES = {
    "as it is": np.diag([4.0, 4.0, 4.0, 1.0]),
    "shifted": nib.affines.from_matvec(np.diag([3.0, 3.5, 3.0]), [2.0, -1.0, 3.0]),
    "flipped": nib.affines.from_matvec(np.diag([-4.0, 4.0, 4.0]), [40.0, 0.0, 0.0]),
    "oblique": nib.affines.from_matvec(
        np.array([[3.9, 0.4, 0.0], [-0.4, 3.9, 0.2], [0.0, -0.2, 4.0]]), [1.0, 2.0, -1.0]
    ),
}


def labels_img(dtype="int16"):
    data = np.zeros((12, 13, 14), dtype)
    for i, label in enumerate([1, 2, 5, 9]):
        data[2 * i + 1 : 2 * i + 4, 2:10, 3:11] = label
    return nib.Nifti1Image(data, AFFINES["as it is"])


def maps_img():
    x = np.arange(12)[:, None, None, None]
    maps = np.exp(-((x - np.array([2, 5, 9])) ** 2) / 4) * np.ones((12, 13, 14, 3))
    maps[maps < 0.05] = 0
    return nib.Nifti1Image(maps.astype("float32"), AFFINES["as it is"])


def a_map(affine, nan=False):
    data = RNG.normal(size=(12, 13, 14)).astype("float32")
    if nan:
        data[4:6, 4:6] = np.nan
        data[0, 0, 0] = np.inf
    return nib.Nifti1Image(data, affine)


def by_nilearn(masker, img):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says what it resamples and trims
        return np.ravel(masker.fit_transform(img))


@pytest.mark.parametrize("nan", [False, True], ids=["finite", "with NaN"])
@pytest.mark.parametrize("where", AFFINES)
def test_means_over_labels_are_nilearns(where, nan):
    from nilearn.maskers import NiftiLabelsMasker

    img = a_map(AFFINES[where], nan)
    theirs = by_nilearn(NiftiLabelsMasker(labels_img(), resampling_target="data", standardize=None), img)
    np.testing.assert_allclose(Atlas(labels_img()).values(img), theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("nan", [False, True], ids=["finite", "with NaN"])
@pytest.mark.parametrize("where", AFFINES)
def test_fits_of_maps_are_nilearns(where, nan):
    from nilearn.maskers import NiftiMapsMasker

    img = a_map(AFFINES[where], nan)
    theirs = by_nilearn(NiftiMapsMasker(maps_img(), resampling_target="data", standardize=None), img)
    np.testing.assert_allclose(Atlas(maps_img()).values(img), theirs, rtol=1e-4, atol=1e-6)


def test_labels_may_be_stored_as_floating_point_numbers():
    img = a_map(AFFINES["shifted"])
    np.testing.assert_array_equal(Atlas(labels_img("float32")).values(img), Atlas(labels_img()).values(img))


def test_a_label_may_be_negative():
    img = a_map(AFFINES["shifted"])
    negative = labels_img().get_fdata()
    negative[negative == 5] = -5
    values = Atlas(nib.Nifti1Image(negative.astype("int16"), AFFINES["as it is"])).values(img)
    np.testing.assert_array_equal(values, Atlas(labels_img()).values(img)[[2, 0, 1, 3]])


def test_a_region_outside_the_field_of_view_is_unknown():
    whole = a_map(AFFINES["as it is"])
    part = nib.Nifti1Image(whole.get_fdata()[:4], whole.affine)
    values = Atlas(labels_img()).values(part)
    assert np.isnan(values).tolist() == [False, False, True, True]
    assert np.isnan(Atlas(maps_img()).values(part)).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("img", "problem"),
    [
        (nib.Nifti1Image(np.zeros((12, 13, 14, 2), "f4"), np.eye(4)), "not one volume"),
        (nib.Nifti1Image(np.ones((3, 3, 3), "f4"), nib.affines.from_matvec(np.eye(3), [900, 0, 0])), "atlas"),
    ],
    ids=["4-D", "elsewhere"],
)
def test_what_cannot_be_read_says_why(img, problem):
    with pytest.raises(ProcessingError, match=problem):
        Atlas(labels_img()).values(img)
    with pytest.raises(AnnotationError, match=problem):
        Regions(labels_img()).annotate(ImageRecord("s", "1", "1", "", {}), img)


@pytest.mark.parametrize(
    ("atlas", "names", "problem"),
    [
        ("no image", None, "no such file|No such file"),
        (nib.Nifti1Image(np.full((2, 2, 2), 0.5), np.eye(4)), None, "whole numbers"),
        (nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), None, "0 everywhere"),
        (labels_img(), ["one"], "1 names for 4 regions"),
        (labels_img(), ["a", "b", "c", "a"], "'a' is there twice"),
        (labels_img(), {1: "a", 2: "b", 5: "c"}, "no name for region 9"),
    ],
)
def test_a_wrong_atlas_or_name_is_told(atlas, names, problem):
    with pytest.raises((ValueError, OSError), match=problem):
        Atlas(atlas, names)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".tsv", "index\tname\n9\tnine\n1\tone\n2\ttwo\n5\tfive\n7\tseven\n"),
        (".csv", "Index,Name\n1,one\n2,two\n5,five\n9,nine\n"),
    ],
)
def test_names_come_from_the_table_beside_the_atlas(tmp_path, ending, text):
    labels_img().to_filename(tmp_path / "lab_dseg.nii.gz")
    (tmp_path / f"lab_dseg{ending}").write_text(text)
    assert Atlas(tmp_path / "lab_dseg.nii.gz").names == ["one", "two", "five", "nine"]


def test_names_of_maps_come_in_the_order_of_the_table(tmp_path):
    maps_img().to_filename(tmp_path / "lab_probseg.nii.gz")
    (tmp_path / "lab_probseg.tsv").write_text("name\nfront\nmiddle\nback\n")
    assert Atlas(str(tmp_path / "lab_probseg.nii.gz")).names == ["front", "middle", "back"]
    assert Atlas(maps_img()).names == ["0", "1", "2"]


def test_it_travels_and_does_not_change_the_atlas():
    atlas, img = labels_img(), a_map(AFFINES["shifted"])
    before = atlas.get_fdata().copy()
    regions = Regions(atlas)
    expected = regions.atlas.values(img)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(regions)).atlas.values(img), expected)
    np.testing.assert_array_equal(atlas.get_fdata(), before)


# In a fetch


@pytest.fixture
def atlas_file(tmp_path):
    """Write an atlas over the space of the synthetic maps."""
    data = np.zeros((20, 24, 20), "uint8")
    data[:10], data[10:] = 1, 2
    path = tmp_path / "halves_dseg.nii.gz"
    nib.Nifti1Image(data, nib.affines.from_matvec(np.diag([8, 8, 8]), [-80, -110, -60])).to_filename(path)
    (tmp_path / "halves_dseg.tsv").write_text("index\tname\n1\tleft\n2\tright\n")
    return path


def test_a_frame_becomes_a_table_with_nilearns_numbers(nvframe_server, tmp_path, atlas_file):
    from nilearn.maskers import NiftiLabelsMasker

    frame = nvframe.fetch(image_terms={}, max_images=4, data_dir=tmp_path / "data")
    table = frame.to("regions", atlas=atlas_file)
    assert table.columns.tolist() == ["left", "right"]
    assert table.index.tolist() == [meta["id"] for meta in frame.images_meta]
    for path, row in zip(frame.images, table.to_numpy(), strict=True):
        theirs = by_nilearn(NiftiLabelsMasker(atlas_file, resampling_target="data", standardize=None), path)
        np.testing.assert_allclose(row, theirs, rtol=1e-5)


def test_a_damaged_map_is_a_failure_and_a_row_of_nan(nvframe_server, tmp_path, atlas_file):
    frame = nvframe.fetch(image_terms={}, max_images=3, data_dir=tmp_path / "data")
    damaged = Path(frame.images[1])
    damaged.write_bytes(damaged.read_bytes()[:200])
    table = frame.to("regions", atlas=str(atlas_file))
    assert np.isnan(table.to_numpy()).all(axis=1).tolist() == [False, True, False]
    (failure,) = frame.failures
    assert (failure.stage, failure.plugin, failure.image_id) == ("open", "regions", str(table.index[1]))


def test_the_annotator_sees_the_processed_map_and_stands_in_the_dataset(nvframe_server, tmp_path, atlas_file):
    def twice(img, record):
        return nib.Nifti1Image(2 * img.get_fdata(), img.affine)

    frame = nvframe.fetch(
        image_terms={},
        max_images=2,
        data_dir=tmp_path / "data",
        processors=[twice],
        annotators=[("regions", {"atlas": atlas_file})],
    )
    ds = frame.to_xarray()
    assert ds["regions"].dims == ("image", "region")
    np.testing.assert_allclose(ds["regions"], frame.to("regions", atlas=atlas_file))
    raw = nvframe.fetch(image_terms={}, max_images=2, data_dir=tmp_path / "data")
    np.testing.assert_allclose(ds["regions"], 2 * raw.to("regions", atlas=atlas_file), rtol=1e-5)


def test_another_atlas_is_another_annotation(nvframe_server, tmp_path, atlas_file):
    options = {"image_terms": {}, "max_images": 1, "data_dir": tmp_path / "data"}
    halves = nvframe.fetch(annotators=[("regions", {"atlas": atlas_file})], **options)
    img = nib.load(atlas_file)
    whole = nib.Nifti1Image(np.ones(img.shape, "uint8"), img.affine)
    one = nvframe.fetch(annotators=[("regions", {"atlas": whole, "names": ["all"]})], **options)
    assert set(halves.annotations["regions"][0]["values"]) == {"left", "right"}
    assert set(one.annotations["regions"][0]["values"]) == {"all"}

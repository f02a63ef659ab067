"""Part C of the contract, end to end: what both leave on disk of maps that real uploaders send.

tests/compat/test_resample.py holds the arithmetic to 1e-12; files are float32 or less, so here a map agrees
within 1e-6 of its maximum, and a re-quantised one within a step of its scale.
"""

import warnings
from importlib.resources import files

import nibabel as nib
import numpy as np
import orjson
import pytest
from fsspec.implementations.local import LocalFileSystem
from nilearn.image import resample_img

from nvframe.imaging.grids import STD_AFFINE
from nvframe.imaging.resample import resample
from nvframe.mirror.stored import StoredFile

INTERPOLATIONS = ("continuous", "linear", "nearest")
SHAPE = (11, 12, 13)
OBLIQUE = np.array([[-7, 1.5, 0.3, 40], [1.2, 7, 0.4, -50], [-0.2, 0.6, 7, -40], [0, 0, 0, 1.0]])
AFFINES = {
    "RAS": np.array([[8, 0, 0, -40], [0, 8, 0, -50], [0, 0, 8, -40], [0, 0, 0, 1.0]]),
    "LAS": np.array([[-8, 0, 0, 40], [0, 8, 0, -50], [0, 0, 8, -40], [0, 0, 0, 1.0]]),
    "permuted": np.array([[0, 8, 0, -40], [0, 0, -7, 50], [6, 0, 0, -40], [0, 0, 0, 1.0]]),
    "off-grid": np.array([[2.5, 0, 0, 1 / 3], [0, 3.44, 0, -50.1], [0, 0, 1.9, 7.7], [0, 0, 0, 1.0]]),
    "oblique": OBLIQUE,
    "beyond the left edge": np.array([[8, 0, 0, -130], [0, 8, 0, -50], [0, 0, 8, -40], [0, 0, 0, 1.0]]),
}


def make(dtype="f4", affine="LAS", shape=SHAPE, slope=None, big_endian=False):
    values = np.random.default_rng(3).normal(0, 4, shape)
    values[: shape[0] // 3] = 0
    if np.dtype(dtype).kind == "u":
        values = np.abs(values) * 20
    header = nib.Nifti1Header(endianness=">" if big_endian else "<")
    img = nib.Nifti1Image(values.astype("f8" if slope else dtype), AFFINES[affine], header)
    img.set_data_dtype("i2" if slope else dtype)
    img.header["descrip"] = b"an uploader's words"
    img.header["cal_max"] = 3
    img.header.set_xyzt_units("mm", "sec")
    return img


def with_values(img, where, value):
    data = np.asanyarray(img.dataobj).copy()
    data[where] = value
    return nib.Nifti1Image(data, img.affine, img.header)


IMAGES = {
    **{f"float32 {name}": make(affine=name) for name in AFFINES},
    "float64": make("f8"),
    "int16": make("i2"),
    "scaled int16": make(slope=True),
    "uint8": make("u1"),
    "int64": make("i8"),
    "big-endian": make("f4", big_endian=True),
    "big-endian int16": make("i2", big_endian=True),
    "NaN background": with_values(make(), np.s_[:4], np.nan),
    "NaN hole": with_values(make(), np.s_[5:7, 5:8, 6], np.nan),
    "infinite": with_values(make(), np.s_[6, 6, 6], np.inf),
    "all zero": with_values(make(), np.s_[:], 0),
    "constant": with_values(make(), np.s_[:], 5),
    "one slice": make(shape=(11, 12, 1)),
    "4-D": make(shape=(*SHAPE, 2)),
    "4-D of one": make(shape=(*SHAPE, 1)),
}


@pytest.fixture
def special(serve, catalogue, tmp_path):
    """Serve the images above as collection 1's 2000, 2001, …"""
    row = orjson.loads(catalogue.record("images", "1001"))
    media = {}
    for n, (name, img) in enumerate(IMAGES.items()):
        path = tmp_path / f"served_{n}.nii.gz"
        nib.save(img, path)
        key = f"images/1/special_{n}.nii.gz"
        media[key] = StoredFile(LocalFileSystem(), str(path), path.stat().st_size)
        catalogue.add_image({**row, "id": 2000 + n, "name": name}, key)
    return serve(media=media)


def step_of(img):
    """Return how far apart two neighbouring values of a stored image are, where it is quantised."""
    slope = img.dataobj.slope
    return abs(slope) if np.issubdtype(img.get_data_dtype(), np.integer) and slope != 1 else 0


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_stored_maps_are_those_of_nilearn(sides, special, interpolation):
    """A6, C: same affine, shape and header fields on disk; values within 1e-6 of the maximum."""
    nilearn, ours = sides(special)
    call = {
        "collection_id": 1,
        "image_filter": lambda m: m["id"] >= 2000,
        "image_terms": {},
        "max_images": None,
    }
    theirs, mine = (
        side.fetch(resample=True, interpolation=interpolation, **call) for side in (nilearn, ours)
    )
    assert len(mine.images) == len(theirs.images) == len(IMAGES)
    assert mine.failures == []
    for a, b, meta in zip(theirs.images, mine.images, mine.images_meta, strict=True):
        expected, found = nib.load(a), nib.load(b)
        assert found.shape == expected.shape, meta["name"]
        np.testing.assert_array_equal(found.affine, expected.affine)
        data, other = np.asanyarray(expected.dataobj), np.asanyarray(found.dataobj)
        top = np.abs(data[np.isfinite(data)].astype(float)).max(initial=0)
        tolerance = max(1e-6 * top, 1.001 * step_of(expected))
        np.testing.assert_allclose(other, data, rtol=0, atol=tolerance, err_msg=meta["name"])
        for field in expected.header.keys():  # noqa: SIM118 - a header iterates over its keys only by this
            close = field in ("scl_slope", "scl_inter", "cal_min", "cal_max")
            np.testing.assert_allclose(
                found.header[field], expected.header[field], rtol=1e-5, atol=tolerance, err_msg=field
            ) if close else np.testing.assert_array_equal(found.header[field], expected.header[field], field)
        assert found.header.endianness == expected.header.endianness
        assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (2, 0)
        assert found.header["descrip"].item() == b"an uploader's words"


def test_a_resampled_file_is_the_same_bytes_each_time(sides, special):
    """C: gzip with mtime 0."""
    _, ours = sides(special)
    written = []
    for directory in ("once", "twice"):
        ours.directory = ours.directory.parent / directory
        path = ours.fetch_ids(image_ids=[2000], resample=True).images[0]
        with open(path, "rb") as file:  # noqa: PTH123
            written.append(file.read())
    assert written[0] == written[1]
    assert written[0][4:8] == bytes(4)


def test_an_image_wholly_outside_is_one_failure(sides, serve, catalogue, tmp_path, defect_of_nilearn):
    """C: an image wholly outside is one failure; nilearn loses it in silence."""
    far = make()
    far = nib.Nifti1Image(np.asanyarray(far.dataobj), far.affine - [[0, 0, 0, 900], *np.zeros((3, 4))])
    nib.save(far, tmp_path / "far.nii.gz")
    stored = StoredFile(LocalFileSystem(), str(tmp_path / "far.nii.gz"), 1)
    nilearn, ours = sides(serve(media={"images/1/visual_1002.nii.gz": stored}))
    with defect_of_nilearn("loses an image wholly outside without a word"):
        assert sorted(m["id"] for m in nilearn.fetch(collection_id=1, resample=True).images_meta) == [
            1001,
            1003,
        ]
        assert nilearn.warnings == []
    found = ours.fetch(collection_id=1, resample=True)
    assert [m["id"] for m in found.images_meta] == [1001, 1003]
    assert [(each["id"], each["stage"]) for each in found.failures] == [(1002, "process")]
    assert "wholly outside" in found.failures[0]["error"]


GRIDS = {
    "FSL": (
        np.array([[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1.0]]),
        (91, 109, 91),
        (61, 73, 61),
    ),
    "SPM": (
        np.array([[-2, 0, 0, 78], [0, 2, 0, -112], [0, 0, 2, -70], [0, 0, 0, 1.0]]),
        (79, 95, 79),
        (57, 69, 54),
    ),
    "fMRIPrep": (
        np.array([[2, 0, 0, -96], [0, 2, 0, -132], [0, 0, 2, -78], [0, 0, 0, 1.0]]),
        (97, 115, 97),
        (63, 75, 63),
    ),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_the_3mm_affine_fixes_the_origin_not_the_shape(grid):
    """C: FSL 2 mm → 61×73×61, SPM → 57×69×54, fMRIPrep → 63×75×63: as nilearn makes them."""
    affine, shape, expected = GRIDS[grid]
    img = nib.Nifti1Image(np.ones(shape, "i2"), affine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = resample_img(img, np.array(STD_AFFINE), interpolation="nearest")
    mine = resample(img, STD_AFFINE, interpolation="nearest")
    assert mine.shape == theirs.shape == expected
    np.testing.assert_array_equal(mine.affine, theirs.affine)
    np.testing.assert_array_equal(np.asanyarray(mine.dataobj), np.asanyarray(theirs.dataobj))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_the_real_map_as_stored(sides, serve, catalogue, interpolation):
    """A6 on a real NeuroVault map: image 10426, which nilearn ships."""
    path = str(files("nilearn.datasets.data") / "image_10426.nii.gz")
    row = orjson.loads(catalogue.record("images", "1001"))
    catalogue.add_image({**row, "id": 10426}, "images/1/real.nii.gz")
    server = serve(media={"images/1/real.nii.gz": StoredFile(LocalFileSystem(), path, 1)})
    expected, found = (
        nib.load(
            side.call("fetch_neurovault", resample=True, interpolation=interpolation, id=10426).images[0]
        )
        for side in sides(server)
    )
    assert found.header == expected.header
    data = np.asanyarray(expected.dataobj)
    np.testing.assert_allclose(np.asanyarray(found.dataobj), data, rtol=0, atol=1e-6 * np.abs(data).max())

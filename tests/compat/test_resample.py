"""resample() against nilearn.image.resample_img.

Tolerance: 1e-6 of the map's maximum is what compat.md promises; float64 is held to 1e-12, because the
operators do the peer's arithmetic in another order and nothing else. Where a type on the way is 32 bits
wide, two results may fall on neighbouring float32 numbers: 1e-6.
"""

import warnings
from importlib.resources import files

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.image import resample_img

from nvframe.errors import ProcessingError
from nvframe.imaging.grids import STD_AFFINE
from nvframe.imaging.resample import resample

AFFINE = np.array(STD_AFFINE)
INTERPOLATIONS = ("continuous", "linear", "nearest")
property_test = settings(derandomize=True, max_examples=120)


def compare(img, affine, shape=None, interpolation="continuous", tol=None):
    """Run both and compare everything that reaches a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer warns about casts, NaN, binary data and missing sforms
        theirs = resample_img(img, affine, shape, interpolation)
    before = np.asarray(img.dataobj).copy()
    ours = resample(img, affine, shape, interpolation)
    np.testing.assert_array_equal(np.asarray(img.dataobj), before)
    a, b = np.asarray(theirs.dataobj), np.asarray(ours.dataobj)
    assert type(ours) is type(theirs)
    assert (b.shape, b.dtype) == (a.shape, a.dtype)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    if tol is None:
        tol = 1e-12 if a.dtype == np.float64 else 1e-6
    finite = np.abs(before[np.isfinite(before)].astype(float))
    top = finite.max() if finite.size else 0
    np.testing.assert_array_equal(np.isnan(b), np.isnan(a))
    np.testing.assert_allclose(b.astype(float), a.astype(float), rtol=0, atol=tol * top)
    same_header(ours.header, theirs.header, tol * top)


def same_header(ours, theirs, atol):
    assert ours.endianness == theirs.endianness
    for field in theirs.keys():  # noqa: SIM118 - iterating a nibabel header gives its keys only by this
        if field in ("cal_min", "cal_max"):
            np.testing.assert_allclose(ours[field], theirs[field], rtol=1e-6, atol=atol)
        else:
            np.testing.assert_array_equal(ours[field], theirs[field], err_msg=field)


def make(shape, affine, dtype="f8", seed=0, cls=nibabel.Nifti1Image):
    values = np.random.default_rng(seed).normal(0, 3, shape)
    if np.dtype(dtype).kind in "iu":
        values = np.round(values * 10)
    if np.dtype(dtype).kind == "u":
        values = np.abs(values)
    data = np.asfortranarray(values.astype(dtype))
    data[: shape[0] // 3] = 0
    header = cls.header_class(endianness=">" if np.dtype(dtype).str[0] == ">" else "<")
    header.set_data_dtype(np.dtype(dtype))
    header["descrip"] = b"a contrast"
    return cls(data, np.asarray(affine, dtype=float), header)


def affine_of(zooms, origin, axes=(0, 1, 2)):
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(zooms)[:, list(axes)]
    matrix[:3, 3] = origin
    return matrix


@pytest.fixture(scope="module")
def real():
    return nibabel.load(str(files("nilearn.datasets.data") / "image_10426.nii.gz"))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_real_map_to_3mm(real, interpolation):
    compare(real, AFFINE, None, interpolation)


@pytest.mark.parametrize("zoom", [2, 1.6])
def test_real_map_to_finer_grid_and_back_to_3mm(real, zoom):
    finer = resample(real, affine_of((-zoom, zoom, zoom), (78, -112, -50)), (60, 70, 50))
    compare(finer, AFFINE)


zooms = st.sampled_from([1, 1.5, 2, 3, 3.44, -1, -2, -3, 1.9999999])
origins = st.sampled_from([0, -4, 5, -3.5, 1 / 3, 7.25, 0.1])


@property_test
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    source=st.tuples(zooms, zooms, zooms),
    origin=st.tuples(origins, origins, origins),
    axes=st.permutations([0, 1, 2]),
    target=st.tuples(zooms, zooms, zooms),
    start=st.tuples(origins, origins, origins),
    target_axes=st.permutations([0, 1, 2]),
    box=st.tuples(*[st.integers(1, 10)] * 3),
    interpolation=st.sampled_from(INTERPOLATIONS),
)
def test_axis_aligned(shape, source, origin, axes, target, start, target_axes, box, interpolation):
    img = make(shape, affine_of(source, origin, axes))
    both(img, affine_of(target, start, target_axes), box, interpolation)


def both(img, affine, box, interpolation):
    """Compare, or see both refuse an image that lies before the target's origin."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            resample_img(img, affine, box, interpolation)
    except ValueError:
        with pytest.raises(ProcessingError, match="wholly outside"):
            resample(img, affine, box, interpolation)
    else:
        compare(img, affine, box, interpolation)


@property_test
@given(
    noise=st.sampled_from([0.3, 1e-3, 1e-9, 1e-16]),
    seed=st.integers(0, 50),
    interpolation=st.sampled_from(INTERPOLATIONS),
    dtype=st.sampled_from(["f8", "f4", "i2", "u1"]),
)
def test_oblique_and_noisy(noise, seed, interpolation, dtype):
    affine = affine_of((-2, 2, 2), (8, -8, -8))
    affine[:3, :3] += np.random.default_rng(seed).normal(0, noise, (3, 3))
    both(make((7, 8, 9), affine, dtype, seed), affine_of((3, 3, 3), (-9, -9, -9)), (6, 6, 7), interpolation)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    "dtype", ["f4", "f8", ">f4", ">f8", "i1", "i2", ">i2", "i4", "i8", "u1", "u2", "u4", "u8"]
)
@pytest.mark.parametrize(
    "target", [affine_of((3, 3, 3), (-6, -6, -6)), affine_of((1.7, -2, 2.2), (-5, 9, -5), (1, 0, 2))]
)
def test_types(dtype, interpolation, target):
    compare(make((7, 8, 9), affine_of((-2, 2, 2), (8, -8, -8)), dtype), target, (7, 6, 8), interpolation)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_scaled_integers_are_requantised_on_save(interpolation):
    img = nibabel.Nifti1Image(make((7, 8, 9), np.eye(4)).get_fdata(), affine_of((-2, 2, 2), (8, -8, -8)))
    img.set_data_dtype(np.int16)
    img = nibabel.Nifti1Image.from_bytes(img.to_bytes())
    assert img.dataobj.slope != 1
    target = affine_of((3, 3, 3), (-6, -6, -6))
    compare(img, target, None, interpolation)
    assert resample(img, target, None, interpolation).get_data_dtype() == np.int16


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("hole", ["background", "inside", "inf", "minus inf", "all"])
@pytest.mark.parametrize("oblique", [False, True])
def test_not_finite(hole, dtype, interpolation, oblique):
    affine = affine_of((-2, 2, 2), (10, -8, -8))
    affine[0, 1] = 0.2 * oblique
    data = np.asarray(make((11, 12, 13), affine, dtype).dataobj).copy()
    if hole == "background":
        data[data == 0] = np.nan
        data[:, -4:] = np.nan
    elif hole == "inside":
        data[5:9, 5:7, 6] = np.nan
        data[0, 0, 0] = np.nan
    elif hole == "all":
        data[...] = np.nan
    else:
        data[6, 6, 6] = np.inf if hole == "inf" else -np.inf
    compare(nibabel.Nifti1Image(data, affine), affine_of((3, 3, 3), (-9, -9, -9)), (8, 8, 9), interpolation)


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_constant(value, interpolation):
    img = nibabel.Nifti1Image(np.full((6, 7, 8), value), affine_of((2, 2, 2), (-6, -6, -6)))
    compare(img, affine_of((3, 3, 3), (-9, -9, -9)), None, interpolation)


@pytest.mark.parametrize("more", [(2,), (1,), (1, 2)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_more_dimensions(more, interpolation):
    img = make((6, 7, 8, *more), affine_of((2, 2, 2), (-6, -6, -6)))
    compare(img, affine_of((3, 3, 3), (-9, -9, -9)), None, interpolation)


def test_first_volume_missing_in_4d():
    img = make((6, 7, 8, 2), affine_of((2, 2, 2), (-6, -6, -6)))
    data = np.asarray(img.dataobj).copy()
    data[..., 0] = np.nan
    compare(nibabel.Nifti1Image(data, img.affine), affine_of((3, 3, 3), (-9, -9, -9)))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_target_3x3(interpolation):
    compare(make((6, 7, 8), affine_of((-2, 2, 2), (6, -6, -6))), np.diag([3.0, 3, 2.5]), None, interpolation)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("on_grid", [True, False])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_single_slice_on_and_between_the_target_s(axis, on_grid, interpolation):
    shape, origin = [6, 7, 8], [-6, -6, -6]
    shape[axis], origin[axis] = 1, -3 if on_grid else -4
    for zoom in (2, -2):
        compare(
            make(shape, affine_of((zoom, 2, 2), origin)),
            affine_of((3, 3, 3), (-18, -9, -9)),
            None,
            interpolation,
        )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("oblique", [0, 0.2])
def test_complex_data_takes_the_general_path(interpolation, oblique):
    real, imaginary = (np.asanyarray(make((6, 7, 8), np.eye(4), seed=seed).dataobj) for seed in (1, 2))
    affine = affine_of((-2, 2, 2), (6, -6, -6))
    affine[0, 1] = oblique
    img = nibabel.Nifti1Image(real + 1j * imaginary, affine)
    target = affine_of((3, 3, 3), (-9, -9, -9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = resample_img(img, target, interpolation=interpolation)
    ours = resample(img, target, interpolation=interpolation)
    expected, found = (np.asanyarray(each.dataobj) for each in (theirs, ours))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(real).max())
    same_header(ours.header, theirs.header, 1e-6)


def test_same_grid():
    img = make((6, 7, 8), affine_of((-2, 2, 2), (6, -6, -6)), "i2")
    compare(img, img.affine, img.shape)
    compare(img, img.affine, None)


def test_beyond_the_far_side_is_zero_as_in_the_peer():
    compare(make((4, 4, 4), affine_of((2, 2, 2), (500, 0, 0))), affine_of((3, 3, 3), (0, 0, 0)), (3, 3, 3))


@pytest.mark.parametrize("cls", [nibabel.Nifti2Image, nibabel.Nifti1Pair, nibabel.Spm99AnalyzeImage])
def test_other_classes(cls):
    data = np.random.default_rng(1).normal(size=(5, 6, 7)).astype("f4")
    compare(cls(data, affine_of((-2, 2, 2), (4, -5, -6))), affine_of((3, 3, 3), (-6, -6, -6)))


def test_stored_file_has_the_peers_sform_and_descrip(real):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nibabel.Nifti1Image.from_bytes(resample_img(real, AFFINE).to_bytes())
    ours = nibabel.Nifti1Image.from_bytes(resample(real, AFFINE).to_bytes())
    assert (ours.header["sform_code"], ours.header["qform_code"]) == (2, 0)
    same_header(ours.header, theirs.header, 1e-6)


def test_same_grid_of_a_lazy_image(real):
    compare(real, real.affine, real.shape)

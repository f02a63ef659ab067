import logging
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest

from nvframe.errors import ProcessingError
from nvframe.imaging.grids import STD_AFFINE, named_grid
from nvframe.imaging.images import digest
from nvframe.imaging.operators import axis_operator
from nvframe.imaging.resample import fraction_cut, resample


def image(shape=(4, 5, 6), dtype="f8"):
    return nibabel.Nifti1Image(np.ones(shape, dtype), np.diag([2.0, 2, 2, 1]))


def test_an_operator_is_the_spline():
    from scipy.ndimage import map_coordinates

    values = np.random.default_rng(0).normal(size=12)
    operator = axis_operator(12, 20, 0.61, 0.25, 3, False)
    where = 0.25 + 0.61 * np.arange(operator.first, operator.stop)
    assert operator.stop == int((11 - 0.25) / 0.61) + 1
    expected = map_coordinates(values, [where], order=3, mode="mirror")
    np.testing.assert_allclose(operator.matrix @ values, expected[operator.computed], atol=1e-14)


def test_whole_numbers_are_copied_exactly():
    operator = axis_operator(91, 61, 1.5, 0.0, 3, True)
    assert operator.copied.tolist() == list(range(0, 61, 2))
    assert operator.copied_from.tolist() == list(range(0, 91, 3))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("interpolation", ["continuous", "linear", "nearest"])
@pytest.mark.parametrize("value_at", [(0, 0, 0), (5, 5, 5), (12, 9, 10), (3, 9, 0), (11, 1, 10)])
def test_one_voxel_among_zeros_reaches_as_far_as_in_nilearn(value_at, interpolation, order):
    from nilearn.image import resample_img

    data = np.zeros((13, 10, 11), order=order)
    data[value_at] = 7.0
    img, target = nibabel.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), np.diag([3.0, 2.5, 1.7, 1])
    theirs = resample_img(img, target, interpolation=interpolation)
    ours = resample(img, target, interpolation=interpolation)
    np.testing.assert_allclose(ours.get_fdata(), theirs.get_fdata(), rtol=0, atol=1e-12)


def test_results_share_no_memory_between_calls_and_threads():
    noise = np.random.default_rng(0).normal
    images = [image((11 + i, 12, 13)) for i in range(6)]
    for img in images:
        img.dataobj[:] = noise(size=img.shape)
    targets = np.diag([3.0, 3, 3, 1])
    one_by_one = [resample(img, targets).get_fdata().copy() for img in images]
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(lambda img: resample(img, targets), images * 3))
    for expected, result in zip(one_by_one * 3, at_once, strict=True):
        np.testing.assert_array_equal(result.get_fdata(), expected)


def test_operators_are_cached():
    img = image((9, 9, 9))
    resample(img, np.eye(4) * [3, 3, 3, 1])
    before = axis_operator.cache_info().hits
    resample(img, np.eye(4) * [3, 3, 3, 1])
    assert axis_operator.cache_info().hits > before
    assert axis_operator.cache_info().maxsize is not None


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("MNI152NLin6Asym-2mm", (61, 73, 61)),
        ("SPM-2mm", (57, 69, 54)),
        ("MNI152NLin2009cAsym-2mm", (63, 75, 63)),
    ],
)
def test_3mm_fixes_the_origin_not_the_shape(shape, expected):
    grid = named_grid(shape)
    img = nibabel.Nifti1Image(np.zeros(grid.shape, "u1"), np.array(grid.affine))
    result = resample(img, STD_AFFINE, interpolation="nearest")
    assert result.shape == expected
    np.testing.assert_array_equal(result.affine, STD_AFFINE)


def test_a_long_axis_goes_another_way_to_the_same_values():
    data = np.random.default_rng(0).normal(size=(1_100, 3, 3))
    data[500] = np.nan
    target = np.diag([1.5, 1, 1, 1])
    whole = resample(nibabel.Nifti1Image(data, np.eye(4)), target).get_fdata()
    part = resample(nibabel.Nifti1Image(data[:900], np.eye(4)), target).get_fdata()
    np.testing.assert_allclose(whole[:560], part[:560], atol=1e-12)
    assert np.isnan(whole).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match="'continuous', 'linear', 'nearest'"):
        resample(image(), np.eye(4), None, "cubic")
    with pytest.raises(ValueError, match="three positive numbers"):
        resample(image(), np.eye(4), (3, 3))
    with pytest.raises(ValueError, match="no origin"):
        resample(image(), np.eye(3), (3, 3, 3))
    with pytest.raises(ValueError, match="finite"):
        resample(image(), np.full((4, 4), np.nan))


def test_images_that_cannot_be_resampled():
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    flat = nibabel.Nifti1Image(np.ones((4, 5)), np.eye(4))
    singular = image()
    singular.affine[0, 0] = 0
    for img, why in (
        (flat, "not a volume"),
        (nibabel.Nifti1Image(np.zeros((3, 3, 3), rgb), np.eye(4)), "cannot be interpolated"),
        (singular, "singular"),
    ):
        with pytest.raises(ProcessingError, match=why):
            resample(img, np.diag([3.0, 3, 3, 1]))
    away = np.eye(4)
    away[:3, 3] = 100
    with pytest.raises(ProcessingError, match="wholly outside"):
        resample(image(), away)


def test_fraction_cut():
    inside = named_grid("MNI152NLin6Asym-2mm")
    assert fraction_cut(inside.affine, inside.shape, STD_AFFINE, (61, 73, 61)) == 0
    far = np.eye(4)
    far[:3, 3] = 1_000
    assert fraction_cut(far, (5, 5, 5), STD_AFFINE, (61, 73, 61)) == 1
    half = np.diag([1.0, 1, 1, 1])
    half[0, 3] = 4.5
    assert fraction_cut(np.eye(4), (10, 4, 4), half, (20, 4, 4)) == pytest.approx(0.4)
    permuted = np.eye(4)[[1, 0, 2, 3]]
    assert fraction_cut(permuted, (4, 10, 4), half, (20, 4, 4)) == pytest.approx(0.4)
    tilted = np.eye(4)
    tilted[0, 1] = 0.1
    assert 0.3 < fraction_cut(tilted, (10, 4, 4), half, (20, 4, 4)) < 0.5


def test_nothing_is_printed_or_warned(capsys, caplog):
    caplog.set_level(logging.WARNING)
    data = np.full((4, 5, 6), np.nan)
    data[1:3, 1:3, 1:3] = 1
    resample(nibabel.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), np.diag([3.0, 3, 3, 1]))
    resample(nibabel.Nifti1Image(data * np.nan, np.diag([2.0, 2, 2, 1])), np.diag([3.0, 3, 3, 1]))
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_digest_goes_by_value_not_by_memory_layout():
    data = np.arange(24, dtype="i2").reshape(2, 3, 4)
    assert digest(data, np.eye(4)) == digest(np.asfortranarray(data).astype(">i2"), np.eye(4))
    assert digest(data, np.eye(4)) != digest(data.astype("f4"), np.eye(4))
    assert digest(data, np.eye(4)) != digest(data.reshape(4, 3, 2), np.eye(4))


def test_an_origin_far_outside_is_refused_before_it_fills_the_memory():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = 25_000
    with pytest.raises(ProcessingError, match="far outside"):
        resample(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), affine), STD_AFFINE)

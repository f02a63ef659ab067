import importlib
import json
import logging
import pickle
import warnings

import nibabel
import numpy as np
import pytest
from scipy import stats

from nvframe.errors import ProcessingError, Skip
from nvframe.imaging import nifti
from nvframe.imaging.grids import STD_AFFINE
from nvframe.imaging.resample import resample
from nvframe.processing.plugin import nvframe_image_processors
from nvframe.processing.processors import Mask, Resample, Resample3mm, Smooth, TToZ
from nvframe.processing.tails import t_to_z
from nvframe.types import ImageRecord, Processed

AFFINE = np.array([[-2.0, 0, 0, 12], [0, 2, 0, -12], [0, 0, 2, -12], [0, 0, 0, 1]])


def record(**metadata):
    return ImageRecord("neurovault", "1", "2", "http://localhost/1", metadata)


def image(dtype="f8", shape=(10, 11, 12), affine=AFFINE):
    data = np.random.default_rng(0).normal(0, 3, shape)
    return nibabel.Nifti1Image((data * 10 if np.dtype(dtype).kind in "iu" else data).astype(dtype), affine)


def values(img):
    return np.asarray(img.dataobj)


MASK = nibabel.Nifti1Image((np.indices((10, 11, 12)).sum(axis=0) > 14).astype("u1"), AFFINE)


@pytest.mark.parametrize(
    "processor",
    [
        Resample(),
        Resample("SPM-2mm", "auto"),
        Resample(np.eye(3)),
        Resample3mm("linear"),
        Smooth(4),
        Mask(MASK),
        TToZ(),
    ],
)
def test_processors_pickle_stay_as_they_are_and_name_themselves_in_json(processor):
    again = pickle.loads(pickle.dumps(processor))
    assert again.version == processor.version == "1"
    assert json.loads(json.dumps(again.parameters())) == processor.parameters()
    img = image()
    before = values(img).copy()
    done, repeated = (p(img, record(map_type="T map", number_of_subjects=20)) for p in (processor, again))
    done, repeated = (p.img if isinstance(p, Processed) else p for p in (done, repeated))
    assert nifti.encode(done) == nifti.encode(repeated)
    np.testing.assert_array_equal(values(img), before)
    with pytest.raises((AttributeError, TypeError)):
        processor.something = 1


def test_plugins_resolve():
    plugins = {plugin.name: plugin for plugin in nvframe_image_processors()}
    assert sorted(plugins) == ["mask", "resample", "resample-3mm", "smooth", "t-to-z"]
    for plugin in plugins.values():
        module, _, attr = plugin.factory.partition(":")
        assert callable(getattr(importlib.import_module(module), attr))
        assert plugin.summary


@pytest.mark.parametrize("interpolation", ["continuous", "linear", "nearest"])
def test_resample_3mm(interpolation):
    result = Resample3mm(interpolation)(image(), record())
    assert nifti.encode(result) == nifti.encode(resample(image(), STD_AFFINE, None, interpolation))


def test_targets(tmp_path):
    target = image(shape=(5, 6, 7, 2), affine=np.diag([3.0, 3, 3, 1]))
    path = tmp_path / "target.nii.gz"
    path.write_bytes(nifti.encode(target))
    same = [Resample(t).parameters() for t in (target, path, str(path))]
    same.append(Resample(target.affine, target_shape=(5, 6, 7)).parameters())
    assert all(parameters == same[0] for parameters in same)
    assert Resample(target)(image(), record()).shape == (5, 6, 7)
    assert Resample("MNI152NLin6Asym-3mm")(image(), record()).shape == (61, 73, 61)
    assert Resample(STD_AFFINE).parameters()["target_shape"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resample("MNI152-2mm"), "did you mean"),
        (lambda: Resample(interpolation="cubic"), "'continuous', 'linear', 'nearest'"),
        (lambda: Resample3mm("spline"), "not one of"),
        (lambda: Resample(5), "is not a grid"),
        (lambda: Resample(np.zeros((4, 4))), "is not a grid"),
        (lambda: Resample([["a"]]), "is not a grid"),
        (lambda: Resample(target_shape=(1, 2)), "three positive"),
        (lambda: Resample(np.eye(3), target_shape=(2, 2, 2)), "no origin"),
        (lambda: Smooth(-1), "none negative"),
        (lambda: Smooth(float("nan")), "none negative"),
        (lambda: Smooth((1, 2)), "one or three"),
        (lambda: Smooth(("a", 1, 2)), "one or three"),
        (lambda: Mask(3), "neither"),
        (lambda: Mask(image()), "two values"),
        (lambda: Mask(nibabel.Nifti1Image(np.zeros((2, 2, 2), "u1"), np.eye(4))), "0 everywhere"),
    ],
)
def test_parameters_are_checked_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("metadata", "dtype", "nearest"),
    [
        ({"map_type": "ROI/mask"}, "f4", True),
        ({"map_type": "parcellation"}, "f4", True),
        ({"image_type": "atlas"}, "f4", True),
        ({"map_type": "Z map"}, "f4", False),
        ({"map_type": "T map"}, "i2", False),
        ({"map_type": "other"}, "i2", True),
        ({"map_type": None}, "u1", True),
        ({}, "f8", False),
    ],
)
def test_auto_interpolation(metadata, dtype, nearest):
    img = image(dtype)
    result = Resample3mm("auto")(img, record(**metadata))
    expected = resample(img, STD_AFFINE, None, "nearest" if nearest else "continuous")
    np.testing.assert_array_equal(values(result), values(expected))


def test_scaled_integers_are_no_labels():
    img = image("f4")
    img.set_data_dtype(np.int16)
    img = nifti.read(nifti.encode(img))
    result = Resample3mm("auto")(img, record())
    np.testing.assert_array_equal(values(result), values(resample(img, STD_AFFINE)))


@pytest.mark.parametrize("processor", [Smooth(2), Mask(MASK)])
def test_surfaces_are_skipped(processor):
    with pytest.raises(Skip, match="surface"):
        processor(image(), record(data_origin="surface"))


def test_the_volume_beside_a_surface_is_resampled_as_in_nilearn():
    img = image()
    result = Resample3mm()(img, record(data_origin="surface"))
    np.testing.assert_array_equal(values(result), values(resample(img, STD_AFFINE)))


@pytest.mark.parametrize("processor", [Smooth(2), Mask(MASK)])
def test_what_is_no_volume_fails(processor):
    with pytest.raises(ProcessingError, match="not a volume"):
        processor(nibabel.Nifti1Image(np.ones((4, 4)), np.eye(4)), record())


@pytest.mark.parametrize("side", [-1, 1])
def test_an_image_wholly_outside_fails(side):
    affine = AFFINE.copy()
    affine[0, 3] = side * 5_000
    with pytest.raises(ProcessingError, match="wholly outside"):
        Resample("MNI152NLin6Asym-2mm")(image(affine=affine), record())


def test_what_is_cut_off_is_logged(caplog):
    affine = AFFINE.copy()
    affine[2, 3] = -84
    with caplog.at_level(logging.INFO, "nvframe.imaging.resample"):
        Resample3mm()(image(affine=affine), record())
        Resample3mm()(image(), record())
    (line,) = caplog.messages
    assert line == "image 1: the target grid leaves out 50.0 % of the field of view"


@pytest.mark.parametrize("fwhm", [5, (6, 0, 3), 0])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "i2", "u1"])
@pytest.mark.parametrize("shape", [(10, 11, 12), (6, 7, 8, 2)])
def test_smooth_is_nilearns(fwhm, dtype, shape):
    from nilearn.image import smooth_img

    img = image(dtype, shape)
    if img.get_data_dtype().kind == "f":
        values(img)[2, 3, 4] = np.nan
        values(img)[3, 3, 4] = np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer warns about 0
        theirs = smooth_img(img, fwhm)
    ours = Smooth(fwhm)(img, record())
    np.testing.assert_allclose(values(ours), values(theirs), rtol=1e-6, atol=1e-6)
    assert values(ours).dtype == values(theirs).dtype.newbyteorder("=")  # on disk both keep the byte order
    assert ours.header == theirs.header


@pytest.mark.parametrize("shape", [(10, 11, 12), (10, 11, 12, 2)])
def test_mask_is_nilearns(shape):
    from nilearn.masking import apply_mask, unmask

    img = image(shape=shape)
    values(img)[8, 8, 8] = np.nan
    ours = Mask(MASK)(img, record())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer warns about the NaN
        theirs = unmask(apply_mask(img, MASK).squeeze(), MASK)
    np.testing.assert_array_equal(values(ours), values(theirs))


def test_mask_from_a_file_on_another_grid(tmp_path):
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(nifti.encode(MASK))
    assert Mask(path).parameters() == Mask(MASK).parameters()
    img = resample(image("i2"), STD_AFFINE)
    inside = values(resample(MASK, img.affine, img.shape, "nearest")) != 0
    result = values(Mask(path)(img, record()))
    np.testing.assert_array_equal(result, np.where(inside, values(img), 0))
    far = AFFINE.copy()
    far[1, 3] = 900
    with pytest.raises(ProcessingError, match="outside"):
        Mask(MASK)(image(affine=far), record())


def test_other_masks_have_another_identity():
    other = nibabel.Nifti1Image(1 - values(MASK), AFFINE)
    assert Mask(other).parameters() != Mask(MASK).parameters()


@pytest.mark.parametrize("dof", [1, 8.5, 30, 500])
def test_t_to_z_is_the_tail(dof):
    t = np.concatenate([-np.geomspace(1e-3, 12, 40), [0], np.geomspace(1e-3, 12, 40)])
    z = t_to_z(t, dof)
    expected = np.where(t < 0, stats.norm.ppf(stats.t.cdf(t, dof)), stats.norm.isf(stats.t.sf(t, dof)))
    np.testing.assert_allclose(z, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(z, -t_to_z(-t, dof))


@pytest.mark.parametrize(
    # log P(T > t) by mpmath: log(betainc(dof/2, 1/2, 0, dof/(dof + t²), regularized=True) / 2)
    ("t", "dof", "log_tail"),
    [(100, 1000, -1203.2731472575078), (40, 1000, -481.8866575635933), (40, 20, -46.3681472210164)],
)
def test_far_tails(t, dof, log_tail):
    z = t_to_z(np.array([t, -t]), dof)
    np.testing.assert_allclose(stats.norm.logsf(z[0]), log_tail, rtol=1e-10)
    assert z[1] == -z[0]


def test_t_to_z_is_finite_and_rises_everywhere():
    for dof in (1, 20, 1e3, 1e6):
        z = t_to_z(np.array([30, 36, 37, 38, 38.5, 40, 60, 1e3, 1e160, 1e300]), dof)
        assert np.isfinite(z).all()
        assert (np.diff(z) > 0).all()
    odd = t_to_z(np.array([np.nan, np.inf, -np.inf, 0]), 10)
    np.testing.assert_array_equal(odd, [np.nan, np.inf, -np.inf, 0])


@pytest.mark.parametrize(
    ("metadata", "dof"),
    [
        ({"statistic_parameters": 11.0, "number_of_subjects": 40}, 11),
        ({"statistic_parameters": "11"}, 11),
        ({"statistic_parameters": 0, "number_of_subjects": 40}, 39),
        ({"statistic_parameters": None, "number_of_subjects": "40"}, 39),
        ({"number_of_subjects": 40}, 39),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_t_to_z_processor(metadata, dof, dtype):
    img = image(dtype)
    done = TToZ()(img, record(map_type="T map", **metadata))
    assert done.metadata == {"map_type": "Z map"}
    stored = nifti.read(nifti.encode(done.img))
    assert stored.get_data_dtype() == (np.float32 if dtype == "f4" else np.float64)
    np.testing.assert_allclose(stored.get_fdata(), t_to_z(values(img), dof), rtol=1e-6)


@pytest.mark.parametrize("metadata", [{}, {"statistic_parameters": None, "number_of_subjects": 1}])
def test_t_to_z_without_degrees_of_freedom(metadata):
    with pytest.raises(ProcessingError, match="no degrees of freedom"):
        TToZ()(image(), record(map_type="T map", **metadata))


@pytest.mark.parametrize("map_type", ["Z map", "F map", None])
def test_t_to_z_skips_other_maps(map_type):
    with pytest.raises(Skip, match="not 'T map'"):
        TToZ()(image(), record(map_type=map_type, number_of_subjects=10))

import itertools
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest
import xarray as xr
from nilearn.maskers import NiftiMasker
from nilearn.masking import apply_mask

import nvframe
from nvframe.errors import GridMismatchError


def mask_of(img, seed=1):
    chosen = np.random.default_rng(seed).random(img.shape) < 0.4
    return nib.Nifti1Image(chosen.astype(np.uint8), img.affine)


def reoriented(img, codes):
    ornt = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(img.affine), nib.orientations.axcodes2ornt(codes)
    )
    return img.as_reoriented(ornt)


@pytest.fixture
def three(stored, brain):
    return stored(*(brain(seed) for seed in range(3)))


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "ASL"])
@pytest.mark.parametrize("held", ["lazy", "dask", "memory", "array"])
def test_numbers_and_order_are_nilearns(three, brain, codes, held):
    """Maps and mask in one storage order, as nilearn needs them; any order gives the order of the mask."""
    mask = reoriented(mask_of(brain()), codes)
    ds = three.to_xarray()
    ds = {"lazy": ds, "dask": ds.chunk({"image": 2, "x": 4}), "memory": ds.load(), "array": ds.stat_map}[held]
    rows = ds.nvframe.masked(mask)
    imgs = [reoriented(nib.load(path), codes) for path in three.images]
    np.testing.assert_array_equal(rows.values, apply_mask(imgs, mask))
    np.testing.assert_array_equal(rows.values, NiftiMasker(mask, standardize=None).fit().transform(imgs))
    assert rows.dims == ("image", "voxel")
    assert rows.id.values.tolist() == [1, 2, 3]
    assert (rows.coverage == 1).all()
    where = nib.affines.apply_affine(mask.affine, np.argwhere(mask.get_fdata()))
    np.testing.assert_allclose(np.stack([rows[name] for name in "xyz"], axis=1), where)


def test_dask_stays_lazy_and_files_are_read_once_each(three, brain, monkeypatch):
    seen = []
    read = type(three.storage).read
    monkeypatch.setattr(type(three.storage), "read", lambda self, key: seen.append(key) or read(self, key))
    mask = mask_of(brain())
    lazy = three.to_xarray().chunk({"image": 1}).nvframe.masked(mask)
    assert seen == []
    assert lazy.chunks is not None
    lazy.compute()
    assert len(seen) == 3
    three.to_xarray().isel(image=[0, 2]).nvframe.masked(mask)
    assert len(seen) == 5


def test_what_an_image_does_not_cover_is_filled_and_counted(stored, brain):
    frame = stored(brain(), brain(1, origin=(-4, -6, -4), shape=(7, 8, 7)))
    everywhere = nib.Nifti1Image(np.ones((9, 8, 7), np.uint8), brain().affine)
    rows = frame.to_xarray().nvframe.masked(everywhere, fill=-1)
    np.testing.assert_allclose(rows.coverage, [1, 7 / 9])
    second = rows.values[1].reshape(9, 8, 7)
    assert (second[:2] == -1).all()
    np.testing.assert_array_equal(second[2:], frame.load(1).get_fdata(dtype="f4"))
    # whether the array itself holds the voxels makes no difference
    inner = frame.to_xarray(join="inner").nvframe.masked(everywhere, fill=-1)
    np.testing.assert_allclose(inner.coverage, rows.coverage)
    np.testing.assert_array_equal(inner[1], rows[1])
    assert (inner[0].values.reshape(9, 8, 7)[:2] == -1).all()


def test_what_is_not_finite_is_filled_as_in_nilearn(stored, brain):
    img = brain()
    img.dataobj[2, 3, 4] = np.nan
    img.dataobj[3, 3, 4] = np.inf
    mask = nib.Nifti1Image(np.ones(img.shape, np.uint8), img.affine)
    frame = stored(img)
    expected = apply_mask(frame.images, mask)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(frame.to_xarray().nvframe.masked(mask), expected)


@pytest.mark.parametrize("kind", [str, lambda path: path, nib.load, "array"])
def test_a_mask_is_a_path_an_image_or_an_array(three, brain, tmp_path, kind):
    mask, ds = mask_of(brain()), three.to_xarray()
    path = tmp_path / "mask.nii.gz"
    nib.save(mask, path)
    given = xr.zeros_like(ds.stat_map[0]) + mask.get_fdata() if kind == "array" else kind(path)
    expected = apply_mask(three.images, mask)
    np.testing.assert_array_equal(ds.nvframe.masked(given), expected)


def test_what_is_not_finite_in_a_mask_is_outside_as_in_nilearn(three, brain):
    chosen = np.where(mask_of(brain()).get_fdata() != 0, 1.0, 0.0)
    chosen[2], chosen[3] = np.nan, np.inf
    mask = nib.Nifti1Image(chosen, brain().affine)
    with pytest.warns(UserWarning, match="Non-finite values detected"):
        expected = apply_mask(three.images, mask)
    np.testing.assert_array_equal(three.to_xarray().nvframe.masked(mask), expected)


def test_masks_that_cannot_be_used_say_why(three, brain):
    ds = three.to_xarray()
    with pytest.raises(GridMismatchError, match=r"another lattice.*resample_to_img"):
        ds.nvframe.masked(mask_of(brain(zoom=3.0)))
    with pytest.raises(GridMismatchError, match="another lattice"):
        ds.nvframe.masked(mask_of(brain(origin=(-7, -6, -4))))
    with pytest.raises(ValueError, match="0 everywhere"):
        ds.nvframe.masked(nib.Nifti1Image(np.zeros((9, 8, 7), np.uint8), brain().affine))
    with pytest.raises(ValueError, match="two values"):
        ds.nvframe.masked(brain())
    with pytest.raises(ValueError, match="two values"):  # nilearn refuses a mask without a background, too
        ds.nvframe.masked(nib.Nifti1Image(mask_of(brain()).get_fdata() + 1, brain().affine))
    with pytest.raises(ValueError, match="neither a NIfTI file nor an image"):
        ds.nvframe.masked(7)
    with pytest.raises(ValueError, match="got dimensions"):
        ds.stat_map.mean("x").nvframe.masked(mask_of(brain()))
    with pytest.raises(ValueError, match="no 'stat_map'"):
        ds.drop_vars("stat_map").nvframe.masked(mask_of(brain()))


def test_one_map_and_a_part_of_the_box_will_do(three, brain):
    mask = mask_of(brain())
    ds = three.to_xarray()
    rows = ds.nvframe.masked(mask)
    np.testing.assert_array_equal(ds.isel(image=1).nvframe.masked(mask), rows[1])
    np.testing.assert_array_equal(ds.isel(z=slice(None, None, -1)).nvframe.masked(mask), rows)
    part = ds.sel(x=slice(-4, 4)).nvframe.masked(mask)
    within = (rows.x >= -4) & (rows.x <= 4)
    np.testing.assert_array_equal(part, rows.where(within, 0))
    np.testing.assert_array_equal(ds.stat_map.mean("image").nvframe.masked(mask).shape, rows[0].shape)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL"])
def test_the_way_back_is_the_original(stored, brain, codes):
    imgs = [brain(), reoriented(brain(1, origin=(0, 0, 0), shape=(3, 9, 5)), codes), brain(2, dtype="int16")]
    frame = stored(*imgs)
    ds = frame.to_xarray(join="outer")
    for row, path in enumerate(frame.images):
        original = nib.as_closest_canonical(nib.load(path))
        back = nvframe.to_nifti(ds.stat_map.isel(image=row), original_extent=True)
        np.testing.assert_allclose(back.affine, original.affine, atol=1e-9)
        np.testing.assert_array_equal(back.get_fdata(dtype="f4"), original.get_fdata(dtype="f4"))
        same = ds.isel(image=[row]).nvframe.to_nifti(original_extent=True)
        np.testing.assert_array_equal(same.dataobj, back.dataobj)
    with pytest.raises(ValueError, match=r"select one with \.isel"):
        ds.nvframe.to_nifti()
    with pytest.raises(ValueError, match="x_min to z_max"):
        nvframe.to_nifti(ds.stat_map.mean("image"), original_extent=True)


def test_the_picture_has_left_on_the_left(three):
    matplotlib.use("Agg")
    ds = three.to_xarray().isel(image=0).load()
    ds.stat_map[:] = 0.0
    ds.stat_map.loc[{"x": -6, "y": 2, "z": 4}] = 9.0
    figure = ds.nvframe.plot()
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["x = -6 mm", "y = 2 mm", "z = 4 mm"]
    for axes, across in zip(figure.axes[:3], "yxx", strict=True):
        low, high = axes.get_xlim()
        assert low < high
        letters = {text.get_text(): text.get_position()[0] for text in axes.texts}
        assert letters == ({} if across == "y" else {"L": 0.03, "R": 0.97})
    axial = figure.axes[2].collections[0].get_array()
    row, column = np.argwhere(axial == 9)[0]
    assert column < axial.shape[1] / 2
    assert (ds.x[column], ds.y[row]) == (-6, 2)
    for at in itertools.islice(itertools.product((-2.0, 2.0), repeat=3), 2):
        assert ds.stat_map.nvframe.plot(at).axes[0].get_title() == f"x = {at[0]:g} mm"
    plt.close("all")


def test_it_is_registered_by_whatever_makes_a_dataset(three):
    code = (
        "import sys, xarray as xr\n"
        f"ds = xr.open_dataset({three.storage.url!r}, engine='nvframe')\n"
        "assert ds.nvframe and ds.stat_map.nvframe\n"
        "assert not {'matplotlib', 'sklearn', 'zarr'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

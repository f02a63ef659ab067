import nibabel
import numpy as np
import pytest

from nvframe.imaging.grids import GRIDS, STD_AFFINE, canonical, named_grid, same_lattice


def test_every_grid_covers_the_brain():
    for grid in GRIDS.values():
        ends = np.array(grid.affine) @ np.array([[0, 0, 0, 1], [*(n - 1 for n in grid.shape), 1]]).T
        assert (ends[:3].min(axis=1) <= [-78, -112, -70]).all()
        assert (ends[:3].max(axis=1) >= [78, 76, 80]).all()
        assert named_grid(grid.name) is grid


def test_std_affine_is_nilearns():
    from nilearn.datasets.neurovault import STD_AFFINE as THEIRS

    np.testing.assert_array_equal(STD_AFFINE, THEIRS)


def test_unknown_grid_names_near_ones():
    with pytest.raises(ValueError, match="did you mean MNI152NLin2009cAsym-2mm"):
        named_grid("MNI152NLin2009cAsym2mm")
    with pytest.raises(ValueError, match="SPM-2mm"):
        named_grid("?")


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("tilt", [0, 0.1])
def test_canonical_is_nibabels(axes, signs, tilt):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array([2, 3, 4]) * signs)[:, list(axes)] + tilt
    affine[:3, 3] = (5, -6, 7)
    img = nibabel.Nifti1Image(np.arange(120.0).reshape(2, 3, 4, 5), affine)
    theirs = nibabel.as_closest_canonical(img)
    turn = canonical(affine, img.shape)
    np.testing.assert_allclose(turn.affine, theirs.affine)
    assert turn.shape == theirs.shape[:3]
    np.testing.assert_array_equal(turn.apply(img.get_fdata()), theirs.get_fdata())


def test_canonical_refuses_an_axis_without_direction():
    with pytest.raises(ValueError, match="direction"):
        canonical(np.diag([1, 1, 0, 1]), (2, 2, 2))


def shifted(by, zoom=3.0):
    affine = np.diag([zoom, 3.0, 3.0, 1.0])
    affine[:3, 3] = np.array([-90.0, -126, -72]) + by
    return affine


def test_same_lattice():
    assert same_lattice(STD_AFFINE, shifted([-9, 0, 3])) == (-3, 0, 1)
    assert same_lattice(STD_AFFINE, shifted([0.002, 0, 0])) == (0, 0, 0)
    assert same_lattice(STD_AFFINE, shifted([0.1, 0, 0])) is None
    assert same_lattice(STD_AFFINE, np.diag([2, 2, 2, 1])) is None
    assert same_lattice(STD_AFFINE, np.diag([0, 2, 2, 1])) is None
    assert same_lattice(np.diag([0, 2, 2, 1]), STD_AFFINE) is None


def test_a_tiny_zoom_error_counts_where_the_image_ends():
    affine = shifted([0, 0, 0], zoom=3.0 + 1e-4)
    assert same_lattice(STD_AFFINE, affine, shape=(10, 10, 10)) == (0, 0, 0)
    assert same_lattice(STD_AFFINE, affine, shape=(61, 73, 61)) is None
    assert same_lattice(STD_AFFINE, affine) is None

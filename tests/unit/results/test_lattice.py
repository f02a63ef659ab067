import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvframe.errors import GridMismatchError
from nvframe.results.lattice import groups, placed, turned


def turn_of(affine, shape=(4, 5, 6)):
    return turned(np.asarray(affine, dtype=float).tolist(), shape)


def diagonal(zooms, origin):
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = origin
    return affine


@settings(max_examples=60)
@given(
    flips=st.tuples(*[st.booleans()] * 3),
    order=st.permutations([0, 1, 2]),
    offset=st.tuples(*[st.integers(-9, 9)] * 3),
)
def test_flipped_permuted_and_shifted_images_share_a_lattice(flips, order, offset):
    """Whatever the storage order, an image lies where its voxels' centres lie."""
    base = diagonal((2, 2, 2), (-90, -126, -72))
    img = nib.Nifti1Image(
        np.zeros((4, 5, 6), np.float32), diagonal((2, 2, 2), base[:3, 3] + 2 * np.array(offset))
    )
    ornt = np.column_stack([order, [-1 if flip else 1 for flip in flips]])
    stored = img.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.io_orientation(img.affine), ornt)
    )
    turns = [turn_of(base), turn_of(stored.affine, stored.shape)]
    assert groups(turns) == [[0, 1]]
    _, places = placed(turns, "outer")
    assert places[1].box == tuple((o, o + n) for o, n in zip(offset, (4, 5, 6), strict=True))


def test_boxes_are_joined_by_integers():
    turns = [turn_of(diagonal((3, 3, 3), (0, 0, 0))), turn_of(diagonal((3, 3, 3), (6, -3, 0)))]
    assert placed(turns, "outer")[0].shape == (6, 6, 6)
    assert placed(turns, "inner")[0].shape == (2, 4, 6)
    with pytest.raises(GridMismatchError, match="2 different boxes"):
        placed(turns, "exact")


def test_images_that_do_not_meet_have_no_inner_join():
    turns = [turn_of(diagonal((1, 1, 1), (x, 0, 0))) for x in (0, 100)]
    with pytest.raises(GridMismatchError, match="no voxel in common"):
        placed(turns, "inner")


@pytest.mark.parametrize("shift", [0.5, 0.01, 0.002])
def test_a_part_of_a_voxel_is_another_lattice(shift):
    turns = [turn_of(diagonal((2, 2, 2), (x, 0, 0))) for x in (0, 2 * shift)]
    assert groups(turns) == [[0], [1]]


def test_rounding_noise_is_the_same_lattice():
    turns = [turn_of(diagonal((2, 2, 2), (x, 0, 0))) for x in (0, 2e-4)]
    assert groups(turns) == [[0, 1]]


def test_oblique_axes_are_refused_with_a_way_out():
    angle = np.deg2rad(5)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    with pytest.raises(GridMismatchError, match=r"oblique.*processors=\[\('resample'"):
        turn_of(rotation)

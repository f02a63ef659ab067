"""The processor on an image, and in a fetch by its name."""

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.types import ImageRecord
from nvframe_example.threshold import Threshold

RECORD = ImageRecord("test", "1", "1", "", {})


def test_weak_voxels_become_zero_and_strong_ones_stay():
    values = np.array([-3.0, -1.0, 0.0, 1.0, 2.3, 4.0], dtype="float32").reshape(1, 2, 3)
    made = Threshold(2.0)(nib.Nifti1Image(values, np.eye(4)), RECORD)
    assert made.get_fdata().ravel().tolist() == pytest.approx([-3, 0, 0, 0, 2.3, 4])


def test_the_threshold_is_checked_before_any_request():
    with pytest.raises(ValueError, match="could not convert"):
        nvframe.fetch(processors=[("threshold", {"threshold": "high"})])


def test_a_fetch_finds_it_by_name(nvframe_server, tmp_path):
    frame = nvframe.fetch(
        max_images=2, data_dir=tmp_path, processors=["resample-3mm", ("threshold", {"threshold": 1.5})]
    )
    for i in range(len(frame)):
        values = np.abs(frame.load(i).get_fdata())
        assert not ((values > 0) & (values < 1.5)).any()
        assert values.max() > 1.5

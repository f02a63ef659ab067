"""The processor itself, imported when somebody asks for it."""

from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image

from nvframe.types import ImageRecord


class Threshold:
    """Set voxels to 0 whose absolute value is below a threshold."""

    version = "1"  # change it when the results change: what is stored under the old one is not used again

    def __init__(self, threshold: float = 2.3) -> None:
        self.threshold = float(threshold)

    def __call__(self, img: Any, record: ImageRecord) -> Any:
        """Return `img` without its weak voxels."""
        data = img.get_fdata(dtype="float32")
        return Nifti1Image(np.where(np.abs(data) < self.threshold, 0, data), img.affine)

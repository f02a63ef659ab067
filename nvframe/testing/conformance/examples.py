"""What the kits hand to a plugin: a record, a map, and the odd maps that repositories hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nvframe.types import ImageRecord

ODD_IMAGES = (
    "nan",
    "infinite",
    "zeros",
    "constant",
    "integers",
    "big-endian",
    "one-volume-in-4d",
    "two-volumes",
    "one-slice",
    "one-voxel",
)
"""Names of what `odd_image` makes."""


def example_record(image_id: int = 1, **metadata: Any) -> ImageRecord:
    """Return the record of a T map, with `metadata` in place of its own."""
    fields = {
        "id": image_id,
        "collection_id": 1,
        "name": f"finger tapping {image_id}",
        "map_type": "T map",
        "modality": "fMRI-BOLD",
        "number_of_subjects": 20,
        "statistic_parameters": 19.0,
        "is_thresholded": False,
        "data_origin": "volume",
        "target_template_image": "GenericMNI",
        "cognitive_paradigm_cogatlas": "finger tapping task",
        "contrast_definition": "tapping > rest",
        "file_size": None,
        "modify_date": None,
    }
    return ImageRecord("kit", str(image_id), "1", "", {**fields, **metadata})


def example_image() -> Any:
    """Return a map in memory: float32 of shape (12, 14, 12), 8 mm, two blobs on smooth noise."""
    return _image(_values())


def odd_image(name: str) -> Any:
    """Return one of `ODD_IMAGES`."""
    import numpy as np

    values = _values()
    if name == "nan":
        values[::2] = np.nan
    elif name == "infinite":
        values[3, 3, 3], values[4, 4, 4] = np.inf, -np.inf
    elif name in ("zeros", "constant"):
        values[:] = 0 if name == "zeros" else 3
    shaped: dict[str, Callable[[], Any]] = {
        "integers": lambda: np.rint(values * 10).astype(np.int16),
        "big-endian": lambda: values.astype(">f4"),
        "one-volume-in-4d": lambda: values[..., None],
        "two-volumes": lambda: np.stack([values, -values], axis=-1),
        "one-slice": lambda: values[:, :, 6:7],
        "one-voxel": lambda: values[6:7, 7:8, 6:7],
    }
    return _image(shaped[name]() if name in shaped else values)


def _values() -> Any:
    import numpy as np

    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (12, 14, 12)), indexing="ij")
    noise = np.random.default_rng(0).normal(scale=0.2, size=x.shape)
    blobs = 6 * np.exp(-8 * ((x - 0.4) ** 2 + y**2 + z**2)) - 4 * np.exp(-8 * ((x + 0.4) ** 2 + y**2 + z**2))
    return (blobs + noise).astype(np.float32)


def _image(values: Any) -> Any:
    import nibabel
    import numpy as np

    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = -44, -60, -40
    image: Any = nibabel.Nifti1Image  # nibabel is not typed
    return image(values, affine)

"""Small datasets on disk."""

import json

import nibabel as nib
import numpy as np
import pytest

import nvframe


@pytest.fixture
def brain():
    """Return a function that makes an image of smooth-less noise on a diagonal grid."""

    def make(seed=0, origin=(-8, -6, -4), shape=(9, 8, 7), zoom=2.0, dtype="float32"):
        affine = np.diag([zoom, zoom, zoom, 1.0])
        affine[:3, 3] = origin
        data = np.random.default_rng(seed).normal(0, 3, shape)
        return nib.Nifti1Image(data.astype(dtype), affine)

    return make


@pytest.fixture
def stored(tmp_path):
    """Return a function that leaves images as nilearn would and returns their frame."""

    def store(*imgs, directory=tmp_path, first=1, metadata=(), collection=1):
        place = directory / "neurovault" / f"collection_{collection}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "collection_metadata.json").write_text(json.dumps({"id": collection}))
        for number, img in enumerate(imgs, first):
            nib.save(img, place / f"image_{number}.nii.gz")
            own = metadata[number - first] if metadata else {}
            row = {"id": number, "collection_id": collection, **own}
            (place / f"image_{number}_metadata.json").write_text(json.dumps(row))
        return nvframe.fetch(
            mode="offline", data_dir=directory, image_terms={}, collection_terms={}, max_images=None
        )

    return store

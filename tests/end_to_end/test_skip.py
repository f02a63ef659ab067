"""A processor may decline an image, which then passes it unchanged."""

import nibabel as nib
import numpy as np

import nvframe


def upside_down(img, record):
    if record.metadata["map_type"] != "T map":
        raise nvframe.Skip("only T maps")
    return nib.Nifti1Image(-img.get_fdata(dtype="float32"), img.affine)


def test_an_image_that_a_processor_skips_passes_unchanged(nvframe_server, data_dir):
    originals = nvframe.fetch(collection_ids=[1])
    processed = nvframe.fetch(collection_ids=[1], processors=[upside_down])
    assert processed.failures == []
    kinds = [meta["map_type"] for meta in processed.images_meta]
    assert set(kinds) == {"T map", "Z map"}
    for i, kind in enumerate(kinds):
        sign = -1 if kind == "T map" else 1
        np.testing.assert_array_equal(processed.load(i).get_fdata(), sign * originals.load(i).get_fdata())

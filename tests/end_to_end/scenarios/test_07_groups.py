"""Scenario 7: predict what uploaders wrote beside each map, leaving whole subjects out."""

import nibabel as nib
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nvframe import fetch_neurovault


def test_ratings_across_subjects(edited, data_dir):
    # Maps whose strength follows the rating, as in a study of pain.
    ids = range(1001, 1021)
    edited(n_collections=1, images_per_collection=20, scale={i: 1 + (i - 1001) % 5 for i in ids})

    maps = fetch_neurovault(max_images=None, collection_id=1, image_terms={})
    maps_by_voxels = np.array([nib.load(path).get_fdata().ravel() for path in maps.images])
    y = np.array([meta["Rating"] for meta in maps.images_meta])
    groups = [meta["SubjectID"] for meta in maps.images_meta]

    assert len(maps_by_voxels) == len(y) == len(groups) == 20
    assert len(set(groups)) == 10
    strength = np.abs(maps_by_voxels).max(axis=1)
    assert np.corrcoef(strength, y)[0, 1] > 0.9  # row i of everything is image i

    features = np.c_[strength, maps_by_voxels.std(axis=1)]
    model = make_pipeline(StandardScaler(), Ridge())
    predicted = cross_val_predict(model, features, y, groups=groups, cv=GroupKFold(5))
    assert np.corrcoef(predicted, y)[0, 1] > 0.8

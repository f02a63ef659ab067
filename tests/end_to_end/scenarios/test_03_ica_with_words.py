"""Scenario 3: ICA across studies, its components named by Neurosynth's words."""

import warnings

import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask
from nilearn.image import resample_to_img
from nilearn.masking import apply_mask, unmask
from sklearn.decomposition import FastICA

from nvframe import fetch_neurovault
from nvframe.errors import PartialResultWarning
from nvframe.testing.corpus.brains import TASKS


def test_components_are_named_by_the_words_of_their_maps(literature, data_dir):
    maps = fetch_neurovault(max_images=32, fetch_neurosynth_words=True)
    assert maps.word_frequencies.shape == (32, len(maps.vocabulary))

    mask = load_mni152_brain_mask(resolution=4)
    on_mask = (resample_to_img(path, mask, force_resample=True, copy_header=True) for path in maps.images)
    maps_by_voxels = np.array([apply_mask(img, mask) for img in on_mask])
    ica = FastICA(n_components=len(TASKS), random_state=0, whiten="unit-variance")
    components = ica.fit_transform(maps_by_voxels.T).T
    loadings = ica.mixing_
    signs = np.sign([c[np.abs(c).argmax()] for c in components])
    components, loadings = components * signs[:, None], loadings * signs

    found = set()
    for component, weights in zip(components, loadings.T, strict=True):
        terms = maps.vocabulary[np.argsort(weights @ maps.word_frequencies)[::-1][:5]]
        volume = unmask(component, mask)
        voxel = np.unravel_index(volume.get_fdata().argmax(), volume.shape)
        peak = (volume.affine @ [*voxel, 1])[:3]
        task = next(task for task in TASKS if task.words[0] == terms[0])
        # The words belong to the place: the peak is where this task, and no other, was put.
        assert min(np.linalg.norm(peak - focus) for focus in np.array(task.foci)) < 10
        assert len(set(terms) & set(task.words)) >= 4
        found.add(task.name)
    assert found == {task.name for task in TASKS}


def test_maps_arrive_without_words_when_their_service_is_down(nvframe_server, data_dir, no_pause):
    nvframe_server.faults.add("words_down", times=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        maps = fetch_neurovault(max_images=5, fetch_neurosynth_words=True)

    assert len(maps.images) == len(maps.images_meta) == 5
    assert maps.word_frequencies is None
    assert maps.vocabulary is None
    assert [w.category for w in caught] == [PartialResultWarning]
    assert {failure["stage"] for failure in maps.failures} == {"annotate"}

    nvframe_server.clear()
    again = fetch_neurovault(max_images=5, fetch_neurosynth_words=True)
    assert again.word_frequencies.shape == (5, len(again.vocabulary))
    assert again.images == maps.images


@pytest.mark.parametrize("how", ["break", "empty"])
def test_one_map_without_words_is_a_row_of_zeros(nvframe_server, data_dir, no_pause, how):
    nvframe_server.faults.add("words_down", "/api/decode/.*1002", times=None, how=how)
    with pytest.warns(PartialResultWarning, match="no annotation for 1 of 3"):
        maps = fetch_neurovault(max_images=3, fetch_neurosynth_words=True)
    assert not maps.word_frequencies[1].any()
    assert maps.word_frequencies[[0, 2]].any(axis=1).all()

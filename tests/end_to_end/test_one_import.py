"""A script written for nilearn runs after a change of its imports alone, and finds the same."""

import pickle
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np

from nvframe import fetch_neurovault

WRITTEN_FOR_NILEARN = """
import nibabel as nib
import numpy as np
from nilearn.datasets import fetch_neurovault, fetch_neurovault_ids, neurovault
from nilearn.datasets.neurovault import (
    STD_AFFINE,
    Contains,
    GreaterThan,
    IsIn,
    NotNull,
    ResultFilter,
    basic_image_terms,
    neurosynth_words_vectorized,
)

# Group maps of larger samples, and any that a colleague recommended.
large = ResultFilter({"number_of_subjects": GreaterThan(20)}).AND(ResultFilter(analysis_level="group"))
terms = {**basic_image_terms(), "map_type": IsIn("T map", "Z map")}
maps = fetch_neurovault(
    10, {"DOI": NotNull()}, image_terms=terms, image_filter=large, resample=True, fetch_neurosynth_words=True,
    vectorize_words=False, verbose=0, timeout=20.0,
)
more = fetch_neurovault_ids([3], [1001, "1002"], resample=True, verbose=False)

subjects = [meta["number_of_subjects"] for meta in maps.images_meta]
dois = [meta["DOI"] for meta in maps.collections_meta]
in_cluster = [np.sum(np.abs(nib.load(path).get_fdata()) > 3.1) for path in maps.images]
assert all(np.allclose(nib.load(path).affine, STD_AFFINE) for path in maps.images + more.images)

word_files = [meta["ns_words_absolute_path"] for meta in maps.images_meta]
frequencies, vocabulary = neurosynth_words_vectorized(word_files, verbose=0)
best = [vocabulary[row.argmax()] for row in frequencies]

stop = fetch_neurovault(max_images=None, contrast_definition=Contains("stop"), mode="offline", verbose=0)
tones = fetch_neurovault(max_images=None, contrast_definition=Contains("tones"), mode="offline",
                         image_terms={}, resample=True, verbose=0)
assert neurovault.fetch_neurovault is fetch_neurovault
"""


def test_a_script_for_nilearn_runs_after_changing_only_the_import(literature, tmp_path, monkeypatch, peer):
    script = WRITTEN_FOR_NILEARN.replace("from nilearn.datasets", "from nvframe")
    changed = [
        line
        for line, old in zip(script.splitlines(), WRITTEN_FOR_NILEARN.splitlines(), strict=True)
        if line != old
    ]
    assert len(changed) == 2

    monkeypatch.setenv("NVFRAME_DATA", str(tmp_path / "ours"))
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path / "theirs"))
    ours, theirs = {}, {}
    exec(script, ours)
    peer(literature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nilearn about itself
        exec(WRITTEN_FOR_NILEARN, theirs)

    for name in ("subjects", "dois", "in_cluster", "best"):
        assert ours[name] == theirs[name], name
        assert len(ours[name]) == 10
    np.testing.assert_array_equal(ours["frequencies"], theirs["frequencies"])
    for name in ("maps", "more", "stop", "tones"):
        # By ids nilearn has the order of a set, and of a warm cache that of the file system.
        in_order = list if name == "maps" else sorted
        files = [in_order(Path(path).name for path in side[name].images) for side in (ours, theirs)]
        assert files[0] == files[1], name
        assert (len(files[0]) > 0) == (name != "stop")  # nothing about stopping was fetched before
    for one, other in zip(ours["maps"].images, theirs["maps"].images, strict=True):
        one, other = nib.load(one).get_fdata(), nib.load(other).get_fdata()
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())
    assert pickle.loads(pickle.dumps(ours["maps"])).images == ours["maps"].images


def test_messages_go_to_standard_error(nvframe_server, data_dir, capsys):
    fetch_neurovault(max_images=2, verbose=0)
    assert capsys.readouterr() == ("", "")
    fetch_neurovault(max_images=3)
    said = capsys.readouterr()
    assert said.out == ""
    assert "3 images, 2 of them stored before; 0 failures" in said.err

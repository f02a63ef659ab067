"""The synthetic corpus: what is in it, and that it is the same every time."""

import json
from hashlib import sha256

import nibabel as nib
import numpy as np
import pytest

from nvframe.testing import synthetic_corpus
from nvframe.testing.corpus.brains import GRIDS, TASKS, draw
from nvframe.testing.corpus.fields import BASE_URL

GRID_OF = {"motor_1001": "MNI152NLin6Asym-2mm", "visual_1002": "SPM-3mm", "auditory_1003": "RAS-4mm"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return synthetic_corpus(tmp_path_factory.mktemp("corpus"), 3, 4)


def rows(corpus):
    return [
        row
        for path in sorted(corpus.glob("collections/*_images.json"))
        for row in json.loads(path.read_text())["results"]
    ]


def fingerprint(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(p.relative_to(directory)): sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_arguments_give_the_same_bytes(tmp_path):
    one, two, other = (
        fingerprint(synthetic_corpus(tmp_path / name, 2, 2, seed, grids=["RAS-8mm", "RAS-4mm"]))
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    )
    assert one == two
    assert set(one) == set(other)
    assert one["media/images/1/motor_1001.nii.gz"] != other["media/images/1/motor_1001.nii.gz"]


@pytest.mark.parametrize("name", GRID_OF)
def test_maps_lie_on_their_grids_and_peak_where_the_task_is(corpus, name):
    img = nib.load(corpus / f"media/images/1/{name}.nii.gz")
    affine, shape = GRIDS[GRID_OF[name]]
    np.testing.assert_array_equal(img.affine, affine)
    assert img.shape == shape
    assert img.get_data_dtype() == np.float32
    assert (img.header["sform_code"], img.header["qform_code"]) == (4, 4)
    assert b"synthetic" in bytes(img.header["descrip"])
    data = img.get_fdata()
    peak = nib.affines.apply_affine(img.affine, np.unravel_index(np.argmax(data), shape))
    task = next(task for task in TASKS if task.name == name.rpartition("_")[0])
    assert min(np.linalg.norm(peak - focus) for focus in task.foci) < 10
    assert 0.15 < np.count_nonzero(data) / data.size < 0.6
    assert data[0].any() == data[-1].any() == data[:, :, 0].any() == False  # noqa: E712


def test_kinds_of_maps(corpus):
    found = rows(corpus)
    assert [row["id"] for row in found] == list(range(1001, 1013))
    kinds = {row["id"]: (row["image_type"], row.get("map_type"), row.get("is_thresholded")) for row in found}
    assert kinds[1004] == ("statistic_map", "Z map", True)
    assert kinds[1008] == ("statistic_map", "ROI/mask", True)
    assert kinds[1012] == ("atlas", None, None)
    assert {kind[1] for kind in kinds.values()} == {"T map", "Z map", "ROI/mask", None}

    def data(row):
        return np.asarray(nib.load(corpus / row["file"].removeprefix(f"{BASE_URL}/")).dataobj)

    thresholded, roi, atlas = (data(found[i - 1001]) for i in (1004, 1008, 1012))
    assert np.abs(thresholded[thresholded != 0]).min() >= 3.1
    assert set(np.unique(roi)) == {0, 1}
    assert set(np.unique(atlas)) == set(range(sum(len(task.foci) for task in TASKS) + 1))


def test_rows_say_what_is_so(corpus):
    for row in rows(corpus):
        path = corpus / row["file"].removeprefix(f"{BASE_URL}/")
        assert row["file_size"] == path.stat().st_size
        assert "Synthetic" in row["description"]
        if row.get("map_type") == "T map":
            assert row["statistic_parameters"] == row["number_of_subjects"] - 1
        else:
            assert row.get("statistic_parameters") is None
    own = [row for row in rows(corpus) if "SubjectID" in row]
    assert {row["collection_id"] for row in own} == {3}
    for collection_id in (1, 2, 3):
        collection = json.loads((corpus / f"collections/{collection_id}.json").read_text())
        assert collection["number_of_images"] == 4
        assert collection["description"].startswith("Synthetic")


def test_words_name_the_task(corpus):
    words = json.loads((corpus / "words/1004.json").read_text())["data"]["values"]
    assert max(words, key=words.get) == "language"
    others = json.loads((corpus / "words/1001.json").read_text())["data"]["values"]
    assert list(others) == list(words)


def test_fields_are_neurovaults(corpus):
    row = next(row for row in rows(corpus) if row["id"] == 1001)
    assert len(row) == 55
    assert len(next(row for row in rows(corpus) if row["id"] == 1012)) == 37 + 2
    assert len(json.loads((corpus / "collections/1.json").read_text())) == 107


def test_own_grid_and_oblique_grid(tmp_path):
    affine = np.diag([6.0, -6.0, 6.0, 1.0])
    affine[:3, 3] = -80, 90, -60
    corpus = synthetic_corpus(tmp_path, 1, 1, grids=[(affine, (27, 32, 24))], specials=False, words=False)
    img = nib.load(corpus / "media/images/1/motor_1001.nii.gz")
    np.testing.assert_array_equal(img.affine, affine)
    assert not (corpus / "words").exists()
    affine[0, 1] = 0.5
    with pytest.raises(ValueError, match="axes run along"):
        draw(TASKS[0], (affine, (5, 5, 5)), "unthresholded", np.random.default_rng(0))

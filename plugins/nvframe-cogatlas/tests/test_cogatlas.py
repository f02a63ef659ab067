"""The annotator on metadata as they are uploaded, and in a fetch."""

import json

import numpy as np
import pytest

import nvframe
from nvframe.errors import AnnotationError
from nvframe.testing import NeuroVaultServer, synthetic_corpus
from nvframe.types import ImageRecord
from nvframe_cogatlas.annotator import CognitiveAtlas

N_BACK = {
    "cognitive_paradigm_cogatlas": "n-back task",
    "cognitive_paradigm_cogatlas_id": "tsk_4a57abb949bcd",
}
STOP = {
    "cognitive_paradigm_cogatlas": "stop signal task",
    "cognitive_paradigm_cogatlas_id": "trm_4c8a834779883",
    "cognitive_contrast_cogatlas": "stop vs go",
    "cognitive_contrast_cogatlas_id": "cnt_4e08fefbf0382",
}


def annotated(fields):
    return CognitiveAtlas().annotate(ImageRecord("neurovault", "1", "2", "", fields))


@pytest.mark.parametrize(
    ("fields", "term"),
    [
        (N_BACK, {"kind": "task", "id": "tsk_4a57abb949bcd", "name": "n-back task"}),
        (
            {"cognitive_contrast_cogatlas": "stop vs go"},
            {"kind": "contrast", "id": "", "name": "stop vs go"},
        ),
        (
            {"cognitive_paradigm_cogatlas": "tsk_4a57abb949bcd"},
            {"kind": "task", "id": "tsk_4a57abb949bcd", "name": "tsk_4a57abb949bcd"},
        ),
        (
            {"cognitive_paradigm_cogatlas": None, "cognitive_paradigm_cogatlas_id": "tsk_4a57abb949bcd"},
            {"kind": "task", "id": "tsk_4a57abb949bcd", "name": "tsk_4a57abb949bcd"},
        ),
        (
            {"TaskName": "rest", "CogAtlasID": "http://www.cognitiveatlas.org/term/id/trm_4c8a834779883/"},
            {"kind": "task", "id": "trm_4c8a834779883", "name": "rest"},
        ),
    ],
    ids=["name and id", "name alone", "id as name", "id alone", "BIDS"],
)
def test_metadata_become_a_term(fields, term):
    assert annotated(fields) == {"terms": [term]}


def test_a_task_and_a_contrast_are_two_terms():
    assert [row["kind"] for row in annotated(STOP)["terms"]] == ["task", "contrast"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cognitive_paradigm_cogatlas": None},
        {"TaskName": "my own task"},
        {"cognitive_paradigm_cogatlas_id": 7},
    ],
)
def test_an_image_without_a_term_says_so(fields):
    with pytest.raises(AnnotationError, match="no task or contrast"):
        annotated(fields)


def test_collation_is_aligned_and_failed_rows_are_unknown():
    collated = CognitiveAtlas().collate([annotated(STOP), None, annotated(N_BACK), {"terms": "damaged"}])
    assert collated["cogatlas_term"][1].tolist() == ["n-back task", "stop signal task", "stop vs go"]
    assert collated["cogatlas_kind"][1].tolist() == ["task", "task", "contrast"]
    assert collated["cogatlas_id"][1].tolist()[1:] == ["trm_4c8a834779883", "cnt_4e08fefbf0382"]
    dims, matrix, _ = collated["cogatlas"]
    assert dims == ("image", "cogatlas_term")
    np.testing.assert_array_equal(matrix, [[0, 1, 1], [np.nan] * 3, [1, 0, 0], [np.nan] * 3])


def test_no_term_at_all_makes_no_array():
    assert CognitiveAtlas().collate([None, None]) == {}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve four maps, the first two with terms."""
    root = synthetic_corpus(tmp_path / "corpus", 1, 4, grids=("RAS-8mm",), specials=False)
    (page,) = root.glob("collections/*_images.json")
    listed = json.loads(page.read_text())
    for row in listed["results"]:
        row |= dict.fromkeys(STOP)
    listed["results"][0] |= N_BACK
    listed["results"][1] |= STOP
    page.write_text(json.dumps(listed))
    with NeuroVaultServer.from_corpus(root) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_fetch_has_terms_beside_the_maps_and_offline_too(served, tmp_path):
    data_dir = tmp_path / "data"
    with pytest.warns(nvframe.errors.PartialResultWarning, match="cogatlas: no annotation for 2 of 4"):
        nvframe.fetch(image_terms={}, data_dir=data_dir, annotators=["cogatlas"])
    served.stop()
    with pytest.warns(nvframe.errors.PartialResultWarning):
        frame = nvframe.fetch(image_terms={}, mode="offline", data_dir=data_dir, annotators=["cogatlas"])
    ds = frame.to_xarray()
    assert ds["cogatlas"].dims == ("image", "cogatlas_term")
    np.testing.assert_array_equal(ds["cogatlas"].sel(cogatlas_term="n-back task"), [1, 0, np.nan, np.nan])
    assert ds["cogatlas_id"].sel(cogatlas_term="stop vs go").item() == "cnt_4e08fefbf0382"

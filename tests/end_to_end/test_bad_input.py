"""One clear error or one reported failure for bad input, and nothing is lost."""

import pytest

import nvframe
from nvframe import errors, fetch_neurovault, fetch_neurovault_ids
from nvframe.http.retry import Retry


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"mode": "download_now"}, ValueError, "did you mean 'download_new'"),
        ({"timeout": -1}, ValueError, "timeout must be a positive number"),
        ({"timeout": "10"}, TypeError, "timeout must be a number"),
        ({"image_terms": ["map_type"]}, TypeError, "image_terms must be a dict"),
        ({"collection_terms": "id"}, TypeError, "collection_terms must be a dict"),
        ({"max_images": float("nan")}, ValueError, "max_images must be a number"),
        ({"max_images": 2.5}, ValueError, "max_images must be a whole number"),
        ({"image_filter": "T map"}, TypeError, "image_filter must be callable"),
        ({"interpolation": "cubic"}, ValueError, "continuous, linear, nearest"),
        ({"verbose": "loud"}, TypeError, "verbose must be"),
    ],
    ids=str,
)
def test_the_compatible_call_says_what_is_wrong_before_any_request(
    nvframe_server, tmp_path, wrong, error, says
):
    with pytest.raises(error, match=says):
        fetch_neurovault(data_dir=tmp_path, **{"verbose": 0, **wrong})
    assert nvframe_server.requests == []


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"processors": ["resample-3m"]}, errors.UnknownPluginError, "did you mean 'resample-3mm'"),
        ({"processors": "resample-3mm"}, TypeError, "processors must be a list"),
        ({"processors": [("resample", {"grid": 2})]}, errors.PluginError, "'grid'.*it takes"),
        ({"processors": [("resample", {"target": "MNI-2mm"})]}, ValueError, "did you mean"),
        ({"annotators": ["words"]}, errors.UnknownPluginError, "neurosynth-words"),
        ({"filters": ["basic"]}, errors.UnknownPluginError, "no filter"),
        ({"on_error": "stop"}, ValueError, "on_error"),
        ({"max_workers": -2}, ValueError, "max_workers"),
        ({"max_workers": 0}, ValueError, "max_workers"),
        ({"image_ids": 2.5j}, TypeError, "image_ids"),
    ],
    ids=str,
)
def test_the_native_call_says_what_is_wrong_before_any_request(nvframe_server, tmp_path, wrong, error, says):
    with pytest.raises(error, match=says):
        nvframe.fetch(data_dir=tmp_path, **wrong)
    assert nvframe_server.requests == []


def test_a_source_that_does_not_exist_names_those_that_do():
    with pytest.raises(errors.UnknownPluginError, match="neurovault"):
        nvframe.fetch("neurvault")


def test_data_dir_that_is_a_file(nvframe_server, tmp_path):
    file = tmp_path / "maps"
    file.write_text("mine")
    with pytest.raises(errors.StorageError, match="is a file: name a directory"):
        fetch_neurovault(data_dir=file, verbose=0)
    assert file.read_text() == "mine"


def test_a_server_that_answers_html_is_reported_and_what_is_stored_is_still_served(nvframe_server, tmp_path):
    fetch_neurovault(max_images=2, data_dir=tmp_path, verbose=0)
    nvframe_server.faults.add("html", times=1000)
    quick = nvframe.set_options(retry=Retry(tries=2, backoff=0.001))
    with quick, pytest.warns(errors.PartialResultWarning, match="HTML page"):
        maps = fetch_neurovault(max_images=5, data_dir=tmp_path, verbose=0)
    assert len(maps.images) == 2
    assert [failure["stage"] for failure in maps.failures] == ["list"]


def test_html_in_place_of_a_map_is_never_cached(nvframe_server, tmp_path):
    nvframe_server.faults.add("html", "/media/", times=2)
    with pytest.warns(errors.PartialResultWarning, match="HTML page, not a NIfTI"):
        maps = fetch_neurovault_ids(image_ids=[1001], data_dir=tmp_path, verbose=0)
    assert maps.images == []
    assert not list(tmp_path.rglob("*.nii.gz"))
    again = fetch_neurovault_ids(image_ids=[1001], data_dir=tmp_path, verbose=0)
    assert len(again.images) == 1


def test_ids_that_are_none_are_failures_of_their_own(nvframe_server, tmp_path):
    with pytest.warns(errors.PartialResultWarning):
        maps = fetch_neurovault_ids(
            image_ids=["1001", "999999", "../../etc/passwd", "ABCDEFGH"], data_dir=tmp_path, verbose=0
        )
    assert len(maps.images) == 1
    reasons = {failure["id"]: failure["error"] for failure in maps.failures}
    assert "Not found" in reasons[999999]
    assert "not a NeuroVault id" in reasons["ABCDEFGH"]
    assert "id" in reasons["../../etc/passwd"]


def test_a_mistyped_keyword_and_a_term_that_no_record_has_are_named(nvframe_server, tmp_path):
    with (
        pytest.warns(UserWarning, match="did you mean 'resample'"),
        pytest.warns(UserWarning, match="no image has"),
    ):
        maps = fetch_neurovault(resampel=True, data_dir=tmp_path, verbose=0)
    assert maps.images == []
    with pytest.warns(UserWarning, match="no image has a field 'maptype'; did you mean 'map_type'"):
        fetch_neurovault(image_terms={"maptype": "T map"}, data_dir=tmp_path, verbose=0)


@pytest.mark.parametrize("call", [fetch_neurovault_ids, nvframe.fetch])
def test_warnings_point_at_the_callers_own_line(nvframe_server, tmp_path, call):
    with pytest.warns(errors.PartialResultWarning) as caught:
        call(image_ids=[999999], data_dir=tmp_path)
    assert [warning.filename for warning in caught] == [__file__]

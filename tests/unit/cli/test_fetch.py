"""nvframe fetch."""

import csv
import json
from pathlib import Path

import nibabel as nib
import pytest

import nvframe


def test_images_are_stored_and_counted(run, nvframe_server, tmp_path):
    result = run("fetch", "--max-images", 3, "--data-dir", "maps")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("3 images: none was stored before, ")
    assert f"files: {tmp_path / 'maps/neurovault'}" in result.stdout
    assert len(list(Path("maps").rglob("image_*.nii.gz"))) == 3


def test_a_second_fetch_says_what_was_there(run, nvframe_server):
    run("fetch", "--max-images", 2)
    result = run("fetch", "--max-images", 3)
    assert result.stdout.startswith("3 images: 2 were stored already, ")


def test_processors_run_in_the_order_given(run, nvframe_server):
    words = ("--resample", "--processor", "smooth:fwhm=6", "--processor", "t-to-z")
    result = run("fetch", "--max-images", 1, *words, "--json")
    (image,) = json.loads(result.stdout)["images"]
    assert nib.load(image["path"]).affine[0, 0] == 3
    frame = nvframe.fetch(
        max_images=1, processors=["resample-3mm", ("smooth", {"fwhm": 6}), "t-to-z"], mode="offline"
    )
    assert frame.images == [image["path"]]


def test_words_are_counted(run, nvframe_server):
    result = run("fetch", "--max-images", 2, "--words")
    assert "neurosynth-words: 2 of 2 images" in result.stdout


def test_images_without_words_are_exit_code_3_and_stay(run, nvframe_server):
    nvframe_server.faults.add("words_down", how="empty", times=None)
    result = run("fetch", "--max-images", 2, "--words")
    assert result.exit_code == 3
    assert result.stdout.startswith("2 images: ")
    assert len(result.stderr.splitlines()) == 1
    assert "neurosynth-words has nothing for 2 of 2 images" in result.stderr


def test_lost_images_are_listed_and_are_exit_code_3(run, nvframe_server):
    nvframe_server.faults.add("status", "/media/.*1002", status=404, times=None)
    result = run("fetch", "--max-images", 3)
    assert result.exit_code == 3
    assert result.stdout.startswith("3 images, 1 lost: ")
    assert result.stderr.startswith("nvframe: lost: image 1002: download failed")
    assert "Warning" not in result.stderr


def test_a_table_is_written(run, nvframe_server, tmp_path):
    run("fetch", "--max-images", 2, "--to-csv", "table.csv")
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1001", "1002"]
    assert all(Path(row["path"]).is_file() for row in rows)


def test_json_holds_the_report_the_images_and_the_failures(run, nvframe_server):
    document = json.loads(run("fetch", "--max-images", 2, "--json").stdout)
    assert document["report"]["images"] == 2
    assert document["failures"] == []
    assert all(Path(image["path"]).is_file() for image in document["images"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--processor", "smoth"), "no processor is called 'smoth': did you mean 'smooth'?"),
        (("--timeout", "-1"), "timeout must be a positive number"),
        (("--data-dir", __file__), "is a file: name a directory"),
        (("nowhere",), "no source is called 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(run, nvframe_server, words, says):
    result = run("fetch", *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("nvframe: error: ")
    assert says in result.stderr
    assert nvframe_server.requests == []


def test_a_web_page_instead_of_answers_is_one_line(run, nvframe_server):
    nvframe_server.faults.add("html", times=None)
    result = run("fetch")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1

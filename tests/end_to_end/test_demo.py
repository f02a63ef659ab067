"""The demo, as a newcomer runs it."""

import csv

import pytest
import xarray as xr
from click.testing import CliRunner

from nvframe.cli import app
from nvframe.testing.corpus.brains import TASKS


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return a directory and the results of two runs of the demo in it."""
    directory = tmp_path_factory.mktemp("demo") / "here"
    words = ["demo", "--dir", str(directory), "--n", "2"]
    return directory, [CliRunner().invoke(app, words, prog_name="nvframe") for _ in range(2)]


def test_it_ends_well_and_warns_of_nothing(demo):
    for result in demo[1]:
        assert (result.exit_code, result.stderr) == (0, ""), result.exception


def test_it_says_where_everything_is_and_what_to_try(demo):
    directory, (first, _) = demo
    for place in ("maps.png", "maps.csv", "data/neurovault", "corpus"):
        assert str(directory / place) in first.stdout
    assert "nvframe demo --live" in first.stdout
    assert "synthetic" in first.stdout


def test_it_shows_what_the_filter_leaves_out(demo):
    assert "1004 (a thresholded map), 1008 (a region of interest), 1012 (an atlas)" in demo[1][0].stdout


def test_it_prints_the_dataset(demo):
    assert "<xarray.Dataset>" in demo[1][0].stdout
    assert "(image: 2, x: 61, y: 73, z: 61" in demo[1][0].stdout


def test_the_second_run_reuses_what_is_there(demo):
    _, (first, second) = demo
    assert "built, in" in first.stdout
    assert "none was there before" in first.stdout
    assert "reused, in" in second.stdout
    assert "2 of 2 images reused; 0.0 MB downloaded" in second.stdout


def test_the_picture_is_not_blank(demo):
    from matplotlib.image import imread

    picture = imread(demo[0] / "maps.png")
    assert picture.shape[0] > 500
    assert picture.shape[1] > 1200
    red = (picture[..., 0] > 0.5) & (picture[..., 1] < 0.3) & (picture[..., 2] < 0.3)
    grey = (abs(picture[..., 0] - picture[..., 1]) < 0.01) & (picture[..., 0] < 0.8) & (picture[..., 0] > 0.3)
    assert red.sum() > 500
    assert grey.mean() > 0.1


def test_the_peaks_of_the_table_are_where_the_tasks_are(demo):
    with (demo[0] / "maps.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1001", "1002"]
    for row, task in zip(rows, TASKS, strict=False):
        at = [float(row[f"peak_{axis}_mm"]) for axis in "xyz"]
        nearest = min(max(abs(a - b) for a, b in zip(at, focus, strict=True)) for focus in task.foci)
        assert nearest <= 3
        assert row["words"].split("; ")[0] == task.words[0]
    assert [float(rows[0][f"peak_{axis}_mm"]) for axis in "xyz"] == [-39, -24, 57]  # left motor cortex: hand


def test_what_it_stored_opens(demo):
    with xr.open_dataset(demo[0] / "data/neurovault", engine="nvframe") as dataset:
        assert dataset.sizes["image"] == 2
        assert float(dataset.stat_map.isel(image=0).max()) > 5


def test_live_without_a_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("NVFRAME_NEUROVAULT_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["demo", "--live", "--dir", str(tmp_path)], prog_name="nvframe")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("nvframe: error: no map came back")
    assert "without --live" in line


def test_live_asks_the_server_and_takes_six_at_most(tmp_path, nvframe_server):
    result = CliRunner().invoke(
        app, ["demo", "--live", "--dir", str(tmp_path), "--n", "9"], prog_name="nvframe"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert "6 maps on one 3 mm grid" in result.stdout
    assert (tmp_path / "live/maps.png").is_file()

"""nvframe mirror and nvframe plugins."""

import json
import os
import signal
import subprocess
import sys

import pytest
import requests

import nvframe.mirror


@pytest.mark.parametrize("place", ["stored", "stored/neurovault"])
def test_a_data_directory_or_a_dataset_is_served(run, nvframe_server, monkeypatch, place):
    def serve(catalogue, host, port, *, on_start):
        served.append((catalogue.page("images", None, limit=9, offset=0)[1], host, port))
        on_start("http://127.0.0.1:7777")

    served = []
    run("fetch", "--max-images", 2)
    monkeypatch.setattr(nvframe.mirror, "serve", serve, raising=False)
    result = run("mirror", place, "--port", 7777)
    assert result.exit_code == 0, result.stderr
    assert served == [(["1001", "1002"], "127.0.0.1", 7777)]
    assert "serving 2 images" in result.stdout
    assert (
        "NVFRAME_NEUROVAULT_URL=http://127.0.0.1:7777 NVFRAME_NEUROSYNTH_URL=http://127.0.0.1:7777"
        in result.stdout
    )


def test_ctrl_c_ends_it_with_exit_code_0(corpus):
    command = [sys.executable, "-m", "nvframe", "mirror", str(corpus), "--port", "0"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        lines = [process.stdout.readline()]
        url = lines[0].split()[-1]
        assert requests.get(f"{url}/api/images/1001/", timeout=10).json()["id"] == 1001
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "")
    assert rest.endswith("stopped\n")


@pytest.mark.parametrize(("place", "says"), [("nowhere", "no such directory"), (".", "nothing to serve")])
def test_what_cannot_be_served_is_one_line(run, place, says):
    result = run("mirror", place)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert says in result.stderr


def test_a_missing_extra_is_one_line_of_advice(run, monkeypatch, corpus):
    for module in [name for name in sys.modules if name.startswith("nvframe.mirror.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run("mirror", corpus)
    assert result.exit_code == 1
    assert result.stderr == 'nvframe: error: the mirror needs uvicorn: pip install "nvframe[mirror]"\n'


def test_plugins_are_listed_with_their_kind_and_state(run):
    rows = json.loads(run("plugins", "--json").stdout)
    found = {(row["kind"], row["name"]): row for row in rows}
    assert found["processor", "resample-3mm"]["state"] == "ok"
    assert found["source", "neurovault"]["distribution"] == "nvframe"


def test_plugins_in_a_pipe_are_lines(run):
    lines = run("plugins").stdout.splitlines()
    assert {line.count("\t") for line in lines} == {5}
    assert any(line.startswith("annotator\tneurosynth-words\tnvframe\t") for line in lines)


def test_plugins_on_a_terminal_are_a_table(run, terminal):
    assert "distribution" in run("plugins").stdout

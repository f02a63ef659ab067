"""Errors, warnings, exit codes, and what the command costs to start."""

import json
import os
import signal
import subprocess
import sys
import warnings

import click
import pytest

import nvframe
from nvframe.cli import app
from nvframe.cli import exit_codes as trouble
from nvframe.errors import OfflineWarning, PartialResultWarning, StorageError


def raising(error):
    def call(**_):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (StorageError("the disk\nis full"), "the disk is full"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_an_error_is_one_line(run, monkeypatch, error, says):
    monkeypatch.setattr(nvframe, "search", raising(error), raising=False)
    result = run("search")
    (line,) = result.stderr.strip().splitlines()
    assert says in line
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)


def test_debugging_shows_the_traceback(run, monkeypatch):
    monkeypatch.setenv("NVFRAME_DEBUG", "1")
    monkeypatch.setattr(nvframe, "search", raising(StorageError("full")), raising=False)
    assert isinstance(run("search").exception, StorageError)


def test_a_fault_in_a_program_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(nvframe, "search", lambda **_: int("x"), raising=False)
    assert isinstance(run("search").exception, ValueError)


def test_warnings_are_lines_and_leave_no_trace(run, monkeypatch, nvframe_server):
    def warn(**_):
        warnings.warn("no write access:\nworking offline", OfflineWarning, stacklevel=2)
        warnings.warn("listed by the command itself", PartialResultWarning, stacklevel=2)
        warnings.warn("not for users", DeprecationWarning, stacklevel=2)
        return real(mode="offline")

    real, show = nvframe.search, warnings.showwarning
    monkeypatch.setattr(nvframe, "search", warn, raising=False)
    result = run("search")
    assert result.stderr.splitlines()[0] == "nvframe: warning: no write access: working offline"
    assert "listed by" not in result.stderr
    assert "not for users" not in result.stderr
    assert warnings.showwarning is show


@pytest.mark.parametrize(
    "words", [("nope",), ("search", "--nope"), ("fetch", "--mode", "x"), ("search", "--where", "x")]
)
def test_usage_errors_are_one_line_and_exit_code_2(run, words):
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("nvframe: error: ")
    assert "--help)" in line


@pytest.mark.parametrize("command", [None, *sorted(app.commands)])
def test_every_command_has_help_with_examples(run, command):
    result = run(*filter(None, [command]), "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert all(len(line) <= 120 for line in result.stdout.splitlines())


def test_without_a_command_there_is_help(run):
    result = run()
    assert result.exit_code == 0
    assert "Exit codes:" in result.stdout


def test_the_version_is_told(run):
    assert run("--version").stdout.strip() == f"nvframe, version {nvframe.__version__}"


def test_verbose_shows_the_log(run, nvframe_server):
    nvframe_server.faults.add("status", "/media/.*1001", status=404, times=None)
    assert "[nvframe] image 1001" in run("fetch", "--max-images", 1, "-vv").stderr


def test_main_returns_the_code_to_programs():
    assert app.main(["--version"], standalone_mode=False) == trouble.OK


def test_an_abort_is_told(monkeypatch, run):
    monkeypatch.setattr(nvframe, "search", raising(click.Abort()), raising=False)
    assert run("search").exit_code == 130


def test_help_imports_nothing_heavy():
    heavy = ["numpy", "pandas", "scipy", "sklearn", "xarray", "nibabel", "matplotlib"]
    heavy += ["requests", "fsspec", "pluggy", "rich", "s3fs", "starlette"]
    code = (
        "import sys, json, nvframe.cli\n"
        "try: nvframe.cli.app.main(['fetch', '--help'])\n"
        "except SystemExit: pass\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_closed_pipe_ends_in_silence(nvframe_server, tmp_path):
    environ = {**os.environ, "NVFRAME_DATA": str(tmp_path)}
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "nvframe", "search"],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=environ,
            timeout=60,
        )
    assert done.stderr == b""
    assert done.returncode == 1


def test_ctrl_c_stops_a_fetch_and_says_what_is_kept(nvframe_server, tmp_path):
    nvframe_server.faults.add("hang", "/media/", times=None)  # on a busy machine the signal may come late
    environ = {**os.environ, "NVFRAME_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "nvframe", "fetch", "--max-images", "1", "--timeout", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True
    ) as process:
        while not any(request.path.startswith("/media/") for request in nvframe_server.requests):
            assert nvframe_server.wait_for(len(nvframe_server.requests) + 1, timeout=30)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: what is stored is kept" in told
    assert "Traceback" not in told

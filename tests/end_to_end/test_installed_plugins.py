"""Packages as pip leaves them, good and bad, beside each other: seen from processes of their own."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

HOOK = """
from nvframe import hookimpl
from nvframe.plugins import ImageProcessorPlugin

@hookimpl
def nvframe_image_processors():
    yield ImageProcessorPlugin({name!r}, {factory!r}, summary="from {distribution}")
"""

PROCESSOR = """
class Made:
    def __call__(self, img, record):
        return img
"""

PACKAGES = {
    "lab-good": {
        "lab_good": HOOK.format(name="good", factory="lab_good_steps:Made", distribution="lab-good")
    },
    "lab-broken": {"lab_broken": "raise RuntimeError('no licence')"},
    "lab-twin-a": {"lab_twin_a": HOOK.format(name="twin", factory="lab_good_steps:Made", distribution="a")},
    "lab-twin-b": {"lab_twin_b": HOOK.format(name="twin", factory="lab_good_steps:Made", distribution="b")},
    "lab-slow": {
        "lab_slow": HOOK.format(name="slow", factory="lab_slow_steps:Made", distribution="lab-slow"),
        "lab_slow_steps": "import threading\nthreading.Event().wait(0.2)\n" + PROCESSOR,
    },
}
PACKAGES["lab-good"]["lab_good_steps"] = PROCESSOR


@pytest.fixture
def site(tmp_path):
    """Install the packages into a directory."""
    root = tmp_path / "site"
    for distribution, modules in PACKAGES.items():
        info = root / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[nvframe]\n{distribution} = {next(iter(modules))}\n")
        for name, source in modules.items():
            (root / f"{name}.py").write_text(source)
    return root


@pytest.fixture
def python(site, nvframe_server, data_dir):
    """Return a function that runs code, or a command line, in a fresh process with the packages on its path."""

    def python(*command, **variables):
        if len(command) == 1:
            command = ("-c", textwrap.dedent(command[0]))
        environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONWARNINGS": "default", **variables}
        return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)

    return python


def rows(python, **variables):
    told = python("-m", "nvframe", "plugins", "--json", **variables)
    assert told.returncode == 0, told.stderr
    return [row for row in json.loads(told.stdout) if row["distribution"] != "nvframe"], told.stderr


def test_the_list_shows_each_as_it_is(python):
    listed, told = rows(python)
    states = {
        (row["distribution"], row["name"]): row["state"] for row in listed if "lab-" in row["distribution"]
    }
    assert states == {
        ("lab-good", "good"): "ok",
        ("lab-slow", "slow"): "ok",
        ("lab-twin-a", "twin"): "conflict",
        ("lab-twin-b", "twin"): "conflict",
        ("lab-broken", "lab-broken"): "broken",
    }
    assert told.count("warning:") == 1
    assert "'lab-broken' of lab-broken 1.0 was left out: RuntimeError: no licence" in told


def test_a_fetch_of_what_is_built_in_loads_no_plugin(python):
    told = python(
        """
        import sys, nvframe
        print(len(nvframe.fetch(max_images=2, processors=["resample-3mm"])))
        print([name for name in sys.modules if name.startswith("lab_")])
        """,
        NVFRAME_TRACE_PLUGINS="1",
    )
    assert (told.stdout.split("\n", 1), told.returncode) == (["2", "[]\n"], 0), told.stderr
    assert "lab" not in told.stderr


def test_a_fetch_by_name_is_troubled_by_no_other_plugin(python):
    told = python(
        """
        import sys, warnings, nvframe
        from nvframe.errors import PluginConflictError, UnknownPluginError
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = nvframe.fetch(max_images=2, processors=["good"])
        print(len(frame), len(caught), "lab-broken 1.0" in str(caught[0].message), caught[0].filename)
        print("lab_slow_steps" in sys.modules)
        for name, error in (("twin", PluginConflictError), ("twins", UnknownPluginError)):
            try:
                nvframe.fetch(max_images=2, processors=[name])
            except error as problem:
                print(problem)
        """
    )
    lines = told.stdout.splitlines()
    assert lines[:2] == ["2 1 True <string>", "False"], told.stderr
    assert "lab-twin-a 1.0 and lab-twin-b 1.0" in lines[2]
    assert "did you mean 'twin'?" in lines[3]
    assert "lab-broken (RuntimeError: no licence)" in lines[3]


def test_the_switches(python):
    listed, told = rows(python, NVFRAME_DISABLE_PLUGINS="lab-broken,lab-twin-b")
    assert told == ""
    states = {row["distribution"]: row["state"] for row in listed}
    assert (states["lab-broken"], states["lab-twin-a"], states["lab-twin-b"]) == (
        "disabled",
        "ok",
        "disabled",
    )
    strict = python("-m", "nvframe", "plugins", NVFRAME_STRICT_PLUGINS="1")
    assert strict.returncode == 1
    assert "RuntimeError: no licence" in strict.stderr


def test_what_is_uninstalled_takes_its_own_names_only(python, site):
    before, _ = rows(python)
    shutil.rmtree(site / "lab_good-1.0.dist-info")
    after, _ = rows(python)
    assert after == [row for row in before if row["distribution"] != "lab-good"]

"""``nvframe plugins``: its list, the skeletons it writes, and the kit it runs."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

from nvframe.cli.parsing import KIND_NAMES
from nvframe.plugins import KINDS, AnnotatorPlugin, ImageProcessorPlugin
from nvframe.plugins.registry import Registry, installed
from nvframe.processing.processors import Smooth


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that makes a package findable as pip would, its sources left where they are."""

    def install(package):
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        ((group, points),) = project["entry-points"].items()
        info = tmp_path / f"site/{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        lines = [f"{name} = {module}" for name, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.syspath_prepend(package / "src")
        return os.pathsep.join([str(tmp_path / "site"), str(package / "src")])

    with installed(Registry()):
        yield install
    for name in [name for name in sys.modules if name.startswith("nvframe_lab_")]:
        del sys.modules[name]


def outcomes(result):
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    return {check: (outcome, reason) for outcome, check, reason in rows}


def test_every_kind_has_one_word():
    assert [kind.kind.replace(" ", "-") for kind in KINDS] == list(KIND_NAMES)


def test_the_list_is_what_the_group_does_alone(run):
    rows = json.loads(run("plugins", "--json").stdout)
    assert {"kind": "processor", "name": "smooth", "state": "ok"}.items() <= next(
        row for row in rows if row["name"] == "smooth"
    ).items()
    assert len(run("plugins").stdout.splitlines()) == len(rows)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_new_plugin_passes_its_own_tests_and_the_check(run, install, tmp_path, kind):
    assert run("plugins", "new", f"lab-{kind}", "--kind", kind).exit_code == 0
    package = tmp_path / f"nvframe-lab-{kind}"
    path = install(package)
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert tested.returncode == 0, tested.stdout

    checked = run("plugins", "check", f"lab-{kind}")
    assert checked.exit_code == 0, checked.output
    found = {outcome for outcome, _ in outcomes(checked).values()}
    assert found <= {"passed", "skipped"}
    assert "passed" in found


def test_a_new_plugin_is_nobody_elses(run, tmp_path):
    assert run("plugins", "new", "lab-words", "--kind", "annotator", "--directory", "there").exit_code == 0
    again = run("plugins", "new", "lab-words", "--kind", "filter", "--directory", "there")
    assert again.exit_code == 1
    assert "exists" in again.stderr
    refused = run("plugins", "new", "Lab Words", "--kind", "annotator")
    assert (refused.exit_code, "kebab-case" in refused.stderr) == (1, True)
    assert [path.name for path in tmp_path.glob("*ab*")] == []


def test_a_built_in_without_fixtures_says_what_was_not_checked(run):
    checked = run("plugins", "check", "neurosynth-words")
    assert checked.exit_code == 0
    found = outcomes(checked)
    assert found["descriptor_is_complete"] == ("passed", "")
    outcome, reason = found["annotation_is_json"]
    assert outcome == "skipped"
    assert "only its author's kit" in reason
    needs = outcomes(run("plugins", "check", "smooth"))["returns_an_image"]
    assert needs[0] == "skipped"
    assert "'fwhm'" in needs[1]


def scribbling(img, record):
    """Make what the kit must notice."""
    img.header["descrip"] = b"mine"
    return img


def test_a_failed_check_is_exit_code_1_and_says_what_is_wanted(run, nvframe_registry):
    nvframe_registry.register(ImageProcessorPlugin("scribble", lambda: scribbling, "scribbles"))
    checked = run("plugins", "check", "scribble")
    assert checked.exit_code == 1
    assert outcomes(checked)["leaves_its_input_alone"] == (
        "failed",
        "it changed the header of its input: copy it first",
    )
    assert "1 failed" in checked.stderr


def test_a_name_of_two_kinds_needs_the_kind(run, nvframe_registry):
    nvframe_registry.register(AnnotatorPlugin("smooth", dict, "another"))
    refused = run("plugins", "check", "smooth")
    assert (refused.exit_code, "--kind" in refused.stderr) == (1, True)
    assert run("plugins", "check", "smooth", "--kind", "processor").exit_code == 0
    unknown = run("plugins", "check", "smoooth")
    assert (unknown.exit_code, "no plugin is called 'smoooth'" in unknown.stderr) == (1, True)


def test_what_a_descriptor_names_must_be_a_kit(run, nvframe_registry):
    plugin = ImageProcessorPlugin("odd", Smooth, "odd", conformance="nvframe.testing:AnnotatorConformance")
    nvframe_registry.register(plugin)
    checked = run("plugins", "check", "odd")
    assert checked.exit_code == 1
    assert "is not a kit for a processor" in checked.stderr

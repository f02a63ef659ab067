"""A kit is worth what it finds: each implementation in `broken/` fails the check that names its fault."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import nvframe.testing as kits
from nvframe.testing import checks

BROKEN = Path(__file__).parent / "broken"
KITS = {
    "sources": kits.SourceConformance,
    "filters": kits.FilterConformance,
    "storages": kits.StorageConformance,
    "processors": kits.ProcessorConformance,
    "annotators": kits.AnnotatorConformance,
    "result_formats": kits.ResultFormatConformance,
}
COMMON = ("descriptor_is_complete", "misspelt_parameter_is_refused", "wrong_value_is_refused")


def run(path, tmp_path, *options):
    """Run the kits in a file in a pytest of their own and return the failed checks by class."""
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(path),
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "-q",
        "--tb=line",
    ]
    config = tmp_path / "pytest.ini"
    config.write_text(
        "[pytest]\npython_classes = Broken* Kit Test*\npython_files = *.py\nxfail_strict = true\n"
    )
    ended = subprocess.run(
        [*command, "-c", str(config), f"--rootdir={tmp_path}", f"--junitxml={report}", *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },  # loading them all takes longer than the checks
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    failed = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname").rpartition(".")[2]
        check = case.get("name").removeprefix("test_").partition("[")[0]
        failed.setdefault(name, {})
        for problem in (*case.iter("failure"), *case.iter("error")):
            failed[name][check] = problem.get("message")
    return failed


@pytest.mark.parametrize("kind", KITS)
def test_each_fault_is_found_by_the_check_that_names_it(kind, tmp_path):
    names = runpy.run_path(str(BROKEN / f"{kind}.py"))
    mutants = {name: value for name, value in names.items() if name.startswith("Broken")}
    failed = run(BROKEN / f"{kind}.py", tmp_path)
    assert failed.pop("Kit") == {}, "what does everything right must pass"
    wrong = {}
    for name, mutant in mutants.items():
        found, also = set(failed[name]), getattr(mutant, "also", ())
        expected = {mutant.fault, *(found if also is ... else also)}
        if found != expected:
            wrong[name] = {"expected": expected, "found": failed[name]}
    assert wrong == {}


@pytest.mark.parametrize("kind", KITS)
def test_each_check_has_its_fault(kind):
    names = runpy.run_path(str(BROKEN / f"{kind}.py"))
    faults = {value.fault for name, value in names.items() if name.startswith("Broken")}
    common = set() if kind == "processors" else set(COMMON)
    assert set(checks(KITS[kind])) - common == faults


EXPECTED = """
from nvframe.testing import ProcessorConformance
import pytest

def right(img, record):
    return img

class TestPasses(ProcessorConformance):
    expected_failures = {expected}

    @pytest.fixture
    def processor(self):
        return right
"""


def test_a_check_that_was_to_fail_and_passes_is_an_error(tmp_path):
    path = tmp_path / "kit.py"
    path.write_text(
        EXPECTED.replace("{expected}", "{'pickles': 'not yet', 'odd_image_is_no_trouble[nan]': 'x'}")
    )
    (failed,) = run(path, tmp_path).values()
    assert set(failed) == {"pickles", "odd_image_is_no_trouble"}
    assert "XPASS(strict)" in failed["pickles"]


def test_a_check_that_was_to_fail_and_fails_is_no_error(tmp_path):
    path = tmp_path / "kit.py"
    source = EXPECTED.replace("{expected}", "{'leaves_its_input_alone': 'known, issue 7'}")
    path.write_text(source.replace("    return img", "    img.header['descrip'] = b'x'\n    return img"))
    assert run(path, tmp_path) == {"TestPasses": {}}


def test_a_check_that_does_not_exist_is_an_error():
    with pytest.raises(TypeError, match=r"there is no check 'pickls'; did you mean 'pickles'\?"):
        type("TestIt", (kits.ProcessorConformance,), {"expected_failures": {"pickls": "?"}})


NEEDY = """
from nvframe.plugins import StorageBackendPlugin
from nvframe.testing import StorageConformance

class TestNeedy(StorageConformance):
    plugin = StorageBackendPlugin("needy", lambda url: None, summary="needs a url")
"""


def test_a_factory_that_needs_a_parameter_is_told_how_to_get_it(tmp_path):
    path = tmp_path / "kit.py"
    path.write_text(NEEDY)
    (failed,) = run(path, tmp_path).values()
    told = failed["reads_what_is_stored"]
    assert "missing a required argument: 'url'" in told
    assert "put what it needs into `parameters`, or override the fixture" in told

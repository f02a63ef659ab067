"""What plugin authors rely on is written down: hooks, descriptor fields, checks, fixtures, the tutorial's files."""

import dataclasses
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import nvframe.testing as kits
from nvframe.plugins import KINDS, Plugin, hookspecs
from nvframe.testing import checks, fixtures
from nvframe.testing.conformance.base import Conformance

ROOT = Path(__file__).parents[2]
HOOKS = ROOT / "docs/reference/hooks"
API = (ROOT / "docs/reference/plugin-api.md").read_text(encoding="utf-8")
KITS = {
    "sources": kits.SourceConformance,
    "filters": kits.FilterConformance,
    "storage-backends": kits.StorageConformance,
    "image-processors": kits.ProcessorConformance,
    "annotators": kits.AnnotatorConformance,
    "result-formats": kits.ResultFormatConformance,
}


def page(name):
    return (HOOKS / f"{name}.md").read_text(encoding="utf-8")


def test_every_hook_has_its_page():
    hooks = {name for name in vars(hookspecs) if name.startswith("nvframe_")}
    listed = (ROOT / "docs/reference/hooks.md").read_text(encoding="utf-8")
    assert {re.search(r"^`(nvframe_\w+)\(", page(path.stem), re.M)[1] for path in HOOKS.glob("*.md")} == hooks
    assert set(re.findall(r"^\| `(nvframe_\w+)\(", listed, re.M)) == hooks
    assert set(re.findall(r"^hooks/(.+)$", listed, re.M)) == {path.stem for path in HOOKS.glob("*.md")}
    for path in HOOKS.glob("*.md"):
        assert "**When it is called.**" in page(path.stem)
        assert "```python\n" in page(path.stem)


def test_what_is_built_in_is_listed(nvframe_registry):
    listed = (ROOT / "docs/reference/hooks.md").read_text(encoding="utf-8")
    for kind in KINDS:
        (row,) = re.findall(rf"^\| `nvframe_{kind.plural}\(\)` .*\| (.+) \|$", listed, re.M)
        assert set(re.findall(r"`([^`]+)`", row)) == set(nvframe_registry.names(kind))


@pytest.mark.parametrize("name", KITS)
def test_every_check_is_on_its_hooks_page(name):
    written = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page(name), re.M))
    assert written == checks(KITS[name])
    assert all(sentence.endswith(".") for sentence in written.values())
    assert KITS[name].__name__ in page(name)


@pytest.mark.parametrize("name", KITS)
def test_every_flag_and_fixture_of_a_kit_is_described(name):
    kit = KITS[name]
    own = {name for base in kit.__mro__[: kit.__mro__.index(Conformance)] for name in vars(base)}
    told = page(name) + "".join(base.__doc__ or "" for base in kit.__mro__)
    given = {"kind", "annotations", "reopen", "frame", "odd_frame"}  # nobody has to know these
    public = {each for each in own - given if not each.startswith(("_", "test_"))}
    assert {each for each in public if not re.search(rf"(`|    |, ){each}\b", told)} == set()


def test_every_field_of_a_descriptor_is_described():
    written = set(re.findall(r"^\| `(\w+)` \|", API.partition("## How plugins are found")[0], re.M))
    fields = {field.name for field in dataclasses.fields(Plugin)}
    assert written == fields
    assert all(f"\n{name} : " in (inspect.getdoc(Plugin) or "") for name in fields)
    assert all(f"`{kind.__name__}`" in (ROOT / "docs/reference/hooks.md").read_text() for kind in KINDS)


def test_every_attribute_of_the_kits_is_described():
    attributes = {name for name in vars(Conformance) if not name.startswith(("_", "test_"))} - {
        "kind",
        "build",
    }
    assert set(re.findall(r"^\| `(\w+)` \|", API.partition("## The conformance kit")[2], re.M)) >= attributes
    assert all(f"\n{name} : " in (inspect.getdoc(Conformance) or "") for name in attributes)


def test_every_fixture_is_described():
    shipped = {name for name in vars(fixtures) if name.startswith("nvframe_")}
    assert set(re.findall(r"^\| `(nvframe_\w+)` \|", API, re.M)) == shipped


def test_the_tutorials_files_are_the_plugins_own():
    tutorial = (ROOT / "docs/tutorial/first-plugin.md").read_text(encoding="utf-8")
    shown = re.findall(r"^<!-- (plugins/\S+) -->\n```\w+\n(.*?)^```$", tutorial, re.M | re.S)
    assert [Path(name).name for name, _ in shown] == [
        "pyproject.toml",
        "threshold.py",
        "__init__.py",
        "test_conformance.py",
    ]
    for name, text in shown:
        assert text == (ROOT / name).read_text(encoding="utf-8"), name
    code = (ROOT / "plugins/nvframe-example/src/nvframe_example").glob("*.py")
    assert sum(len(re.findall(r"^(?!\s*(#|\"\"\"|$))", path.read_text(), re.M)) for path in code) < 40


def test_the_tutorials_package_is_whole():
    """A build asks for every file that the project names: the tutorial tells to make each before it is installed."""
    tutorial = (ROOT / "docs/tutorial/first-plugin.md").read_text(encoding="utf-8")
    told = tutorial.partition('pip install -e ".[test]"')[0]
    project = tomllib.loads(re.search(r"pyproject.toml -->\n```toml\n(.*?)^```$", told, re.M | re.S)[1])[
        "project"
    ]
    words = re.sub(r"^```.*?^```$", "", told, flags=re.M | re.S)
    for name in (project["readme"], *project["license-files"]):
        assert f"`{name}`" in words, name


def test_the_tutorial_runs(nvframe_server, nvframe_registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "plugins/nvframe-example/src")
    import nvframe_example

    nvframe_registry.register(nvframe_example)
    tutorial = (ROOT / "docs/tutorial/first-plugin.md").read_text(encoding="utf-8")
    names = {"__name__": "first_plugin"}
    for code in re.findall(r"^```python\n(.*?)^```$", tutorial, re.M | re.S):
        exec(compile(code, "first-plugin.md", "exec"), names)
    values = abs(names["frame"].load(0).get_fdata())
    assert not ((values > 0) & (values < 3.1)).any()

"""Every test that the documentation names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"(?:plugins/[\w-]+/)?tests/[\w/]+\.py(?:::\w+)?")
PAGES = sorted(ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_tests_that_are_named_exist(page):
    for named in NAMED.findall(page.read_text(encoding="utf-8")):
        file, _, function = named.partition("::")
        path = ROOT / file
        assert path.is_file(), named
        if function:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert function in functions, named


def test_every_line_about_nilearn_names_its_test():
    text = (ROOT / "docs/explanation/compat.md").read_text(encoding="utf-8")
    lines = re.findall(r"^- (.*?)(?=^- |^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(lines) > 40
    assert [line.partition("\n")[0] for line in lines if not NAMED.search(line)] == []

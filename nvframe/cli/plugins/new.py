"""``nvframe plugins new``: a package to begin a plugin with, complete and tested."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from nvframe.cli.exit_codes import OK
from nvframe.cli.options import verbosity
from nvframe.cli.parsing import KIND_NAMES, kind_of
from nvframe.errors import PluginError

EPILOG = """\b
Examples:
  nvframe plugins new lab-words --kind annotator
  cd nvframe-lab-words && pip install -e ".[test]" && pytest
"""

SUMMARIES = {
    "source": "maps in a directory",
    "filter": "maps of many participants",
    "storage": "a place for files",
    "processor": "an image's values, scaled",
    "annotator": "words in an image's name",
    "result-format": "paths by image id",
}
"""What each skeleton does until its author makes something of it."""


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--kind", type=click.Choice(KIND_NAMES), required=True, help="What the plugin is.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the package's directory is made; here by default.",
)
@verbosity
def new(name: str, kind: str, directory: Path) -> int:
    """Write a package for a plugin called NAME: it works, its tests pass on the conformance kit, and you go on."""
    kind_of(kind)(name, "", "")  # a bad name is refused where all are
    root = directory / f"nvframe-{name}"
    if root.exists():
        raise PluginError(f"{root} exists: choose another name or --directory")
    for path, text in _files(name, kind).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    click.echo(f'{root} is written; go on with: cd {root} && pip install -e ".[test]" && pytest')
    return OK


def _files(name: str, kind: str) -> dict[str, str]:
    """Return the texts of a package by their paths in it."""
    package = f"nvframe_{name.replace('-', '_')}"
    descriptor = kind_of(kind)
    words = {
        "name": name,
        "snake": name.replace("-", "_"),
        "cls": _class_name(name),
        "distribution": f"nvframe-{name}",
        "package": package,
        "kind": descriptor.kind,
        "plural": descriptor.plural,
        "descriptor": descriptor.__name__,
        "summary": SUMMARIES[kind],
    }
    templates = {
        "pyproject.toml": "pyproject.toml.txt",
        "README.md": "README.md.txt",
        f"src/{package}/__init__.py": "init.py.txt",
        f"src/{package}/plugin.py": f"{kind}.plugin.txt",
        f"src/{package}/conformance.py": f"{kind}.kit.txt",
        f"tests/test_{words['snake']}.py": "test.py.txt",
    }
    skeletons = files("nvframe.cli.plugins") / "skeletons"
    texts = {path: (skeletons / file).read_text(encoding="utf-8") for path, file in templates.items()}
    made = {path: Template(text).substitute(words) for path, text in texts.items()}
    return {**made, f"src/{package}/py.typed": ""}


def _class_name(name: str) -> str:
    return re.sub(r"^(?=\d)", "Plugin", "".join(part.capitalize() for part in name.split("-")))

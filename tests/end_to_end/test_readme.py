"""What the README promises works as written; maps and buckets are on loopback."""

import re
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [found["code"] for found in BLOCK.finditer(README) if found["language"] == language]


def block(*, containing, language="python"):
    (code,) = [code for code in blocks(language) if containing in code]
    return code


def execute(code):
    names = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    return names


@pytest.fixture
def newcomer(tmp_path, monkeypatch, nvframe_server):
    """Stand in an empty directory, with nvframe pointed at loopback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NVFRAME_DATA", str(tmp_path / "data"))
    return nvframe_server


def test_the_compat_call(newcomer, capsys):
    found = execute(block(containing="fetch_neurovault(max"))["maps"]
    assert len(found.images) > 0
    assert {meta["map_type"] for meta in found.images_meta} == {"T map"}
    assert all(Path(path).is_file() for path in found.images)


def test_the_array(newcomer, capsys):
    names = execute(block(containing="hand area"))
    assert names["ds"].sizes["image"] == len(names["frame"]) > 0
    assert Path("mean.nii.gz").is_file()
    ds = names["ds"]
    assert ds.where(ds.number_of_subjects > 20, drop=True).sizes["image"] < ds.sizes["image"]


def test_the_bucket(newcomer, make_bucket, capsys):
    bucket = make_bucket("my-lab")
    names = execute(block(containing="s3://my-lab"))
    assert names["frame"].images[0].startswith("s3://my-lab/maps/neurovault/collection_1/image_")
    assert names["ds"].sizes["image"] == 10
    stored = bucket.list_objects_v2(Bucket="my-lab")["Contents"]
    assert sum(entry["Key"].endswith("_resampled.nii.gz") for entry in stored) == 10


def test_the_function_as_a_processor(newcomer):
    frame = execute(block(containing="def absolute"))["frame"]
    assert len(frame) == 5
    assert frame.load(0).affine[0, 0] == 3
    assert frame.load(0).get_fdata().min() >= 0


def test_the_plugin_is_found_by_its_entry_point(newcomer, tmp_path, monkeypatch):
    import tomllib

    import nvframe
    from nvframe.plugins.registry import Registry

    (group,) = tomllib.loads(block(containing="entry-points", language="toml"))["project"][
        "entry-points"
    ].items()
    lines = [f"{name} = {value}" for name, value in group[1].items()]
    info = tmp_path / "site/lab_tools-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(f"[{group[0]}]\n" + "\n".join(lines) + "\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-tools\nVersion: 1.0\n")
    (tmp_path / "site/lab_tools.py").write_text(block(containing="# lab_tools.py"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    registry = Registry()
    for room in ("frame", "pipeline.session"):
        monkeypatch.setattr(f"nvframe.{room}.default_registry", lambda: registry)
    frame = nvframe.fetch(max_images=2, processors=[("binarise", {"threshold": 4.0})])
    assert set(frame.load(0).get_fdata().ravel()) == {0.0, 1.0}
    assert ("lab-tools", "1.0", "ok") in {
        (row.distribution, row.version, row.state) for row in registry.listing()
    }
    sys.modules.pop("lab_tools", None)


def test_there_are_exactly_two_marked_commands_in_blocks_of_their_own():
    marked = re.findall(r"^<!-- (run|test) -->\n```sh\n(.+)\n```$", README, re.MULTILINE)
    assert [name for name, _ in marked] == ["run", "test"]
    assert README.count("<!--") == 2
    assert all(command.startswith("python3 -m venv .venv && ") for _, command in marked)


def test_commands_in_the_readme_exist():
    from nvframe.cli import app

    lines = [line for code in blocks("sh") for line in code.splitlines()]
    lines += re.findall(r"^\| `(.+?)` \|", README, re.MULTILINE)
    found = [line.split(maxsplit=2)[1:] for line in lines if line.startswith("nvframe ")]
    assert len(found) >= 7
    for name, *words in found:
        known = {option for param in app.commands[name].params for option in param.opts}
        assert set(re.findall(r"--[a-z-]+", " ".join(words))) <= known


def test_linked_pages_exist():
    root = Path(__file__).parents[2]
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", README):
        assert (root / target).exists(), target

"""The plugins of this repository side by side: one fetch through all of them, and what is left without each."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import nvframe

PLUGINS = ["nvframe-atlas", "nvframe-bids", "nvframe-cogatlas", "nvframe-example", "nvframe-zenodo"]
INSTALLED = {dist.name for dist in metadata.distributions()}
MISSING = [name for name in PLUGINS if name not in INSTALLED]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} not installed: pip install -r plugins/requirements.txt"
)

AFFINE = nib.affines.from_matvec(np.diag([6.0, 6.0, 6.0]), [-78, -112, -70])
SHAPE = (27, 33, 27)


@pytest.fixture
def study(tmp_path):
    """Write a BIDS study: a group map and one of a subject, of a task that the Cognitive Atlas knows."""
    root = tmp_path / "study/derivatives/glm"
    (root / "sub-01/func").mkdir(parents=True)
    description = {"Name": "GLM", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "GeneratedBy": []}
    (root / "dataset_description.json").write_text(json.dumps(description))
    task = {
        "TaskName": "stop signal task",
        "CogAtlasID": "https://www.cognitiveatlas.org/task/id/trm_4c8a834779883",
    }
    (root / "task-stop_statmap.json").write_text(json.dumps(task))
    for seed, name in enumerate(("task-stop_stat-t_statmap", "sub-01/func/sub-01_task-stop_stat-t_statmap")):
        data = np.random.default_rng(seed).normal(scale=2, size=SHAPE).astype("float32")
        nib.Nifti1Image(data, AFFINE).to_filename(root / f"{name}.nii.gz")
    return tmp_path / "study"


@pytest.fixture
def hemispheres(tmp_path):
    """Write an atlas of two labels, with their names beside it."""
    labels = np.zeros(SHAPE, "uint8")
    labels[:13], labels[13:] = 1, 2
    nib.Nifti1Image(labels, AFFINE).to_filename(tmp_path / "hemispheres_dseg.nii.gz")
    (tmp_path / "hemispheres_dseg.tsv").write_text("index\tname\n1\tleft\n2\tright\n")
    return tmp_path / "hemispheres_dseg.nii.gz"


def by_hand(path, steps):
    """Return a map's values after the processors, called one after the other."""
    from nvframe.processing.processors import Smooth
    from nvframe.types import ImageRecord
    from nvframe_example.threshold import Threshold

    img, record = nib.load(path), ImageRecord("bids", "1", "1", "", {})
    for step in steps:
        img = {"threshold": Threshold(2.0), "smooth": Smooth(12)}[step](img, record)
    return img.get_fdata(dtype="float32")


@pytest.mark.parametrize("order", [("threshold", "smooth"), ("smooth", "threshold")], ids="-then-".join)
def test_a_source_a_bucket_two_processors_in_order_and_two_annotators(study, hemispheres, make_bucket, order):
    make_bucket("lab")
    steps = {"threshold": ("threshold", {"threshold": 2.0}), "smooth": ("smooth", {"fwhm": 12})}
    frame = nvframe.fetch(
        ("bids", {"root": study}),
        data_dir="s3://lab/maps",
        storage_options={"profile": "lab"},
        processors=[steps[name] for name in order],
        annotators=["cogatlas", ("regions", {"atlas": hemispheres})],
    )
    assert frame.failures == []
    assert [meta.get("sub") for meta in frame.images_meta] == [None, "01"]
    assert all(url.startswith("s3://lab/maps/bids-") for url in frame.images)
    for i, meta in enumerate(frame.images_meta):
        np.testing.assert_allclose(
            frame.load(i).get_fdata(), by_hand(meta["file"], order), rtol=1e-5, atol=1e-6
        )
        assert not np.allclose(frame.load(i).get_fdata(), by_hand(meta["file"], order[::-1]), atol=1e-2)
    ds = frame.to_xarray()
    assert (ds.cogatlas.sel(cogatlas_term="stop signal task") == 1).all()
    assert ds.regions.dims == ("image", "region")
    np.testing.assert_allclose(ds.regions, frame.to("regions", atlas=hemispheres), rtol=1e-5)
    url = frame.to("bids", url="s3://lab/derived", storage_options={"profile": "lab"})
    back = nvframe.search(("bids", {"root": url, "storage_options": {"profile": "lab"}}))
    assert [meta["name"] for meta in back.images_meta] == [meta["name"] for meta in frame.images_meta]


def test_they_use_what_is_open_to_all():
    allowed = {"nvframe", "nvframe.testing"} | {
        f"nvframe.{room}"
        for room in (
            "contracts",
            "credentials",
            "errors",
            "filters",
            "http",
            "imaging",
            "plugins",
            "storage",
            "types",
            "urls",
        )
    }
    for path in (Path(__file__).parents[2] / "plugins").glob("*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nvframe":
                rooms = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
                assert ".".join(node.module.split(".")[:2]) in allowed, f"{path.name} imports {node.module}"
                assert not any("._" in room for room in rooms), f"{path.name} imports a private name"


# Uninstalled: an environment in which all is as it is here, except that one distribution is not there.

LISTING = """
import json
from nvframe.plugins.registry import default_registry
print(json.dumps([[r.kind, r.name, r.distribution, r.state, r.summary] for r in default_registry().listing()]))
"""
ASKING = """
import nvframe
try:
    nvframe.fetch(("zenodo", {"records": [1]}))
except nvframe.errors.UnknownPluginError as error:
    print(error)
"""


def without(tmp_path, *gone):
    """Return a function that runs code where these distributions are not installed."""
    site = tmp_path / "site-packages"
    site.mkdir()
    hidden = {f"{name.replace('-', '_')}-{metadata.version(name)}.dist-info" for name in gone}
    packages = {name.replace("-", "_") for name in gone}
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in hidden | packages:
            (site / entry.name).symlink_to(entry)
    modules = ["nvframe", *(name.replace("-", "_") for name in PLUGINS if name not in gone)]
    sources = {str(Path(importlib.util.find_spec(module).origin).parents[1]) for module in modules}
    sources.discard(sysconfig.get_path("purelib"))
    path = os.pathsep.join([str(site), *sorted(sources)])

    def run(code):
        # -S: this environment's own site-packages, with its links to editable installs, stay out of it.
        made = subprocess.run(
            [sys.executable, "-S", "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert made.returncode == 0, made.stderr
        return made.stdout

    return run


def listing(run):
    return [tuple(row) for row in json.loads(run(LISTING))]


@pytest.mark.parametrize("gone", PLUGINS)
def test_uninstalling_one_takes_away_its_own_names_and_nothing_else(tmp_path, gone):
    (tmp_path / "all").mkdir()
    everything = listing(without(tmp_path / "all"))
    assert {row[2] for row in everything} >= {"nvframe", *PLUGINS}
    assert {row[3] for row in everything if row[2] in PLUGINS} == {"ok"}
    left = listing(without(tmp_path, gone))
    assert left == [row for row in everything if row[2] != gone]


def test_the_name_of_an_uninstalled_plugin_is_unknown(tmp_path):
    said = without(tmp_path, "nvframe-zenodo")(ASKING)
    assert said.startswith("no source is called 'zenodo'")

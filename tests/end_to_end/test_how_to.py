"""The pages of the documentation run as written, and those about nilearn's calls with nilearn's import too."""

import contextlib
import re
import warnings
from pathlib import Path

import matplotlib
import nibabel as nib
import numpy as np
import pytest
from nilearn.masking import unmask

from nvframe.testing import NeuroVaultServer
from nvframe.testing.corpus.brains import TASKS

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(
    r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL
)  # needs what no test has, such as SLURM
TOLD_FOR_NILEARN = ("ica-of-maps", "stop-signal-meta-analysis")
FURTHER = "## Further with nvframe"
TESTED_BELOW = {*TOLD_FOR_NILEARN}
TESTED_ELSEWHERE = {"first-plugin", "lab-bucket"}  # in test_plugin_docs.py and test_lab_bucket.py
NEEDS_A_BUCKET = {"storage"}
HAVE_THEIR_OWN_TEST = TESTED_BELOW | TESTED_ELSEWHERE | NEEDS_A_BUCKET
STOPPING = ((46, 18, 8), (-46, 16, 4), (6, 16, 52), (52, -42, 30))


def pages():
    folders = ("how-to", "tutorial", "reference/hooks")
    found = [path for folder in folders for path in DOCS.glob(f"{folder}/*.md")]
    return sorted([*found, DOCS / "reference/plugin-api.md"])


def code_of(page):
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run(blocks, name):
    """Run blocks one after the other in one namespace, as somebody would who pastes them."""
    names = {"__name__": f"page_{name.replace('-', '_')}"}
    for code in blocks:
        exec(compile(code, f"{name}.md", "exec"), names)
    return names


@pytest.fixture
def reader(literature, tmp_path, monkeypatch, capsys):
    """Sit in an empty directory, with the literature at hand."""
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NVFRAME_DATA", str(tmp_path / "data"))
    return literature


def is_blank(png):
    pixels = matplotlib.image.imread(png)[..., :3]
    return len(np.unique(pixels.reshape(-1, 3), axis=0)) < 100


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_every_block_is_python(page):
    for code in [*code_of(page), *ELSEWHERE.findall(page.read_text(encoding="utf-8"))]:
        compile(code, page.name, "exec")


@pytest.mark.parametrize(
    "page",
    [p for p in pages() if p.stem not in HAVE_THEIR_OWN_TEST],
    ids=lambda page: page.stem,
)
def test_page_runs_from_top_to_bottom(page, reader):
    run(code_of(page), page.stem)


def test_stop_signal_page_finds_the_network_of_stopping(reader, downloads, tmp_path):
    names = run(code_of(DOCS / "how-to/stop-signal-meta-analysis.md"), "stop-signal")
    assert set(names["studies"]) == {101, 102, 103, 104, 105, 106}
    figures = sorted(tmp_path.glob("*.png"))
    assert [path.name for path in figures] == ["stop-signal-studies.png", "stop-signal.png"]
    assert not any(map(is_blank, figures))

    values, mask = names["stouffer"], names["mask"]
    inside = np.argwhere(mask.get_fdata() > 0)
    peak = nib.affines.apply_affine(mask.affine, inside[values.argmax()])
    assert min(np.linalg.norm(peak - focus) for focus in np.array(STOPPING)) < 8
    stat_map = unmask(values, mask).get_fdata()
    for focus in STOPPING:
        i, j, k = np.rint(nib.affines.apply_affine(np.linalg.inv(mask.affine), focus)).astype(int)
        assert stat_map[i, j, k] > names["threshold"]
    assert values.min() > -names["threshold"]

    # One array of what t-to-z made says the same, and cost no download.
    assert len(downloads(reader)) == 7
    combined = names["combined"].values[mask.get_fdata() > 0]
    assert np.corrcoef(combined, values)[0, 1] > 0.99
    assert nib.load("stop-signal.nii.gz").shape == mask.shape


def test_ica_page_gives_each_network_its_words(reader, tmp_path):
    names = run(code_of(DOCS / "how-to/ica-of-maps.md"), "ica")
    assert not is_blank(tmp_path / "networks.png")
    inside = np.argwhere(names["mask"].get_fdata() > 0)
    found = set()
    for network, terms in zip(names["networks"], names["terms"], strict=True):
        (task,) = [task for task in TASKS if terms[0] in task.words]
        peak = nib.affines.apply_affine(names["mask"].affine, inside[network.argmax()])
        assert min(np.linalg.norm(peak - np.array(focus)) for focus in task.foci) < 10
        assert len(set(terms) & set(task.words)) >= 3
        found.add(task.name)
    assert len(found) == len(TASKS)

    expected = np.array(names["rows"])
    np.testing.assert_allclose(names["same_rows"], expected, atol=1e-5 * np.abs(expected).max())


def before_the_figures(name):
    """Return a page's blocks up to the part that is nvframe's own, without what only draws."""
    text = (DOCS / f"how-to/{name}.md").read_text(encoding="utf-8").partition(FURTHER)[0]
    return [code.partition("import matplotlib")[0] for code in BLOCK.findall(text)]


@pytest.mark.parametrize("name", TOLD_FOR_NILEARN)
def test_a_mirror_of_what_was_fetched_gives_the_same(name, reader, serve, monkeypatch, tmp_path):
    blocks = before_the_figures(name)
    first = run(blocks, name)
    serve(NeuroVaultServer.from_dataset(tmp_path / "data/neurovault"))
    monkeypatch.setenv("NVFRAME_DATA", str(tmp_path / "elsewhere"))
    second = run(blocks, name)
    assert second["maps"].failures == []
    assert all("elsewhere" in path for path in second["maps"].images)
    same_arrays(first, second)


def same_arrays(one, other):
    names = [key for key, value in one.items() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    assert len(names) >= 2
    for key in names:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_the_page_about_buckets_runs(reader, make_bucket):
    make_bucket("lab-bucket", public=True)
    names = run(code_of(DOCS / "how-to/storage.md"), "storage")
    assert len(names["frame"]) == names["ds"].sizes["image"] > 30
    assert all(url.startswith("s3://lab-bucket/maps/neurovault/") for url in names["frame"].images)


@contextlib.contextmanager
def nilearn_may_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", TOLD_FOR_NILEARN)
def test_only_the_import_differs(name, reader, peer, monkeypatch, tmp_path):
    blocks = before_the_figures(name)
    commented, ours = blocks[0].splitlines()
    assert commented.startswith("# from nilearn.datasets import ")
    assert ours == commented.removeprefix("# ").replace("nilearn.datasets", "nvframe")
    assert "nvframe" not in "".join(blocks[1:])

    with_nvframe = run(blocks, name)
    peer(reader)
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path / "theirs"))
    with nilearn_may_warn():
        with_nilearn = run([commented.removeprefix("# "), *blocks[1:]], name)

    ours, theirs = with_nvframe["maps"], with_nilearn["maps"]
    assert [Path(path).name for path in ours.images] == [Path(path).name for path in theirs.images]
    assert [meta["id"] for meta in ours.images_meta] == [meta["id"] for meta in theirs.images_meta]
    same_arrays(with_nvframe, with_nilearn)

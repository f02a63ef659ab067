"""What `import nvframe` costs, and which names it gives."""

import json
import subprocess
import sys

import pytest

import nvframe

HEAVY = {
    *("sklearn", "xarray", "nibabel", "scipy", "pandas", "s3fs", "dask", "matplotlib", "numpy"),
    *(
        "requests",
        "fsspec",
        "pluggy",
        "orjson",
        "isal",
        "zlib_ng",
        "urllib3",
        "rich",
        "click",
        "threadpoolctl",
    ),
    *("platformdirs", "starlette", "uvicorn", "pytest", "nilearn"),
}


def loaded_by(code):
    """Which top-level packages a fresh interpreter has after running some code."""
    told = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(told.stdout.splitlines()[-1])}


def test_importing_nvframe_loads_nothing_heavy():
    assert loaded_by("import nvframe") & HEAVY == set()


@pytest.mark.parametrize(
    "code",
    [
        "import nvframe; dir(nvframe), nvframe.__version__, nvframe.errors.Skip",
        "from nvframe import errors, options, set_options",
        "import nvframe.filters, nvframe.http.client, nvframe.plugins, nvframe.contracts, nvframe.types",
    ],
)
def test_what_needs_little_loads_little(code):
    assert loaded_by(code) & HEAVY == set()


def test_the_compat_module_loads_neither_numpy_nor_sklearn():
    heavy = {"numpy", "sklearn", "scipy", "pandas", "xarray", "nibabel", "requests", "matplotlib", "dask"}
    assert loaded_by("from nvframe import neurovault, fetch_neurovault") & heavy == set()


def test_the_pytest_plugin_loads_nothing_heavy():
    assert loaded_by("import nvframe.testing.fixtures") & (HEAVY - {"pytest", "pluggy"}) == set()


def test_the_public_names_are_sorted_and_resolve():
    assert nvframe.__all__ == sorted(nvframe.__all__)
    assert len(set(nvframe.__all__)) == len(nvframe.__all__)
    for name in nvframe.__all__:
        assert getattr(nvframe, name) is not None
        assert name in dir(nvframe)


def test_each_name_can_be_imported_alone():
    lines = "\n".join(f"from nvframe import {name}" for name in nvframe.__all__)
    loaded_by(lines)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'nvframe' has no attribute 'fetch_neurvault'"):
        nvframe.fetch_neurvault  # noqa: B018 - the access is what is tested
    with pytest.raises(ImportError):
        from nvframe import fetch_neurvault  # noqa: F401


def test_the_names_of_the_compat_module_resolve():
    for name in nvframe.neurovault.__all__:
        assert getattr(nvframe.neurovault, name) is not None

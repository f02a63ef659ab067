"""Whatever nvframe registers itself passes the kit that it asks of others."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import xarray as xr

from nvframe.errors import NvframeError
from nvframe.http.retry import Retry
from nvframe.plugins import (
    KINDS,
    AnnotatorPlugin,
    FilterPlugin,
    ImageProcessorPlugin,
    MetadataSourcePlugin,
    ResultFormatPlugin,
    StorageBackendPlugin,
)
from nvframe.plugins.registry import default_registry
from nvframe.testing import (
    AnnotatorConformance,
    FilterConformance,
    NeuroVaultServer,
    ProcessorConformance,
    ResultFormatConformance,
    SourceConformance,
    StorageConformance,
    synthetic_corpus,
)
from nvframe.testing.conformance.examples import example_record

CENTRED = np.array([[20.0, 0, 0, -30], [0, 20, 0, -30], [0, 0, 20, -30], [0, 0, 0, 1]])


def built_in(kind, name):
    return default_registry().get(kind, name).plugin


# Source


@pytest.fixture(scope="session")
def sized_corpora(tmp_path_factory):
    """Return a function that makes a corpus of one collection with as many images as wanted."""
    one = synthetic_corpus(tmp_path_factory.mktemp("one"), 1, 1, grids=("RAS-8mm",), specials=False)
    (page,) = one.glob("collections/*_images.json")
    row = json.loads(page.read_text())["results"][0]

    def make(number):
        root = tmp_path_factory.mktemp(f"corpus-of-{number}")
        shutil.copytree(one, root, dirs_exist_ok=True)
        rows = [{**row, "id": row["id"] + n} for n in range(number)]
        listed = {"count": number, "next": None, "previous": None, "results": rows}
        (root / page.relative_to(one)).write_text(json.dumps(listed))
        return root

    return make


class TestNeuroVault(SourceConformance):
    plugin = built_in(MetadataSourcePlugin, "neurovault")
    refused_parameters = ({"url": "ftp://neurovault.org"}, {"url": "neurovault.org"})

    @pytest.fixture
    def source(self, nvframe_server):
        made = self.build(url=nvframe_server.url, retry=Retry(tries=1))
        yield made
        made.close()

    @pytest.fixture
    def count_requests(self, make_source):
        return lambda: sum(len(server.requests) for server in make_source.servers)

    @pytest.fixture
    def make_source(self, sized_corpora):
        started, made = [], []

        def make(number):
            started.append(NeuroVaultServer.from_corpus(sized_corpora(number)).start())
            made.append(self.build(url=started[-1].url))
            return made[-1]

        make.servers = started
        yield make
        for each in made:
            each.close()
        for server in started:
            server.stop()

    @pytest.fixture
    def break_listing(self, nvframe_server):
        return lambda: nvframe_server.faults.add("status", "/api/", status=503, times=None)

    @pytest.fixture
    def truncate(self, nvframe_server):
        return lambda: nvframe_server.faults.add("truncate", "/media/", times=None)


# Filters


class TestBasicCollections(FilterConformance):
    plugin = built_in(FilterPlugin, "neurovault-basic-collections")
    kept = ({"id": 1, "number_of_images": 3, "name": "x"},)
    dropped = ({"id": 1, "number_of_images": 0}, {"id": 1, "number_of_images": None})


class TestBasicImages(FilterConformance):
    plugin = built_in(FilterPlugin, "neurovault-basic-images")
    kept = (dict(example_record(not_mni=False, image_type="statistic_map").metadata),)
    dropped = (
        {**kept[0], "not_mni": True},
        {**kept[0], "is_thresholded": True},
        {**kept[0], "map_type": "parcellation"},
        {**kept[0], "image_type": "atlas"},
    )


# Storages


class TestLocal(StorageConformance):
    plugin = built_in(StorageBackendPlugin, "local")
    parameters = {"url": "somewhere"}
    takes_any_parameter = False

    @pytest.fixture
    def storage(self, tmp_path):
        return self.build(url=str(tmp_path / "storage"))


class TestMemory(StorageConformance):
    plugin = built_in(StorageBackendPlugin, "fsspec")

    @pytest.fixture
    def storage(self, tmp_path):
        return self.build(url=f"memory://{tmp_path}")


class TestLocalThroughFsspec(StorageConformance):
    plugin = built_in(StorageBackendPlugin, "fsspec")

    @pytest.fixture
    def storage(self, tmp_path):
        return self.build(url=f"file://{tmp_path}/storage")


class TestS3(StorageConformance):
    plugin = built_in(StorageBackendPlugin, "s3")

    @pytest.fixture
    def storage(self, nvframe_bucket):
        return self.build(url=f"{nvframe_bucket}/maps")


# Processors


class TestResample3mm(ProcessorConformance):
    plugin = built_in(ImageProcessorPlugin, "resample-3mm")
    refused_parameters = ({"interpolation": "cubical"},)


class TestResample(ProcessorConformance):
    plugin = built_in(ImageProcessorPlugin, "resample")
    parameters = {"target": "MNI152NLin6Asym-3mm", "interpolation": "linear"}
    refused_parameters = ({"target": "MNI"}, {"target": np.eye(3), "target_shape": (2, 2, 2)})


class TestSmooth(ProcessorConformance):
    plugin = built_in(ImageProcessorPlugin, "smooth")
    parameters = {"fwhm": 6}
    refused_parameters = ({"fwhm": -1}, {"fwhm": (1, 2)}, {"fwhm": "wide"})


class TestMask(ProcessorConformance):
    plugin = built_in(ImageProcessorPlugin, "mask")
    parameters = {"mask_img": nibabel.Nifti1Image(np.ones((4, 4, 4), "u1"), CENTRED)}
    refused_parameters = ({"mask_img": 5},)


class TestTToZ(ProcessorConformance):
    plugin = built_in(ImageProcessorPlugin, "t-to-z")


# Annotators


class TestNeurosynthWords(AnnotatorConformance):
    plugin = built_in(AnnotatorPlugin, "neurosynth-words")

    @pytest.fixture
    def annotator(self, nvframe_server):
        made = self.build(url=nvframe_server.url, retry=Retry(tries=1))
        yield made
        made.close()

    @pytest.fixture
    def records(self):
        return [example_record(1001), example_record(1002)]


# Result formats


class TestBunch(ResultFormatConformance):
    plugin = built_in(ResultFormatPlugin, "bunch")

    def ids(self, result):
        return [meta["id"] for meta in result.images_meta]


class TestPandas(ResultFormatConformance):
    plugin = built_in(ResultFormatPlugin, "pandas")

    def ids(self, result):
        return list(result.index)


class TestXarray(ResultFormatConformance):
    plugin = built_in(ResultFormatPlugin, "xarray")

    def ids(self, result):
        return result["id"].values.tolist()


class TestZarr(ResultFormatConformance):
    plugin = built_in(ResultFormatPlugin, "zarr")
    writes = True

    def ids(self, result):
        return xr.open_zarr(result, chunks=None)["id"].values.tolist()

    def test_overwrites_only_when_told(self, result_format, frame, tmp_path):
        """It adds to what it has written itself; anything else it leaves alone."""
        url = str(tmp_path / "built")
        result_format.build(frame, url)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("built/stat_map/c/**/*")}
        assert self.ids(result_format.build(frame.part((0,)), url)) == [1, 2, 3]
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert self.ids(result_format.build(frame.part((0,)), url, overwrite=True)) == [1]
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes/thesis.txt").write_text("years of work")
        with pytest.raises(NvframeError):
            result_format.build(frame, str(tmp_path / "notes"))


class TestManifest(ResultFormatConformance):
    plugin = built_in(ResultFormatPlugin, "manifest")
    writes = True
    expected_failures = {"images_keep_their_order": "a manifest is in the order of the keys"}

    def ids(self, result):
        return [row["id"] for row in json.loads(Path(result).read_text())["images"]]

    def test_overwrites_only_when_told(self, result_format, frame, tmp_path):
        """It adds to what it has written itself; anything else it leaves alone."""
        url = str(tmp_path / "built.json")
        result_format.build(frame, url)
        assert len(self.ids(result_format.build(frame.part((0,)), url))) == 3
        assert len(self.ids(result_format.build(frame.part((0,)), url, overwrite=True))) == 1
        (tmp_path / "notes.txt").write_text("years of work")
        with pytest.raises(NvframeError):
            result_format.build(frame, str(tmp_path / "notes.txt"))
        assert (tmp_path / "notes.txt").read_text() == "years of work"


def test_all_of_them_are_here():
    kits = [value for value in globals().values() if isinstance(value, type) and hasattr(value, "plugin")]
    tested = {(kit.plugin.kind, kit.plugin.name) for kit in kits if kit.plugin is not None}
    own = {
        (kind.kind, name)
        for kind in KINDS
        for name in default_registry().names(kind)
        if default_registry().get(kind, name).builtin
    }
    assert own - tested == set()

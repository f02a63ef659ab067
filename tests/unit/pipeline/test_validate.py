"""What a source may yield, raise or be called: one bad record costs no other, and nothing leaves the data directory."""

import gzip
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.errors import PartialResultWarning, PluginError, SourceError
from nvframe.pipeline.plan import make_plan
from nvframe.plugins.registry import default_registry
from nvframe.storage.remote import FsspecStorage
from nvframe.testing.conformance.frames import NameLetters
from nvframe.types import ByteStream, CollectionRecord, ImageRecord

BODY = gzip.compress(
    nib.Nifti1Image(np.ones((4, 4, 4), "float32"), np.diag([8, 8, 8, 1])).to_bytes(), mtime=0
)


def image(image_id, collection_id="top", metadata=()):
    return ImageRecord("odd", image_id, collection_id, "odd/map", metadata if metadata != () else {})


class Odd:
    """A source of what it is told to yield; an exception is raised where it stands."""

    name = "odd"
    description = "what a hostile repository might say"
    server_terms = frozenset()

    def __init__(self, images=(), collections=None):
        self.rows = {"images": images, "collections": collections or [CollectionRecord("odd", "top", {})]}

    def default_terms(self):
        return {}, {}

    def collections(self, terms):
        yield from self.say("collections")

    def images(self, collection):
        yield from self.say("images")

    def say(self, what):
        for each in self.rows[what]:
            if isinstance(each, Exception):
                raise each
            yield each

    def get_collection(self, collection_id):
        return CollectionRecord("odd", collection_id, {})

    def get_image(self, image_id):
        return dict(self.rows["images"])[image_id]

    @contextmanager
    def open_image(self, record, start=0, validator=None):
        yield ByteStream(len(BODY), None, iter([BODY]))


@pytest.mark.parametrize(
    "bad",
    [
        image("../../../evil"),
        image(".."),
        image(None),
        image(["a"]),
        image("2", "../../evil"),
        image("2", None),
        image("2", metadata=None),
        image("2", metadata=["a"]),
        {"id": "2"},
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("verb", ["fetch", "search"])
def test_a_bad_image_costs_no_other(tmp_path, bad, verb):
    root = tmp_path / "a/b/data"
    with pytest.warns(PartialResultWarning, match="list failed in odd"):
        frame = getattr(nvframe, verb)(Odd([image("1"), bad, image("3")]), data_dir=root)
    assert [meta["id"] for meta in frame.images_meta] == ["1", "3"]
    (failure,) = frame.failures
    assert (failure.stage, failure.collection_id, failure.error_type) == ("list", "top", "SourceError")
    assert all(path.is_relative_to(root) for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "bad",
    [CollectionRecord("odd", "../evil", {}), CollectionRecord("odd", "x", None), 5, ZeroDivisionError("x")],
)
def test_a_bad_collection_costs_no_other(tmp_path, bad):
    top = CollectionRecord("odd", "top", {})
    with pytest.warns(PartialResultWarning, match="a list page: list failed in odd"):
        frame = nvframe.fetch(Odd([image("1")], [top, bad]), data_dir=tmp_path)
    assert len(frame) == 1


def test_a_listing_that_raises_keeps_what_came_before(tmp_path):
    with pytest.warns(PartialResultWarning, match="collection top: list failed in odd: KeyError: 'next'"):
        frame = nvframe.fetch(Odd([image("1"), KeyError("next")]), data_dir=tmp_path)
    assert len(frame) == 1
    with pytest.raises(SourceError, match="KeyError"):
        nvframe.fetch(Odd([KeyError("next")]), data_dir=tmp_path, on_error="raise")


def test_a_bad_answer_to_one_id_costs_no_other(tmp_path):
    answers = [("1", image("1")), ("2", image("../x")), ("3", {})]
    with pytest.warns(PartialResultWarning, match="and 2 more"):
        frame = nvframe.fetch(Odd(answers), image_ids=["1", "2", "3", "4"], data_dir=tmp_path)
    assert [failure.image_id for failure in frame.failures] == ["2", "3", "4"]
    assert [meta["id"] for meta in frame.images_meta] == ["1"]


@pytest.mark.parametrize("name", ["../../evil", "..", "", None])
def test_a_sources_name_may_not_leave_the_data_directory(tmp_path, name):
    source = Odd([image("1")])
    source.name = name
    with pytest.raises(PluginError, match="a source's name is that of a directory"):
        nvframe.fetch(source, data_dir=tmp_path / "a/b")
    assert not any(Path(tmp_path).iterdir())


def test_what_is_no_source_says_what_it_lacks(tmp_path):
    with pytest.raises(PluginError, match="is not a metadata source: it has no name, description"):
        nvframe.fetch(object(), data_dir=tmp_path)


def annotated(*annotators):
    return make_plan(Odd(), FsspecStorage("memory://border"), default_registry(), annotators=annotators)


@pytest.mark.parametrize(
    "name", ["words.json", "../{id}.json", "{id}_{id}.json", "{id}_{y}.json", "{id}.txt", None]
)
def test_annotations_of_two_images_are_never_one_file(name):
    annotator = NameLetters()
    annotator.sidecar_name = name
    with pytest.raises(PluginError, match=r"it must be a plain file name with \{id\} in it once"):
        annotated(annotator)


def test_annotations_of_two_annotators_are_never_one_list():
    with pytest.raises(PluginError, match="2 annotators are called 'name-letters'"):
        annotated(NameLetters(), NameLetters())


def test_what_is_no_annotator_says_what_it_lacks():
    class Half:
        name = "half"

        def annotate(self, record, img=None):
            return {}

    with pytest.raises(PluginError, match=r"is not an annotator: it has no needs_network, .*, metadata_key"):
        annotated(Half())

"""What the core does for a source that is not NeuroVault: a few images in memory."""

from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest

import nvframe
from nvframe.imaging import nifti
from nvframe.types import ByteStream, CollectionRecord, ImageRecord


class Shelf:
    """A source whose records say nothing in their metadata but a name."""

    name = "shelf"
    description = "images in memory"
    server_terms = frozenset()

    def __init__(self, place, modified="2026-01-01T00:00:00Z"):
        self.place = place
        self.modified = modified
        self.opened = []

    def parameters(self):
        return {"place": self.place}

    def default_terms(self):
        return {}, {}

    def collections(self, terms):
        yield CollectionRecord("shelf", "c", {"id": "c"})

    def images(self, collection):
        yield self.get_image("a")

    def get_collection(self, collection_id):
        return next(iter(self.collections({})))

    def get_image(self, image_id):
        return ImageRecord("shelf", image_id, "c", "mem://a", {"name": "first"}, None, self.modified)

    @contextmanager
    def open_image(self, record, start=0, validator=None):
        self.opened.append(record.id)
        body = nifti.encode(nib.Nifti1Image(np.full((2, 2, 2), len(self.opened), "f4"), np.eye(4)))
        yield ByteStream(len(body), None, iter([body]))


def test_what_a_record_says_stands_in_the_metadata_too(tmp_path):
    frame = nvframe.fetch(Shelf("x"), data_dir=tmp_path)
    (meta,) = frame.images_meta
    said = {key: meta[key] for key in ("id", "collection_id", "file", "modify_date", "name")}
    assert said == {
        "id": "a",
        "collection_id": "c",
        "file": "mem://a",
        "modify_date": "2026-01-01T00:00:00Z",
        "name": "first",
    }
    assert "file_size" not in meta
    assert nvframe.fetch(Shelf("x"), data_dir=tmp_path, mode="offline").images_meta == [meta]


@pytest.mark.parametrize(
    ("modified", "fetched"), [("2026-01-01T00:00:00Z", []), ("2026-02-02T00:00:00Z", ["a"])]
)
def test_update_goes_by_the_records_date(tmp_path, modified, fetched):
    nvframe.fetch(Shelf("x"), data_dir=tmp_path)
    later = Shelf("x", modified)
    nvframe.fetch(later, data_dir=tmp_path, mode="update")
    assert later.opened == fetched


def test_sources_with_other_parameters_have_other_directories(tmp_path):
    here, there = (nvframe.fetch(Shelf(place), data_dir=tmp_path).images[0] for place in ("x", "y"))
    again = nvframe.fetch(Shelf("x"), data_dir=tmp_path).images[0]
    assert here == again != there

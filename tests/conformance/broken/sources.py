"""Metadata sources, each with one fault; `fault` names the check that must find it."""

import hashlib
import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from nvframe.errors import DownloadError, SourceError
from nvframe.imaging import nifti
from nvframe.testing import SourceConformance
from nvframe.testing.conformance.examples import example_image
from nvframe.types import ByteStream, CollectionRecord, Failure, ImageRecord

ASKED = []


class Shelf:
    """A directory with an index and files; does everything right."""

    name = "shelf"
    description = "Maps on a shelf."
    server_terms = frozenset({"name"})

    def __init__(self, root):
        self.root = str(root)

    def default_terms(self):
        return {}, {}

    def rows(self):
        ASKED.append("index")
        return json.loads((Path(self.root) / "index.json").read_text())

    def failure(self, error):
        return Failure("list", self.name, None, None, self.root, type(error).__name__, str(error))

    def collections(self, terms):
        try:
            rows = self.rows()
        except OSError as error:
            yield self.failure(error)
            return
        for collection_id in dict.fromkeys(row["collection_id"] for row in rows):
            yield self.collection(collection_id)

    def collection(self, collection_id):
        fields = {"id": collection_id, "name": f"box {collection_id}"}
        return CollectionRecord(self.name, collection_id, fields)

    def images(self, collection):
        try:
            rows = self.rows()
        except OSError as error:
            yield self.failure(error)
            return
        for row in rows:
            if collection is None or row["collection_id"] == collection.id:
                yield self.image(row)

    def image(self, row):
        return ImageRecord(self.name, row["id"], row["collection_id"], row["file"], row, row["file_size"])

    def get_collection(self, collection_id):
        if collection_id not in {row["collection_id"] for row in self.rows()}:
            raise SourceError(f"there is no collection {collection_id!r}")
        return self.collection(collection_id)

    def get_image(self, image_id):
        for row in self.rows():
            if row["id"] == image_id:
                return self.image(row)
        raise SourceError(f"there is no image {image_id!r}")

    def body(self, record):
        if not record.url:
            raise DownloadError("the record names no file")
        return (Path(self.root) / record.url).read_bytes()

    @contextmanager
    def open_image(self, record, start=0, validator=None):
        body = self.body(record)
        tag = hashlib.sha256(body).hexdigest()
        start = start if validator == tag else 0
        yield self.stream(body, tag, start, record)

    def stream(self, body, tag, start, record):
        return ByteStream(record.size, tag, iter([body[start : start + 99], body[start + 99 :]]), start)


def fill(root, number, per_collection=2):
    """Write a shelf with so many images; one file serves all."""
    root.mkdir(exist_ok=True)
    body = nifti.encode(example_image())
    (root / "map.nii.gz").write_bytes(body)
    rows = [
        {
            "id": f"{n}",
            "collection_id": f"c{n // per_collection}",
            "file": "map.nii.gz",
            "file_size": len(body),
        }
        for n in range(number)
    ]
    (root / "index.json").write_text(json.dumps(rows))
    return root


class Kit(SourceConformance):
    broken = Shelf

    @pytest.fixture
    def source(self, tmp_path):
        return self.broken(fill(tmp_path / "shelf", 5))

    @pytest.fixture
    def make_source(self, tmp_path):
        return lambda number: self.broken(fill(tmp_path / f"shelf-{number}", number, per_collection=1000))

    @pytest.fixture
    def count_requests(self):
        return lambda: len(ASKED)

    @pytest.fixture
    def break_listing(self, source):
        return lambda: (Path(source.root) / "index.json").unlink()

    @pytest.fixture
    def truncate(self, source, record):
        def truncate():
            path = Path(source.root) / record.url
            path.write_bytes(path.read_bytes()[:-100])

        return truncate


class Listy(Shelf):
    server_terms = ["name"]


class BrokenAttributes(Kit):
    fault = "attributes_are_there"
    broken = Listy


class Sharing(Shelf):
    terms = ({}, {})

    def default_terms(self):
        return self.terms


class BrokenDefaults(Kit):
    fault = "default_terms_are_fresh"
    broken = Sharing


class Eager(Shelf):
    def collections(self, terms):
        return iter(list(super().collections(terms)))


class BrokenLaziness(Kit):
    fault = "listing_is_lazy"
    broken = Eager


class Thorough(Shelf):
    def images(self, collection):
        for each in list(super().images(collection)):
            ASKED.append("details")
            if isinstance(each, ImageRecord):
                self.rows()
            yield each


class BrokenEconomy(Kit):
    fault = "first_record_costs_one_page"
    broken = Thorough


class Anonymous(Shelf):
    def collection(self, collection_id):
        return CollectionRecord(
            "somebody", collection_id, {"id": collection_id, "name": f"box {collection_id}"}
        )


class BrokenCollections(Kit):
    fault = "collections_are_records"
    broken = Anonymous


class Terse(Shelf):
    def image(self, row):
        fields = {key: value for key, value in row.items() if key != "file_size"}
        return ImageRecord(self.name, row["id"], row["collection_id"], row["file"], fields, row["file_size"])


class BrokenImages(Kit):
    fault = "images_are_records"
    broken = Terse


class Stuttering(Shelf):
    def images(self, collection):
        for each in super().images(collection):
            yield each
            yield each


class BrokenUniqueness(Kit):
    fault = "each_id_comes_once"
    also = ("page_borders_lose_nothing",)
    broken = Stuttering


class Restless(Shelf):
    turn = 0

    def images(self, collection):
        self.turn += 1
        found = list(super().images(collection))
        yield from found[:: 1 if self.turn < 3 else -1]

    def __setstate__(self, state):
        self.__dict__.update(state, turn=0)


class BrokenOrder(Kit):
    fault = "order_is_stable"
    broken = Restless


class Limited(Shelf):
    def images(self, collection):
        for n, each in enumerate(super().images(collection)):
            if n < 100:
                yield each


class BrokenPages(Kit):
    fault = "page_borders_lose_nothing"
    broken = Limited


class Partial(Shelf):
    def images(self, collection):
        yield from super().images(collection or self.collection("c0"))


class BrokenFlat(Kit):
    fault = "flat_listing_has_the_same_images"
    broken = Partial


class Literal(Shelf):
    def collections(self, terms):
        wanted = terms.get("name")
        for each in super().collections(terms):
            if wanted is None or each.metadata["name"] == str(wanted):
                yield each


class BrokenPushDown(Kit):
    fault = "push_down_loses_nothing"
    broken = Literal


class Careless(Shelf):
    def get_image(self, image_id):
        super().get_image(image_id)
        return super().get_image("4")


class BrokenLookUp(Kit):
    fault = "one_is_as_it_was_listed"
    broken = Careless


class Raw(Shelf):
    def get_image(self, image_id):
        return {row["id"]: self.image(row) for row in self.rows()}[image_id]


class BrokenOnUnknown(Kit):
    fault = "unknown_id_is_an_error"
    broken = Raw


class Abrupt(Shelf):
    def failure(self, error):
        raise DownloadError("the index is gone") from error


class BrokenFailure(Kit):
    fault = "lost_listing_is_a_failure"
    broken = Abrupt


class Locked(Shelf):
    def __init__(self, root):
        super().__init__(root)
        self.lock = threading.Lock()


class BrokenPickling(Kit):
    fault = "pickles"
    also = ("listing_is_lazy",)
    broken = Locked


class Once(Shelf):
    closed = False

    def close(self):
        self.closed = True

    def rows(self):
        return [] if self.closed else super().rows()


class BrokenClose(Kit):
    fault = "serves_again_after_close"
    broken = Once


class Prefixed(Shelf):
    def body(self, record):
        return b"x" + super().body(record)[1:]


class BrokenBytes(Kit):
    fault = "bytes_are_an_image"
    broken = Prefixed


class Miscounting(Shelf):
    def stream(self, body, tag, start, record):
        return ByteStream(len(body) - 1, tag, iter([body[start:]]), start)


class BrokenSize(Kit):
    fault = "size_is_that_of_the_file"
    broken = Miscounting


class Soothing(Shelf):
    def body(self, record):
        body = super().body(record)
        return body if len(body) == record.size else nifti.encode(example_image())


class BrokenTruncation(Kit):
    fault = "truncated_body_is_noticed"
    broken = Soothing


class Misleading(Shelf):
    def stream(self, body, tag, start, record):
        shift = start // 2 if start < len(body) else start
        return ByteStream(len(body), tag, iter([body[shift:]]), start)


class BrokenMiddle(Kit):
    fault = "opens_in_the_middle"
    broken = Misleading


class Unconditional(Shelf):
    @contextmanager
    def open_image(self, record, start=0, validator=None):
        body = self.body(record)
        yield self.stream(body, hashlib.sha256(body).hexdigest(), start, record)


class BrokenValidator(Kit):
    fault = "other_bytes_begin_at_zero"
    broken = Unconditional


class Edgy(Shelf):
    def stream(self, body, tag, start, record):
        body[start]  # the fault
        return super().stream(body, tag, start, record)


class BrokenEnd(Kit):
    fault = "end_is_no_trouble"
    broken = Edgy


class Sticky(Shelf):
    def __init__(self, root):
        super().__init__(root)
        self.left = set()

    def stream(self, body, tag, start, record):
        thread = threading.get_ident()
        if thread in self.left:
            raise DownloadError("the last stream was not read to its end")
        self.left.add(thread)

        def chunks():
            yield body[start : start + 99]
            yield body[start + 99 :]
            self.left.discard(thread)

        return ByteStream(len(body), tag, chunks(), start)


class BrokenLeaving(Kit):
    fault = "stream_may_be_left"
    broken = Sticky


class OneFile(Shelf):
    def stream(self, body, tag, start, record):
        self.rest = [body[start : start + 99], body[start + 99 :]]

        def chunks():
            while self.rest:
                threading.Event().wait(0.1)
                yield self.rest.pop(0) if self.rest else b""

        return ByteStream(len(body), tag, chunks(), start)


class BrokenThreads(Kit):
    fault = "threads_may_share_it"
    broken = OneFile


class Obliging(Shelf):
    def body(self, record):
        return super().body(record) if record.url else b""


class BrokenLost(Kit):
    fault = "lost_file_is_an_error"
    broken = Obliging

"""What a metadata source must do: how it opens an image's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from nvframe.errors import DownloadError, IntegrityError, SourceError
from nvframe.http.retry import Retry
from nvframe.plugins import MetadataSourcePlugin, Plugin
from nvframe.testing.conformance.base import Conformance, at_once
from nvframe.types import Failure, ImageRecord

_NO_SUCH_RANGE = 416


class ImageBytesConformance(Conformance):
    """The checks on `open_image`; a part of `SourceConformance`."""

    kind: ClassVar[type[Plugin]] = MetadataSourcePlugin
    resumes: ClassVar[bool] = True

    @pytest.fixture
    def source(self) -> Any:
        """Return the source under test."""
        return self.build()

    @pytest.fixture
    def record(self, source: Any) -> ImageRecord:
        """Return the first image's record."""
        for collection in source.collections({}):
            assert not isinstance(collection, Failure), (
                f"the fixture's repository is whole, and yet: {collection}"
            )
            for found in source.images(collection):
                assert isinstance(found, ImageRecord), f"the first image is {found}"
                return found
        pytest.fail("the fixture's repository must hold at least two images")

    @pytest.fixture
    def truncate(self) -> Callable[[], None]:
        """Return a function that cuts every body short from now on, in silence where the protocol allows it."""
        pytest.skip("give a fixture `truncate` to have this checked")

    def test_bytes_are_an_image(self, source: Any, record: ImageRecord) -> None:
        """From 0 on, the chunks are the whole file: NIfTI, gzipped or not."""
        from nvframe.imaging import nifti

        start, _, body = _read(source, record)
        assert start == 0, f"asked from 0 on, the stream begins at {start}"
        try:
            nifti.verify(body)
        except IntegrityError as error:
            pytest.fail(f"image {record.id} is not a NIfTI file: {error}")

    def test_size_is_that_of_the_file(self, source: Any, record: ImageRecord) -> None:
        """The stream's size, where it is known, counts the whole file, and is known before the last byte."""
        with source.open_image(record) as stream:
            size = stream.size
            body = b"".join(stream.chunks)
        assert size in (None, len(body)), f"the stream says {size} bytes and gives {len(body)}"

    def test_truncated_body_is_noticed(
        self, source: Any, record: ImageRecord, truncate: Callable[[], None]
    ) -> None:
        """A body that ends too early is an error: a cut-off map is never stored."""
        from nvframe.pipeline.worker.download import Download

        truncate()
        try:
            Download(source, record).run(Retry(tries=1))
        except (DownloadError, IntegrityError):
            return
        pytest.fail("a truncated body was taken for whole: state the file's size in ByteStream")

    def test_opens_in_the_middle(self, source: Any, record: ImageRecord) -> None:
        """With the validator of the same bytes, it goes on where it was told, or from 0, and says which."""
        _, validator, body = _read(source, record)
        middle = len(body) // 2
        start, again, rest = _read(source, record, middle, validator)
        assert start in (0, middle), f"asked from {middle} on, the stream begins at {start}"
        assert rest == body[start:], f"the bytes from {start} on are not those of the file"
        assert again == validator, (
            "the same file has another validator each time: then nothing can be resumed"
        )
        if self.resumes:
            assert validator, "resumes = True needs a validator: a strong ETag, a checksum, a version"
            assert start == middle, "resumes = True, and yet the stream begins at 0"

    def test_other_bytes_begin_at_zero(self, source: Any, record: ImageRecord) -> None:
        """With a validator of other bytes, or none, it begins at 0: two files are never joined."""
        _, _, body = _read(source, record)
        for validator in ('"of-an-older-file"', None):
            start, _, found = _read(source, record, len(body) // 2, validator)
            assert start == 0, f"with validator {validator!r} it went on in the middle: begin at 0"
            assert found == body, "the bytes from 0 on are not the whole file"

    def test_end_is_no_trouble(self, source: Any, record: ImageRecord) -> None:
        """Asked from the end on, it gives nothing, or all from 0, or a DownloadError with status 416."""
        _, validator, body = _read(source, record)
        try:
            start, _, rest = _read(source, record, len(body), validator)
        except DownloadError as error:
            assert error.status == _NO_SUCH_RANGE, f"status is {error.status}, not 416"
            return
        assert rest == body[start:], f"the bytes from {start} on are not those of the file"

    def test_stream_may_be_left(self, source: Any, record: ImageRecord) -> None:
        """A stream that is left half-read, or by an error, closes, and the next one opens."""
        for _ in range(3):
            with source.open_image(record) as stream:
                next(iter(stream.chunks))
        with pytest.raises(KeyError), source.open_image(record):
            raise KeyError
        assert _read(source, record)[0] == 0

    def test_threads_may_share_it(self, source: Any, record: ImageRecord) -> None:
        """Several threads open images through one object at the same time."""
        alone = _read(source, record)[2]
        together = at_once([lambda: _read(source, record)[2]] * 4)
        assert all(body == alone for body in together), "threads that share it disturb each other"

    def test_lost_file_is_an_error(self, source: Any, record: ImageRecord) -> None:
        """A record that names no file is a DownloadError or SourceError for that image alone."""
        nowhere = ImageRecord(record.source, record.id, record.collection_id, "", {})
        try:
            _read(source, nowhere)
        except (DownloadError, SourceError, FileNotFoundError) as reason:
            assert str(reason), f"{type(reason).__name__} must say why"
            return
        pytest.fail("a record without a url must be a DownloadError")


def _read(
    source: Any, record: ImageRecord, start: int = 0, validator: str | None = None
) -> tuple[int, str | None, bytes]:
    with source.open_image(record, start, validator) as stream:
        return stream.start, stream.validator, b"".join(stream.chunks)

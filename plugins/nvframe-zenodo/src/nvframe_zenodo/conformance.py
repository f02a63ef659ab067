"""What nvframe asks of a source, for ``nvframe plugins check`` and our own tests."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from nvframe.http import Retry
from nvframe.imaging import nifti
from nvframe.testing import SourceConformance
from nvframe.testing.conformance.examples import example_image
from nvframe_zenodo import nvframe_metadata_sources
from nvframe_zenodo.testing import Archive

QUICK = Retry(tries=2, backoff=0.0)


class SourceKit(SourceConformance):
    """The kit, on records that are named, in a stand-in of Zenodo."""

    plugin = next(iter(nvframe_metadata_sources()))
    parameters: ClassVar[dict[str, Any]] = {"records": [103, 202]}
    refused_parameters: ClassVar[tuple[dict[str, Any], ...]] = ({"records": ["no record"]},)
    requests_to_first = 2

    @pytest.fixture
    def archive(self) -> Iterator[Archive]:
        """Serve an empty archive."""
        made = Archive()
        yield made
        made.stop()

    @pytest.fixture
    def source(self, archive: Archive) -> Any:
        """Return a source of two records, one of them in two versions."""
        body = nifti.encode(example_image())
        archive.add(102, {"old.nii.gz": body}, concept=101)
        archive.add(
            103, {"a map.nii.gz": body, "paper.pdf": b"%PDF", "b.nii": nifti.decompress(body)}, concept=101
        )
        archive.add(202, {"c.nii.gz": body})
        return self.build(url=archive.url, retry=QUICK)

    @pytest.fixture
    def make_source(self, archive: Archive) -> Callable[[int], Any]:
        """Return a function that makes a source of one record with so many images."""

        def make(number: int) -> Any:
            archive.add(103, {f"{n:03}.nii.gz": b"x" for n in range(number)})
            archive.add(202, {})
            return self.build(url=archive.url, retry=QUICK)

        return make

    @pytest.fixture
    def count_requests(self, archive: Archive) -> Callable[[], int]:
        """Return a function that counts what the archive was asked."""
        return lambda: len(archive.requests)

    @pytest.fixture
    def break_listing(self, archive: Archive, source: Any) -> Callable[[], None]:
        """Return a function after which the archive answers nothing."""

        def broken() -> None:
            archive.broken = True
            source.__setstate__(source.__getstate__())  # a listed record has its files: they need no request

        return broken

    @pytest.fixture
    def truncate(self, archive: Archive) -> Callable[[], None]:
        """Return a function after which every file is cut short."""
        return lambda: setattr(archive, "cuts", 100)


class SearchKit(SourceKit):
    """The kit, on the records that a query finds."""

    parameters: ClassVar[dict[str, Any]] = {"query": "fMRI"}
    refused_parameters = ()

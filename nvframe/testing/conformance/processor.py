"""What an image processor must do."""

from __future__ import annotations

import copy
import pickle
from typing import Any, ClassVar

import pytest

from nvframe.errors import ProcessingError, Skip
from nvframe.pipeline.identity import identity_of
from nvframe.plugins import ImageProcessorPlugin, Plugin
from nvframe.testing.conformance.base import Conformance, at_once, in_time
from nvframe.testing.conformance.examples import ODD_IMAGES, example_image, example_record, odd_image
from nvframe.types import ImageRecord, Processed, json_bytes, parsed_json


class ProcessorConformance(Conformance):
    """Checks an image processor; set `plugin`, or give a fixture `processor`.

    Override the fixtures `img` and `record` where the processor applies to certain images only.

    Examples
    --------
    >>> import pytest
    >>> class TestNegated(ProcessorConformance):
    ...     @pytest.fixture
    ...     def processor(self):
    ...         return negated
    """

    kind: ClassVar[type[Plugin]] = ImageProcessorPlugin

    @pytest.fixture
    def processor(self) -> Any:
        """Return the processor under test."""
        return self.build()

    @pytest.fixture
    def img(self) -> Any:
        """Return an image that it applies to, held in memory."""
        return example_image()

    @pytest.fixture
    def record(self) -> ImageRecord:
        """Return that image's record."""
        return example_record()

    def test_returns_an_image(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """It returns an image, alone or in `Processed`, with a shape and a finite affine."""
        _check_image(_made(processor, img, record).img)

    def test_leaves_its_input_alone(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """Voxels, affine, header and record are as before: the next one is given the same image."""
        import numpy as np

        voxels, affine = np.array(img.dataobj), np.array(img.affine)
        header, metadata = img.header.copy(), copy.deepcopy(dict(record.metadata))
        _made(processor, img, record)
        assert np.array_equal(np.asarray(img.dataobj), voxels, equal_nan=True), (
            "it changed the voxels of its input: work on a copy"
        )
        assert np.array_equal(img.affine, affine), "it changed the affine of its input: work on a copy"
        assert img.header == header, "it changed the header of its input: copy it first"
        assert dict(record.metadata) == metadata, (
            "it changed the record: return Processed(img, {...}) with the new values"
        )

    def test_works_on_read_only_voxels(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """Voxels that cannot be written are good enough: storage may hand out a view of a file."""
        import numpy as np

        voxels = np.asanyarray(img.dataobj)
        voxels.flags.writeable = False
        _check_image(_made(processor, type(img)(voxels, img.affine, img.header), record).img)

    def test_gives_the_same_again(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """The same image gives the same voxels: a stored result stands for every later one."""
        first, second = (_voxels(processor, img, record) for _ in range(2))
        _check_same(first, second, "two calls gave different voxels: it must be deterministic")

    def test_pickles(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """It travels to a worker process and does the same there."""
        travelled = _travelled(processor)
        _check_same(
            _voxels(processor, img, record),
            _voxels(travelled, img, record),
            "after pickling it gives other voxels: its parameters must travel with it",
        )

    def test_identity_survives_pickling(self, processor: Any) -> None:
        """Its identity names its parameters, not where they lie in memory, so stored results are found again."""
        there, back = (_identity(each) for each in (processor, _travelled(processor)))
        assert there == back, (
            f"its identity changes when it travels ({there!r}, {back!r}): stored results would never be found "
            "again; give it a method parameters() that returns JSON values"
        )

    def test_threads_may_share_it(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """Several threads call one object at the same time."""
        alone = _voxels(processor, img, record)
        for shared in at_once([lambda: _voxels(processor, img, record)] * 4):
            _check_same(
                alone, shared, "threads that share it disturb each other: keep no state between calls"
            )

    def test_result_can_be_stored(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """What it returns is the same after it was written as NIfTI and read again."""
        import numpy as np

        from nvframe.imaging import nifti

        made = _made(processor, img, record).img
        written = np.asarray(nifti.read(nifti.encode(made)).dataobj, dtype=float)
        voxels = np.asarray(made.dataobj, dtype=float)
        reach = 1e-3 * float(np.nanmax(np.abs(voxels), initial=1e-6, where=np.isfinite(voxels)))
        assert np.allclose(written, voxels, atol=reach, equal_nan=True), (
            "NIfTI cannot hold the result: set the header's data type with header.set_data_dtype(numpy.float32)"
        )

    def test_metadata_are_json(self, processor: Any, img: Any, record: ImageRecord) -> None:
        """The metadata that it changes are JSON values: a sidecar has to hold them."""
        changes = dict(_made(processor, img, record).metadata)
        assert parsed_json(json_bytes(changes)) == changes, (
            f"the metadata {changes!r} are not the same after a round trip through JSON"
        )

    @pytest.mark.parametrize("odd", ODD_IMAGES)
    def test_odd_image_is_no_trouble(self, processor: Any, record: ImageRecord, odd: str) -> None:
        """NaN, 4-D, constant and other odd images give an image, or Skip or ProcessingError with a reason."""
        from nvframe.imaging import nifti

        try:
            made = in_time(lambda: _made(processor, odd_image(odd), record, skips=False))
            _check_image(made.img)
            nifti.encode(made.img)
        except (Skip, ProcessingError) as reason:
            assert str(reason), f"{type(reason).__name__} must say why"

    def test_metadata_may_be_missing(self, processor: Any, img: Any) -> None:
        """A record without metadata gives an image, or Skip or ProcessingError with a reason."""
        try:
            made = in_time(lambda: _made(processor, img, ImageRecord("kit", "1", "1", "", {}), skips=False))
            _check_image(made.img)
        except (Skip, ProcessingError) as reason:
            assert str(reason), f"{type(reason).__name__} must say why"


def _made(processor: Any, img: Any, record: ImageRecord, skips: bool = True) -> Processed:
    """Return what the processor makes of an image; one that skips the example image needs another."""
    try:
        made = processor(img, record)
    except Skip as reason:
        if not skips:
            raise
        pytest.fail(f"it skips the kit's image ({reason}): override the fixtures `img` and `record`")
    return made if isinstance(made, Processed) else Processed(made)


def _voxels(processor: Any, img: Any, record: ImageRecord) -> Any:
    import numpy as np

    return np.asarray(_made(processor, img, record).img.dataobj)


def _check_same(one: Any, other: Any, message: str) -> None:
    import numpy as np

    assert np.array_equal(one, other, equal_nan=True), message


def _check_image(img: Any) -> None:
    import numpy as np

    what = "a processor must return a nibabel image or Processed(img, metadata)"
    assert hasattr(img, "dataobj"), f"{what}, not {type(img).__name__}"
    assert hasattr(img, "affine"), f"{what}, not {type(img).__name__}"
    voxels = np.asarray(img.dataobj)
    assert voxels.ndim >= 3, f"the image has shape {voxels.shape}: raise ProcessingError rather than that"
    assert voxels.size, f"the image has shape {voxels.shape}: raise ProcessingError rather than that"
    affine = np.asarray(img.affine)
    good = affine.shape == (4, 4) and np.isfinite(affine).all() and np.linalg.det(affine) != 0
    assert good, f"the affine {affine.tolist()} places no voxel: raise ProcessingError rather than that"


def _travelled(processor: Any) -> Any:
    try:
        return pickle.loads(pickle.dumps(processor))  # noqa: S301 - what we pickled ourselves
    except Exception as error:
        pytest.fail(f"it does not pickle ({error}): define it at the top of a module, and hold no open files")


def _identity(processor: Any) -> str:
    return identity_of("processor", processor, None, {})[0]

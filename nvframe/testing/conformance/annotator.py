"""What an annotator must do."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from nvframe.contracts import Annotator
from nvframe.errors import AnnotationError, DownloadError, SourceError
from nvframe.plugins import AnnotatorPlugin, Plugin
from nvframe.testing.conformance.base import Conformance, in_time
from nvframe.testing.conformance.examples import example_image, example_record
from nvframe.testing.conformance.watching import network, watched
from nvframe.types import ImageRecord, json_bytes, parsed_json

_TAKEN = frozenset({"image", "x", "y", "z", "stat_map"})


class AnnotatorConformance(Conformance):
    """Checks an annotator; set `plugin`, or give a fixture `annotator`.

    Override `records` where it knows certain images only. One that asks a server is given a stand-in on loopback
    by its author's fixture.

    Examples
    --------
    >>> import pytest
    >>> class TestLength(AnnotatorConformance):
    ...     @pytest.fixture
    ...     def annotator(self):
    ...         return NameLength()
    """

    kind: ClassVar[type[Plugin]] = AnnotatorPlugin

    @pytest.fixture
    def annotator(self) -> Any:
        """Return the annotator under test."""
        return self.build()

    @pytest.fixture
    def records(self) -> Sequence[ImageRecord]:
        """Return the records of two images that it has something for, preferably not the same."""
        return [example_record(1), example_record(2, name="checkerboard", map_type="Z map")]

    @pytest.fixture
    def img(self) -> Any:
        """Return the image that belongs to the records."""
        return example_image()

    @pytest.fixture
    def annotations(self, annotator: Any, records: Sequence[ImageRecord], img: Any) -> list[Any]:
        """Return what it says about `records`."""
        return [_annotated(annotator, record, img) for record in records]

    def test_attributes_are_there(self, annotator: Any) -> None:
        """It has all that the contract names, and is called what its descriptor says."""
        assert isinstance(annotator, Annotator), (
            f"{type(annotator).__name__} lacks {', '.join(_lacking(annotator))}"
        )
        assert isinstance(annotator.needs_network, bool), "`needs_network` must be True or False"
        assert isinstance(annotator.needs_image, bool), "`needs_image` must be True or False"
        if self.plugin is not None:
            assert annotator.name == self.plugin.name, (
                f"the annotator is called {annotator.name!r}, its descriptor {self.plugin.name!r}: use one name"
            )

    def test_sidecar_has_a_name_of_its_own(self, annotator: Any) -> None:
        """The stored file is called after the image, and after nothing that nvframe or nilearn store."""
        name = annotator.sidecar_name
        assert name.count("{id}") == 1, f"sidecar_name {name!r} must hold {{id}} once"
        assert name.endswith(".json"), f"sidecar_name {name!r} must end in .json: the file holds JSON"
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name.replace("{id}", "1")), (
            f"sidecar_name {name!r} must be a plain file name"
        )
        assert not name.startswith(("image_{id}", "collection_")), f"sidecar_name {name!r} is nvframe's own"
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", annotator.metadata_key), (
            f"metadata_key {annotator.metadata_key!r} must be an identifier: it begins keys of images_meta"
        )

    def test_annotation_is_json(self, annotations: list[Any]) -> None:
        """An annotation is a JSON object: it is stored, and a later call is given what was stored."""
        for annotation in annotations:
            assert isinstance(annotation, Mapping), f"annotate must return a mapping, not {annotation!r:.80}"
            assert parsed_json(json_bytes(dict(annotation))) == annotation, (
                "the annotation is not the same after a round trip through JSON: return str, float, list, dict"
            )

    def test_gives_the_same_again(
        self, annotator: Any, annotations: list[Any], records: Sequence[ImageRecord], img: Any
    ) -> None:
        """The same image gets the same annotation: the stored one stands for every later one."""
        again = [_annotated(annotator, record, img) for record in records]
        assert again == annotations, "two calls gave different annotations: it must be deterministic"

    def test_unknown_image_is_its_own_trouble(self, annotator: Any, img: Any) -> None:
        """An image that it has nothing for is an AnnotationError with a reason, and no other is touched."""
        nobody = ImageRecord("kit", "999999999", "1", "", {})
        try:
            said = in_time(lambda: annotator.annotate(nobody, img if annotator.needs_image else None))
        except (AnnotationError, DownloadError, SourceError) as reason:
            assert str(reason), f"{type(reason).__name__} must say why"
            return
        except Exception as error:
            pytest.fail(
                f"for an image without metadata it raised {type(error).__name__}: {error}; raise "
                "AnnotationError(reason) where there is nothing to say"
            )
        assert isinstance(said, Mapping), f"annotate must return a mapping or raise, not {said!r:.80}"

    def test_network_is_declared(self, annotator: Any, records: Sequence[ImageRecord], img: Any) -> None:
        """One that does not say `needs_network` asks no server: it works offline."""
        if annotator.needs_network:
            pytest.skip("needs_network = True")
        with watched() as seen:
            _annotated(annotator, records[0], img)
        assert not network(seen), f"it says needs_network = False and asked for {network(seen)}"

    def test_pickles(
        self, annotator: Any, annotations: list[Any], records: Sequence[ImageRecord], img: Any
    ) -> None:
        """It travels to a worker process and says the same there."""
        try:
            travelled = pickle.loads(pickle.dumps(annotator))  # noqa: S301 - what we pickled ourselves
        except Exception as error:
            pytest.fail(
                f"it does not pickle ({error}): hold no open connections or files, or drop them on the way"
            )
        assert _annotated(travelled, records[0], img) == annotations[0], (
            "after pickling it says something else"
        )

    def test_serves_again_after_close(
        self, annotator: Any, annotations: list[Any], records: Sequence[ImageRecord], img: Any
    ) -> None:
        """After `close`, where it has one, it can be used again: a frame is fetched further."""
        if not callable(getattr(annotator, "close", None)):
            pytest.skip("it has no close()")
        annotator.close()
        assert _annotated(annotator, records[0], img) == annotations[0], (
            "after close() it says something else"
        )

    def test_collation_is_aligned(self, annotator: Any, annotations: list[Any]) -> None:
        """Row i of an array on ``image`` belongs to image i, in whatever order they come."""
        there = _on_image(_collated(annotator, annotations))
        back = _on_image(_collated(annotator, annotations[::-1]))
        for name, rows in there.items():
            assert len(rows) == len(annotations), (
                f"{name!r} has {len(rows)} rows for {len(annotations)} images"
            )
            assert _same(rows, back[name][::-1]), (
                f"row i of {name!r} must belong to image i, in any order of images"
            )

    def test_failed_rows_are_kept(self, annotator: Any, annotations: list[Any]) -> None:
        """None, an image that failed, keeps its row: NaN in floats, and the others as they were."""
        import numpy as np

        whole = _on_image(_collated(annotator, annotations))
        for name, rows in _on_image(_collated(annotator, [None, *annotations])).items():
            assert len(rows) == len(annotations) + 1, (
                f"{name!r} has {len(rows)} rows for {len(annotations) + 1} images: None keeps its row"
            )
            assert _same(rows[1:], whole[name]), f"a failed image changed the other rows of {name!r}"
            if rows.dtype.kind == "f":
                assert np.isnan(rows[0]).all(), (
                    f"the row of a failed image in {name!r} must be NaN, not {rows[0]!r}"
                )

    def test_nothing_collates_to_little(self, annotator: Any) -> None:
        """No image at all, or none that worked, gives empty arrays or no arrays, and no error."""
        for nothing in ([], [None, None]):
            for name, rows in _on_image(_collated(annotator, nothing)).items():
                assert len(rows) == len(nothing), f"{name!r} has {len(rows)} rows for {len(nothing)} images"

    def test_collation_fits_a_dataset(self, annotator: Any, annotations: list[Any]) -> None:
        """Names, dims and attrs make an xarray Dataset beside ``stat_map`` that netCDF and zarr can hold."""
        import xarray as xr

        collated = _collated(annotator, annotations)
        assert not _TAKEN & collated.keys(), (
            f"{sorted(_TAKEN & collated.keys())} are names of the Dataset's own"
        )
        built = xr.Dataset({name: made for name, made in collated.items() if made[0] != (name,)})
        built = built.assign_coords({name: made for name, made in collated.items() if made[0] == (name,)})
        for name, variable in built.variables.items():
            assert variable.dtype.kind != "O", (
                f"{name!r} is an array of objects: give numbers or numpy strings"
            )
            json_bytes(dict(variable.attrs))

    def test_stored_annotations_collate_alike(self, annotator: Any, annotations: list[Any]) -> None:
        """Annotations that come from storage give the same arrays as fresh ones."""
        stored = [parsed_json(json_bytes(dict(annotation))) for annotation in annotations]
        fresh = _collated(annotator, annotations)
        for name, (dims, array, _) in _collated(annotator, stored).items():
            assert dims == fresh[name][0], f"the dims of {name!r} differ for stored annotations"
            assert _same(array, fresh[name][1]), f"{name!r} differs for stored annotations"


def _annotated(annotator: Any, record: ImageRecord, img: Any) -> Any:
    try:
        return annotator.annotate(record, img if annotator.needs_image else None)
    except AnnotationError as reason:
        pytest.fail(f"it has nothing for the kit's image ({reason}): override the fixture `records`")


def _lacking(annotator: Any) -> list[str]:
    members = ("name", "needs_network", "needs_image", "sidecar_name", "metadata_key", "annotate", "collate")
    return [name for name in members if not hasattr(annotator, name)]


def _collated(annotator: Any, annotations: Sequence[Any]) -> dict[str, tuple[tuple[str, ...], Any, Any]]:
    """Return what `collate` gives, its form checked."""
    import numpy as np

    collated = dict(annotator.collate(annotations))
    for name, made in collated.items():
        assert isinstance(made, tuple), (
            f"collate must give (dims, array, attrs) for {name!r}, not {made!r:.80}"
        )
        assert len(made) == 3, f"collate must give (dims, array, attrs) for {name!r}"
        dims, array, _ = made
        assert isinstance(dims, tuple), f"the dims of {name!r} must be a tuple of names, not {dims!r}"
        assert np.ndim(array) == len(dims), f"{name!r} has dims {dims} and {np.ndim(array)} axes"
    return collated


def _on_image(collated: Mapping[str, tuple[tuple[str, ...], Any, Any]]) -> dict[str, Any]:
    import numpy as np

    return {name: np.asarray(array) for name, (dims, array, _) in collated.items() if dims[:1] == ("image",)}


def _same(one: Any, other: Any) -> bool:
    import numpy as np

    one, other = np.asarray(one), np.asarray(other)
    floats = one.dtype.kind == "f"
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=floats))

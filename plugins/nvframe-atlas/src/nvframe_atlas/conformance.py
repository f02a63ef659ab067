"""What nvframe asks of a result format and an annotator, for ``nvframe plugins check`` and our own tests."""

from collections.abc import Sequence
from typing import Any, ClassVar

from nvframe.imaging.images import like
from nvframe.testing import AnnotatorConformance, ResultFormatConformance
from nvframe.testing.conformance.examples import example_image
from nvframe_atlas import nvframe_annotators, nvframe_result_formats


def _halves() -> Any:
    """Return an atlas of two regions on the grid of the kit's images."""
    import numpy as np

    img = example_image()
    labels = np.ones(img.shape, "uint8")
    labels[img.shape[0] // 2 :] = 2
    return like(img, labels, img.affine)


class ResultFormatKit(ResultFormatConformance):
    """The kit, with an atlas of two regions."""

    plugin = next(iter(nvframe_result_formats()))
    build_parameters: ClassVar[dict[str, Any]] = {"atlas": _halves(), "names": ["left", "right"]}

    def ids(self, result: Any) -> Sequence[Any]:
        """Return the ids of the rows that hold values: a map that could not be read keeps its row."""
        found: Sequence[Any] = result.dropna(how="all").index.tolist()
        return found


class AnnotatorKit(AnnotatorConformance):
    """The kit, with an atlas of two regions."""

    plugin = next(iter(nvframe_annotators()))
    parameters: ClassVar[dict[str, Any]] = {"atlas": _halves(), "names": ["left", "right"]}
    refused_parameters = ({"atlas": _halves(), "names": ["left"]}, {"atlas": 7})

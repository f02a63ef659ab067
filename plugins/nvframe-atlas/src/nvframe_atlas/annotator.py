"""The annotator: an image's values in the regions of an atlas, stored beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nvframe.errors import AnnotationError, ProcessingError
from nvframe.types import ImageRecord
from nvframe_atlas.atlas import Atlas

Collated = Mapping[str, tuple[tuple[str, ...], Any, Mapping[str, Any]]]


class Regions:
    """Values in an atlas' regions, of the image as the processors leave it.

    Parameters
    ----------
    atlas : path, URL or image
        Labels or probabilistic maps: see `nvframe_atlas.atlas.Atlas`. It is read once, when this is made.
    names : sequence, mapping, path or None, default=None
        Of the regions: see `nvframe_atlas.names.region_names`.

    Examples
    --------
    >>> import nibabel, numpy
    >>> regions = Regions(nibabel.Nifti1Image(numpy.ones((2, 2, 2), "uint8"), numpy.eye(4)), names=["all"])
    >>> regions.collate([{"values": {"all": 0.5}}, None])["regions"][1].tolist()
    [[0.5], [nan]]
    """

    name = "regions"
    version = "1"
    needs_network = False
    needs_image = True
    sidecar_name = "regions_for_image_{id}.json"
    metadata_key = "regions"

    def __init__(self, atlas: Any, names: Any = None) -> None:
        self.atlas = Atlas(atlas, names)

    def parameters(self) -> dict[str, Any]:
        """Return what tells these annotations from those by another atlas."""
        return {"atlas": self.atlas.sha256, "names": self.atlas.names}

    def annotate(self, record: ImageRecord, img: Any = None) -> Mapping[str, Any]:
        """Return ``{"values": {region: value}}``, None for a region outside the field of view.

        Raises
        ------
        AnnotationError
            If the image is not one volume, or lies wholly beyond the atlas.
        """
        try:
            values = self.atlas.values(img)
        except ProcessingError as error:
            raise AnnotationError(str(error)) from error
        listed = [None if value != value else value for value in values.tolist()]  # NaN is not JSON
        return {"values": dict(zip(self.atlas.names, listed, strict=True))}

    def collate(self, annotations: Sequence[Mapping[str, Any] | None]) -> Collated:
        """Return ``regions`` on (image, region): float64, NaN in rows that failed and outside the field of view."""
        import numpy as np

        names = self.atlas.names
        table = np.full((len(annotations), len(names)), np.nan)
        for i, annotation in enumerate(annotations):
            values = (annotation or {}).get("values", {})
            table[i] = [np.nan if values.get(name) is None else values[name] for name in names]
        attrs = {"long_name": "value in a region of the atlas", "atlas_sha256": self.atlas.sha256}
        return {
            "regions": (("image", "region"), table, attrs),
            "region": (("region",), np.array(names, dtype=np.str_), {}),
        }

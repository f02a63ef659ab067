"""The result format: a table with a row per image and a column per region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nvframe.types import Failure
from nvframe_atlas.atlas import Atlas

if TYPE_CHECKING:
    import pandas as pd

    from nvframe.contracts import FrameView


class RegionsFormat:
    """Builds a DataFrame of an atlas' regions from a frame's images, read one at a time."""

    def build(self, frame_view: FrameView, *, atlas: Any, names: Any = None) -> pd.DataFrame:
        """Return the table.

        Parameters
        ----------
        frame_view : FrameView
            The frame.
        atlas : path, URL or image
            Labels or probabilistic maps: see `nvframe_atlas.atlas.Atlas`.
        names : sequence, mapping, path or None, default=None
            Of the regions: see `nvframe_atlas.names.region_names`.

        Returns
        -------
        pandas.DataFrame of shape (images, regions)
            float64, in the frame's order, indexed by the images' ids; an image that could not be read is a
            row of NaN and stands in the frame's failures.

        Raises
        ------
        ValueError
            If `atlas` is invalid, `names` do not fit it, or the frame comes from a search.
        """
        import numpy as np
        import pandas as pd

        if frame_view.images_meta and not frame_view.images:
            raise ValueError("this frame comes from a search and has no images: call its fetch() first")
        made = Atlas(atlas, names)
        table = np.full((len(frame_view.images), len(made.names)), np.nan)
        for i in range(len(table)):
            try:
                table[i] = made.values(frame_view.load(i))
            except Exception as error:
                _report(frame_view, i, error)
        ids = pd.Index([meta.get("id") for meta in frame_view.images_meta[: len(table)]], name="id")
        return pd.DataFrame(table, index=ids, columns=pd.Index(made.names, name="region"))


def _report(frame_view: FrameView, i: int, error: Exception) -> None:
    meta = frame_view.images_meta[i]
    failure = Failure.of(
        error,
        "open",
        "regions",
        image_id=str(meta.get("id")),
        collection_id=str(meta.get("collection_id")),
        url=frame_view.images[i],
    )
    if failure not in frame_view.failures:
        frame_view.failures.append(failure)

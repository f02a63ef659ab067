"""A table of images: one row each, what is known in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from nvframe.contracts import FrameView


class TableFormat:
    """Builds a DataFrame of image metadata, with the collection's beside it."""

    def build(self, frame_view: FrameView, *, collections: bool = True) -> pd.DataFrame:
        """Return the table.

        Parameters
        ----------
        frame_view : FrameView
            The frame.
        collections : bool, default=True
            Whether the collection's fields stand beside the image's, as ``collection_<field>``.

        Returns
        -------
        pandas.DataFrame
            A row per image in the frame's order, indexed by ``id``; ``path`` names the file, and is missing
            after a search.
        """
        import pandas as pd

        rows = [dict(meta) for meta in frame_view.images_meta]
        if collections:
            for row, collection in zip(rows, frame_view.collections_meta, strict=True):
                row.update(_prefixed(collection, row))
        table = pd.DataFrame(rows)
        if frame_view.images:
            table.insert(0, "path", frame_view.images)
        return table.set_index("id") if "id" in table else table


def _prefixed(collection: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    fields = {f"collection_{key}": value for key, value in collection.items() if key != "id"}
    # The image's own field wins, such as an uploader's "collection_name".
    return {key: value for key, value in fields.items() if key not in row}

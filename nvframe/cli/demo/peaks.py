"""What the demo says of each map: where it is strongest, and which words go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from nvframe.frame import Frame

COLUMNS = (
    *("id", "name", "map_type", "collection_id", "collection_name", "words"),
    *("peak_value", "peak_x_mm", "peak_y_mm", "peak_z_mm", "path"),
)


@dataclass(frozen=True, slots=True)
class MapSummary:
    """One map of the table.

    Attributes
    ----------
    id, name, map_type, collection_id, collection_name : str
        From its metadata.
    words : tuple of str
        The strongest first.
    value : float
        At the peak: the voxel furthest from zero.
    position : (x, y, z)
        Of the peak, in mm: RAS+, so that +x is the subject's right.
    path : str
        The stored file.
    """

    id: str
    name: str
    map_type: str
    collection_id: str
    collection_name: str
    words: tuple[str, ...]
    value: float
    position: tuple[float, float, float]
    path: str


def summaries(frame: Frame, dataset: xr.Dataset, n_words: int = 3) -> list[MapSummary]:
    """Return a summary of each map that `dataset`, made from `frame`, holds."""
    known = {
        str(meta["id"]): (meta, collection, path)
        for meta, collection, path in zip(
            frame.images_meta, frame.collections_meta, frame.images, strict=True
        )
    }
    found = []
    for i, image_id in enumerate(map(str, dataset["id"].values)):
        meta, collection, path = known[image_id]
        value, position = peak(dataset.stat_map.isel(image=i))
        found.append(
            MapSummary(
                image_id,
                str(meta.get("name") or ""),
                str(meta.get("map_type") or ""),
                str(meta.get("collection_id")),
                str(collection.get("name") or ""),
                _words(dataset, i, n_words),
                value,
                position,
                path,
            )
        )
    return found


def peak(stat_map: Any) -> tuple[float, tuple[float, float, float]]:
    """Return the value furthest from zero and where it is.

    Parameters
    ----------
    stat_map : xarray.DataArray
        On ``x``, ``y`` and ``z`` in mm.

    Examples
    --------
    >>> import xarray as xr
    >>> peak(xr.DataArray([[[1.0, -2.0]]], {"x": [-4.0], "y": [8.0], "z": [0.0, 2.0]}, ("x", "y", "z")))
    (-2.0, (-4.0, 8.0, 2.0))
    """
    import numpy as np

    values = np.nan_to_num(np.asarray(stat_map.values, dtype=np.float64), posinf=0.0, neginf=0.0)
    at = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    x, y, z = (float(stat_map[name].values[index]) for name, index in zip("xyz", at, strict=True))
    return float(values[at]), (x, y, z)


def _words(dataset: Any, row: int, n_words: int) -> tuple[str, ...]:
    import numpy as np

    if "word_frequencies" not in dataset:
        return ()
    weights = dataset.word_frequencies.values[row]
    if np.isnan(weights).all():
        return ()
    strongest = np.argsort(-np.nan_to_num(weights), kind="stable")[:n_words]
    return tuple(str(word) for word in dataset.word.values[strongest])


def write_csv(rows: Sequence[MapSummary], path: Path) -> None:
    """Write the table."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            about = (
                row.id,
                row.name,
                row.map_type,
                row.collection_id,
                row.collection_name,
                "; ".join(row.words),
            )
            writer.writerow([*about, f"{row.value:.4g}", *(f"{at:g}" for at in row.position), row.path])

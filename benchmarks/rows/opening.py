"""Row 14: a thousand staged maps as one Dataset, lazily."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import xarray as xr

import nvframe
from benchmarks import data
from benchmarks.harness import Row, Settings, fresh, interleave
from nvframe.layout import RESAMPLED
from nvframe.storage import LocalStorage


def row_14(settings: Settings) -> list[Row]:
    """Opening without reading an image, one map, one voxel of all."""
    images = 200 if settings.quick else 1_000
    with fresh(settings.directory) as data_dir:
        data.write_cache(data_dir, images, data.resampled_map(), role=RESAMPLED)
        root = data_dir / "neurovault"

        def opened(directory: Path) -> None:
            xr.open_dataset(root, engine="nvframe")

        read: list[str] = []
        genuine = LocalStorage.read

        def noting(storage: LocalStorage, key: str) -> bytes:
            read.append(key)
            return genuine(storage, key)

        with patch.object(LocalStorage, "read", noting):
            dataset = xr.open_dataset(root, engine="nvframe")
        best = interleave({"open": opened}, settings, settings.rounds(6))["open"][0]

        def one_map(directory: Path) -> None:
            dataset.stat_map.isel(image=images // 2).copy(deep=False).values  # noqa: B018 - reads it

        single = interleave({"map": one_map}, settings, settings.rounds(15))["map"][0]
    image_files = sum(key.endswith(".nii.gz") for key in read)
    note = f"{image_files} image files read, {len(read)} sidecars"
    opening = _within("14 open", f"open {images} maps as a Dataset", best, 1.0, note)
    if image_files:
        opening = replace(opening, passed=False)
    voxel = _within("14 voxel", "one voxel of all, from the Zarr", None, 1.0)
    built = hasattr(nvframe.Frame, "to_zarr")
    voxel = replace(voxel, missing="this row, though `to_zarr` is" if built else "`to_zarr`")
    return [opening, _within("14 map", "one map of these", single, 0.05), voxel]


def _within(row: str, workload: str, seconds: float | None, most: float, note: str = "") -> Row:
    return Row(row, workload, "s", None, seconds, most, most, note, absolute=True)

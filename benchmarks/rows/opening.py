"""Row 14: a thousand staged maps as one Dataset, lazily."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import xarray as xr

import nvframe
from benchmarks import data
from benchmarks.harness import Row, Settings, fresh, interleave
from nvframe.cache.layout import RESAMPLED
from nvframe.storage.local import LocalStorage


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
        across = _one_voxel(settings, data_dir)
    image_files = sum(key.endswith(".nii.gz") for key in read)
    note = f"{image_files} image files read, {len(read)} sidecars"
    opening = _within("14 open", f"open {images} maps as a Dataset", best, 1.0, note)
    if image_files:
        opening = replace(opening, passed=False)
    note = f"from the Zarr of maps {across['maps'][0]:.2f} s"
    single = _within("14 map", "one map of these", single, 0.05)
    voxel = _within("14 voxel", "one voxel of all, from the Zarr of voxels", across["voxels"][0], 1.0, note)
    return [opening, single, voxel]


def _one_voxel(settings: Settings, data_dir: Path) -> dict[str, tuple[float, ...]]:
    """Open each Zarr and read one voxel of all images."""
    frame = nvframe.fetch(mode="offline", processors=["resample-3mm"], data_dir=data_dir, max_images=None)
    mask = frame.to_xarray().stat_map[0] != 0
    maps = frame.to_zarr(data_dir / "maps.zarr")
    rows = frame.to_zarr(data_dir / "rows.zarr", layout="voxels", mask_img=mask)

    def from_maps(directory: Path) -> None:
        xr.open_zarr(maps, chunks=None).stat_map.isel(x=30, y=36, z=30).values  # noqa: B018 - reads it

    def from_rows(directory: Path) -> None:
        xr.open_zarr(rows, chunks=None).stat_map.isel(voxel=1_000).values  # noqa: B018 - reads it

    return interleave({"maps": from_maps, "voxels": from_rows}, settings, settings.rounds(6))


def _within(row: str, workload: str, seconds: float | None, most: float, note: str = "") -> Row:
    return Row(row, workload, "s", None, seconds, most, most, note, absolute=True)

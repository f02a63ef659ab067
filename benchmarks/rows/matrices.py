"""Rows 10 and 11: (image, voxel) and (image, word) matrices."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import xarray as xr
from nilearn.datasets import neurovault as nilearn
from nilearn.image import new_img_like
from nilearn.masking import apply_mask

import nvframe
from benchmarks import data
from benchmarks.harness import Row, Settings, fresh, interleave
from nvframe import neurovault
from nvframe.cache.layout import RESAMPLED
from nvframe.imaging import nifti

IMAGES = 100


def row_10(settings: Settings) -> list[Row]:
    """Resampled maps to a matrix: from files, and from the (image, voxel) layout."""
    first = nifti.read(data.resampled_map())
    # the brain: cubic splines leave 1e-16 on half of what lies around it
    mask = new_img_like(first, np.abs(np.asarray(first.dataobj)) > 1e-6)
    with fresh(settings.directory) as data_dir:
        data.write_cache(data_dir, IMAGES, data.resampled_map(), role=RESAMPLED)
        frame = nvframe.fetch(mode="offline", processors=["resample-3mm"], data_dir=data_dir, max_images=None)
        made = {}

        def peer(directory: Path) -> None:
            made["peer"] = apply_mask(frame.images, mask)

        def masked(directory: Path) -> None:
            made["ours"] = frame.to_xarray().nvframe.masked(mask).values

        url = frame.to_zarr(data_dir / "rows.zarr", layout="voxels", mask_img=mask)

        def from_zarr(directory: Path) -> None:
            made["zarr"] = xr.open_dataset(url, engine="nvframe").stat_map.values

        clocks = (time.perf_counter, time.process_time)
        sides = {"peer": peer, "ours": masked, "zarr": from_zarr}
        best = interleave(sides, settings, settings.rounds(6), clocks)
    for side in ("ours", "zarr"):
        np.testing.assert_array_equal(made[side], made["peer"])
    note = "CPU {:.3f} / {:.3f} s".format(*(best[side][1] for side in ("peer", "ours")))
    wall = best["peer"][0], best["ours"][0]
    files = Row("10 files", "100 maps of 3 mm → matrix, from files", "s", *wall, 2.5, 4, note)
    note = "CPU {:.3f} s".format(best["zarr"][1])
    wall = best["peer"][0], best["zarr"][0]
    rows = Row("10 Zarr", "the same from the (image, voxel) Zarr", "s", *wall, 20, 40, note)
    return [files, rows]


def row_11(settings: Settings) -> list[Row]:
    """Neurosynth's words from files to a matrix."""
    with fresh(settings.directory) as directory:
        files = data.write_words(directory, IMAGES)
        made = {}

        def peer(directory: Path) -> None:
            made["peer"] = nilearn.neurosynth_words_vectorized(files, verbose=0)

        def ours(directory: Path) -> None:
            made["ours"] = neurovault.neurosynth_words_vectorized(files, verbose=0)

        best = interleave({"peer": peer, "ours": ours}, settings, settings.rounds(10), (time.process_time,))
    for theirs, mine in zip(made["peer"], made["ours"], strict=True):
        np.testing.assert_array_equal(theirs, mine)
    row = Row("11", "words, 100 × 3 200 → matrix, CPU time", "s", best["peer"][0], best["ours"][0], 3, 4)
    return [row]

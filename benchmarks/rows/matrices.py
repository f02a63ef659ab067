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
from nvframe.imaging import nifti
from nvframe.layout import RESAMPLED

IMAGES = 100


def row_10(settings: Settings) -> list[Row]:
    """Resampled maps to a matrix: from files, and from the (image, voxel) layout."""
    first = nifti.read(data.resampled_map())
    mask = new_img_like(first, np.asarray(first.dataobj) != 0)
    built = hasattr(getattr(xr.Dataset, "nvframe", None), "masked")
    with fresh(settings.directory) as data_dir:
        data.write_cache(data_dir, IMAGES, data.resampled_map(), role=RESAMPLED)
        frame = nvframe.fetch(mode="offline", processors=["resample-3mm"], data_dir=data_dir, max_images=None)
        inside = np.asarray(nifti.read(nifti.encode(mask)).dataobj) != 0

        def peer(directory: Path) -> None:
            apply_mask(frame.images, mask)

        def masked(directory: Path) -> None:
            np.asarray(frame.to_xarray().nvframe.masked(mask))

        def fresh_dataset(directory: Path) -> None:
            frame.to_xarray().stat_map.values[:, inside]

        sides = {"peer": peer, "ours": masked if built else fresh_dataset}
        best = interleave(sides, settings, settings.rounds(6))
    ours = best["ours"][0]
    files = Row("10 files", "100 maps of 3 mm → matrix, from files", "s", best["peer"][0], ours, 2.5, 4)
    if not built:
        note = f"`to_xarray().stat_map.values[:, inside]` takes {ours:.3f} s, `apply_mask` {best['peer'][0]:.3f} s"
        files = Row("10 files", files.workload, floor=2.5, goal=4, note=note, missing="`ds.nvframe.masked`")
    built_zarr = hasattr(nvframe.Frame, "to_zarr")
    zarr_missing = "this half, though `to_zarr` is" if built_zarr else "`to_zarr`"
    zarr = Row("10 Zarr", "the same from the (image, voxel) Zarr", floor=40, goal=80, missing=zarr_missing)
    return [files, zarr]


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

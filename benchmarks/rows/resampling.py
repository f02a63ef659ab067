"""Rows 5 and 6: one map in memory onto nilearn's 3 mm lattice, the finished image in memory again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nilearn.image import resample_img
from threadpoolctl import threadpool_limits

from benchmarks.data import t_map
from benchmarks.harness import Row, Settings, interleave
from nvframe.imaging.grids import STD_AFFINE
from nvframe.imaging.resample import resample

# a functional run normalised to its own box: voxels of 2.4 × 2.4 × 3 mm that meet no voxel of the target
EPI_AFFINE = ((-2.4, 0, 0, 89.3), (0, 2.4, 0, -125.1), (0, 0, 3.0, -71.7), (0, 0, 0, 1))
EPI_SHAPE = (76, 91, 61)


def row_5(settings: Settings) -> list[Row]:
    """Cubic, 2 mm to 3 mm, float64."""
    img = t_map(dtype="float64")
    return [_resampled(settings, "5", "2 → 3 mm, cubic, float64", img, "continuous", 12, 20)]


def row_6(settings: Settings) -> list[Row]:
    """Off the target's grid, and linear."""
    epi = t_map(dtype="float64", affine=EPI_AFFINE, shape=EPI_SHAPE)
    plain = t_map(dtype="float64")
    return [
        _resampled(settings, "6 EPI", "off-grid EPI affine, cubic", epi, "continuous", 12, 25),
        _resampled(settings, "6 linear", "2 → 3 mm, linear", plain, "linear", 2.5, 4),
    ]


def _resampled(
    settings: Settings, row: str, workload: str, img: Any, interpolation: str, floor: float, goal: float
) -> Row:
    target = np.array(STD_AFFINE)
    made = {}

    def peer(directory: Path) -> None:
        made["peer"] = resample_img(img, target, interpolation=interpolation)

    def ours(directory: Path) -> None:
        made["ours"] = resample(img, target, interpolation=interpolation)

    sides = {"peer": peer, "ours": ours}
    best = interleave(sides, settings, settings.rounds(45))
    with threadpool_limits(limits=1, user_api="blas"):
        pinned = interleave({"ours": ours}, settings, settings.rounds(45))["ours"][0]
    apart = float(np.abs(made["peer"].get_fdata() - made["ours"].get_fdata()).max())
    same = made["peer"].shape == made["ours"].shape and np.array_equal(
        made["peer"].affine, made["ours"].affine
    )
    if apart > 1e-12 or not same:
        raise RuntimeError(f"row {row}: {apart:.1e} from nilearn's values")
    scale = 1000
    note = f"{apart:.0e} apart; BLAS on one thread {pinned * scale:.2f} ms"
    return Row(row, workload, "ms", best["peer"][0] * scale, best["ours"][0] * scale, floor, goal, note)

"""Rows 8 and 9: a query with the default terms over a cache, without a network."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from benchmarks import data
from benchmarks.harness import Row, Settings, fresh, interleave
from benchmarks.sides import our_fetch, peer_fetch

SIZES = {"usual": (1_000, 10_000), "quick": (1_000,), "full": (1_000, 10_000, 100_000)}
_YOUNG_SECONDS = 2.1
"""A sidecar younger than two seconds is read again whatever an index says of it."""


def row_8(settings: Settings) -> list[Row]:
    """Every image of the cache, the Bunch finished; by nvframe's cache and, at 1 000, by nilearn's own."""
    rows = [_query(settings, f"8 {n:_}".replace("_", " "), n, 9, 15) for n in _sizes(settings)]
    return [*rows, _query(settings, "8 nilearn's", 1_000, None, None, by_nvframe=False)]


def row_9(settings: Settings) -> list[Row]:
    """The first query of all, which finds no index and makes one."""
    workload = "the first query, which makes the index"
    with fresh(settings.directory) as data_dir:
        for side in ("peer", "ours"):
            data.write_cache(data_dir / side, 1_000, data.tiny_map())
        time.sleep(_YOUNG_SECONDS)
        query = {"expected": 1_000, "mode": "offline", "max_images": None}

        def first(directory: Path) -> None:
            usual = os.environ["XDG_CACHE_HOME"]
            os.environ["XDG_CACHE_HOME"] = str(directory)
            try:
                our_fetch(data_dir / "ours", **query)
            finally:
                os.environ["XDG_CACHE_HOME"] = usual

        best = interleave(
            {"peer": lambda directory: peer_fetch(data_dir / "peer", **query), "ours": first},
            settings,
            settings.rounds(6),
            (time.process_time,),
        )
    return [Row("9", f"{workload}, 1 000 images", "s", best["peer"][0], best["ours"][0], 3, 5)]


def _sizes(settings: Settings) -> tuple[int, ...]:
    return SIZES["full" if settings.full else "quick" if settings.quick else "usual"]


def _query(
    settings: Settings, row: str, n: int, floor: float | None, goal: float | None, *, by_nvframe: bool = True
) -> Row:
    with fresh(settings.directory) as data_dir:
        # One each: nilearn writes every sidecar again on every visit, which is what an index must notice.
        for side in ("peer", "ours"):
            data.write_cache(data_dir / side, n, data.tiny_map(), by_nvframe=by_nvframe)
        time.sleep(_YOUNG_SECONDS)
        sides = {
            name: partial(_ask, side, data_dir / name, n)
            for name, side in (("peer", peer_fetch), ("ours", our_fetch))
        }
        rounds = {1_000: 30, 10_000: 3}.get(n, 1)  # what takes 20 ms wanders by a tenth
        clocks = (time.process_time, time.perf_counter)  # neither side waits for anything but the disk
        best = interleave(sides, settings, settings.rounds(rounds) if rounds > 1 else 1, clocks)
        only_stat = {"stats": lambda directory: _stat_all(data_dir / "ours")}
        stats, _ = interleave(only_stat, settings, 3, clocks)["stats"]
    (peer, peer_wall), (ours, our_wall) = best["peer"], best["ours"]
    note = (
        f"{ours / n * 1e6:.0f} µs per image; scandir and stat alone {stats / n * 1e6:.0f} µs; "
        f"wall {peer_wall:.3g} / {our_wall:.3g} s"
    )
    whose = "nvframe's cache" if by_nvframe else "a cache of nilearn's"
    return Row(row, f"offline query, {n} images, {whose}, CPU time", "s", peer, ours, floor, goal, note)


def _ask(side: object, data_dir: Path, n: int, directory: Path) -> None:
    side(data_dir, n, mode="offline", max_images=None)  # type: ignore[operator]


def _stat_all(data_dir: Path) -> None:
    for collection in os.scandir(data_dir / "neurovault"):
        for entry in os.scandir(collection.path):
            entry.stat()

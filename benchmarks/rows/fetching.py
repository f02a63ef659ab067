"""Rows 1 to 4 and 7: a hundred maps of 0.9 MB from ten collections over loopback."""

from __future__ import annotations

import time
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

from benchmarks import data, servers
from benchmarks.harness import Row, Settings, interleave
from benchmarks.sides import inflate, our_fetch, peer_fetch, pointed_at, raw_fetch

IMAGES = 100
CLOCKS = (time.process_time, time.perf_counter)


@lru_cache(maxsize=1)
def corpus(directory: Path) -> Path:
    """Write the corpus once per run."""
    return data.write_corpus(directory / "corpus", IMAGES)


def row_1(settings: Settings) -> list[Row]:
    """Cold fetch, no latency: CPU time of this process, all threads; the server has its own."""
    with servers.neurovault(corpus(settings.directory)) as url, pointed_at(url):
        best = interleave(
            {
                "peer": partial(peer_fetch, expected=IMAGES),
                "ours": partial(our_fetch, expected=IMAGES),
                "received": lambda directory: raw_fetch(url, directory, 8),
                "hashed": lambda directory: raw_fetch(url, directory, 8, sha256),
                "verified": lambda directory: raw_fetch(url, directory, 8, sha256, inflate),
            },
            settings,
            settings.rounds(10),
            CLOCKS,
        )
    (peer, peer_wall), (ours, our_wall) = best["peer"], best["ours"]
    bound = ", ".join(f"{name} {best[name][0]:.2f}" for name in ("received", "hashed", "verified"))
    note = f"wall {peer_wall:.2f} / {our_wall:.2f} s; 8 workers; bare sockets: {bound} s"
    return [Row("1", "cold fetch, 0 ms, CPU time", "s", peer, ours, 1.5, 2, note)]


def row_2(settings: Settings) -> list[Row]:
    """Cold fetch, 50 ms, 16 workers."""
    return [_wall(settings, "2", "cold fetch, 50 ms, 16 workers", 0.05, 0, 16, 8, 12)]


def row_3(settings: Settings) -> list[Row]:
    """Cold fetch, 200 ms, 32 workers."""
    return [_wall(settings, "3", "cold fetch, 200 ms, 32 workers", 0.2, 0, 32, 14, 18)]


def row_4(settings: Settings) -> list[Row]:
    """Cold fetch, 50 ms and 100 ms more on a new connection, 16 workers."""
    return [_wall(settings, "4", "cold fetch, 50 + 100 ms, 16 workers", 0.05, 0.1, 16, 14, 20)]


def _wall(
    settings: Settings,
    row: str,
    workload: str,
    latency: float,
    connecting: float,
    workers: int,
    floor: float,
    goal: float,
) -> Row:
    with servers.neurovault(corpus(settings.directory), latency, connecting) as url, pointed_at(url):
        best = interleave(
            {
                "peer": partial(peer_fetch, expected=IMAGES),
                "ours": partial(our_fetch, expected=IMAGES, workers=workers),
                "raw": lambda directory: raw_fetch(url, directory, workers),
            },
            settings,
            1 if settings.quick else 2,  # the peer takes long: its first round stands for the warm-up
            warmup=0,
        )
    note = f"bare sockets, pages in turn: {best['raw'][0]:.2f} s"
    return Row(row, workload, "s", best["peer"][0], best["ours"][0], floor, goal, note)


def row_7(settings: Settings) -> list[Row]:
    """Fetch and resample: CPU time without latency, wall time with 50 + 100 ms and 16 workers."""
    where = corpus(settings.directory)
    peer, ours = (partial(side, expected=IMAGES, resample=True) for side in (peer_fetch, our_fetch))
    with servers.neurovault(where) as url, pointed_at(url):
        best = interleave({"peer": peer, "ours": ours}, settings, 1 if settings.quick else 3, CLOCKS)
    peer_cpu, our_cpu = best["peer"][0], best["ours"][0]
    note = (
        f"{IMAGES / peer_cpu:.1f} / {IMAGES / our_cpu:.1f} maps per CPU second; wall {best['ours'][1]:.2f} s"
    )
    cpu = Row("7 CPU", "fetch + resample, 0 ms, CPU time", "s", peer_cpu, our_cpu, 7, 10, note)
    with servers.neurovault(where, 0.05, 0.1) as url, pointed_at(url):
        slow = {"peer": peer, "ours": partial(ours, workers=16)}
        best = interleave(slow, settings, 1 if settings.quick else 2, warmup=0)
    wall = Row(
        "7 wall", "fetch + resample, 50 + 100 ms, 16 workers", "s", best["peer"][0], best["ours"][0], 18, 30
    )
    return [cpu, wall]

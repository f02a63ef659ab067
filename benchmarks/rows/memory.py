"""Row 13: memory while many maps are fetched and resampled, each library in a process of its own.

``python -m benchmarks.rows.memory peer|ours URL DIRECTORY IMAGES`` prints the resident sizes, in MB, that it sampled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from contextlib import redirect_stdout
from pathlib import Path

from benchmarks import data, servers
from benchmarks.harness import Row, Settings, fresh

MOST_MB = 250
FLAT_MB = 15
"""Growth from the second quarter of a run to its last that counts as none."""


def row_13(settings: Settings) -> list[Row]:
    """Peak, and growth between the second quarter of the run and the last."""
    images, peer_images = (200, 100) if settings.quick else (1_000, 200)
    with fresh(settings.directory) as corpus, servers.neurovault(data.write_corpus(corpus, images)) as url:
        ours = _sampled(settings, "ours", url, images)
        peer = _sampled(settings, "peer", url, peer_images)
    growth, peer_growth = _growth(ours), _growth(peer)
    passed = growth < FLAT_MB and max(ours) < MOST_MB
    note = (
        f"grew {growth:+.1f} MB over the second half; nilearn {peer_growth:+.1f} MB over {peer_images} images; "
        f"limit {MOST_MB} MB, flat within {FLAT_MB} MB; 8 workers"
    )
    workload = f"peak memory, fetch + resample {images} maps"
    return [Row("13", workload, "MB", max(peer), max(ours), note=note, passed=passed)]


def _growth(sizes: list[float]) -> float:
    quarter = max(1, len(sizes) // 4)
    return max(sizes[-quarter:]) - max(sizes[quarter : 2 * quarter])


def _sampled(settings: Settings, side: str, url: str, images: int) -> list[float]:
    with fresh(settings.directory) as directory:
        command = [sys.executable, "-m", "benchmarks.rows.memory", side, url, str(directory), str(images)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
        )
    sizes: list[float] = json.loads(done.stdout)
    return sizes


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def _watch(done: threading.Event, sizes: list[float]) -> None:
    while not done.wait(0.01):
        sizes.append(_resident_mb())


def _fetch(side: str, url: str, directory: str, images: int) -> None:
    """Fetch with one library, the other not even imported."""
    query = {"data_dir": directory, "max_images": images, "resample": True, "verbose": 0}
    if side == "ours":
        import nvframe

        os.environ["NVFRAME_NEUROVAULT_URL"] = url
        found = nvframe.fetch_neurovault(**query)
    else:
        from benchmarks import sides

        with sides.pointed_at(url):
            found = sides.nilearn.fetch_neurovault(**query)
    if len(found.images) != images:
        raise RuntimeError(f"{len(found.images)} of {images} images came: this is not a measurement")


def _main(side: str, url: str, directory: str, images: str) -> None:
    warnings.simplefilter("ignore")
    sizes: list[float] = []
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(done, sizes))
    watcher.start()
    try:
        with redirect_stdout(sys.stderr):
            _fetch(side, url, directory, int(images))
    finally:
        done.set()
        watcher.join()
    json.dump(sizes, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])

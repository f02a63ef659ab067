"""What 100 000 or 1 000 000 stored images cost: ``python -m benchmarks.scale --images 100000``.

Sidecars are as a fetch leaves them, the maps a few hundred bytes. Each question is asked by a process of its own,
which prints its time, CPU time and peak memory; the table is what `docs/explanation/scale.md` shows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

from benchmarks import data, servers
from benchmarks.harness import fresh
from benchmarks.rows.buckets import _KEYS, BUCKET, _counts

ALL = {"max_images": None}


def questions(n_images: int) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return the queries by what the table calls them, each with the number of images it finds."""
    last = data.FIRST_IMAGE_ID + n_images - 1
    some = [data.FIRST_IMAGE_ID + n_images * part // 10 for part in range(10)]
    return {
        "first query of all, which makes the index": (n_images, ALL),
        "open query, all images": (n_images, ALL),
        "open query, the first 100": (100, {"max_images": 100}),
        "one image by a selective term": (1, {"image_terms": {"id": last}, **ALL}),
        "one collection by its id": (50, {"collection_ids": [n_images // 100], "image_terms": {}, **ALL}),
        "ten images by their ids": (10, {"image_ids": some, "image_terms": {}, **ALL}),
    }


def main() -> None:
    """Write the cache, ask, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, help="where the cache is made, and removed again")
    parser.add_argument(
        "--s3", action="store_true", help="on moto's S3 instead; 10 000 images are enough there"
    )
    parser.add_argument("--ask", nargs=2, metavar=("URL", "QUERY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(_answer(asked.ask[0], json.loads(asked.ask[1]))))
        return
    with fresh(asked.directory) as directory:
        start = time.perf_counter()
        data.write_cache(directory, asked.images, data.tiny_map())
        print(f"{asked.images} images in {asked.images // 50} collections, written in", _s(start), flush=True)
        time.sleep(2.1)  # a younger sidecar is read again whatever an index says
        os.environ["XDG_CACHE_HOME"] = str(directory / "cache")
        if asked.s3:
            _on_s3(directory, asked.images)
        else:
            _table(str(directory), asked.images)


def _table(url: str, n_images: int) -> None:
    print("| query | wall | CPU | peak memory |\n| --- | --- | --- | --- |")
    for name, (expected, query) in questions(n_images).items():
        told = _asked(url, expected, query)
        print(f"| {name} | {told['wall']:.3g} s | {told['cpu']:.3g} s | {told['peak']:.0f} MB |", flush=True)
    index = next(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.sqlite"))
    size = index.stat().st_size
    print(f"\nThe index: {size / 1e6:.0f} MB, {size / n_images:.0f} bytes per image")


def _asked(url: str, expected: int, query: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale", "--ask", url, json.dumps(query)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    told: dict[str, float] = json.loads(done.stdout)
    if told["found"] != expected:
        raise RuntimeError(f"{query} found {told['found']} of {expected} images: this is not a measurement")
    return told


def _answer(url: str, query: dict[str, Any]) -> dict[str, float]:
    """Ask in this process and return how long it took and what memory it needed."""
    import nvframe

    options = {"endpoint_url": os.environ["SCALE_ENDPOINT"]} if "SCALE_ENDPOINT" in os.environ else None
    wall, cpu = time.perf_counter(), time.process_time()
    frame = nvframe.fetch(data_dir=url, mode="offline", storage_options=options, **query)
    return {
        "found": len(frame.images),
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _on_s3(directory: Path, n_images: int) -> None:
    with servers.s3() as endpoint, patch.dict(os.environ, {**_KEYS, "SCALE_ENDPOINT": endpoint}):
        urlopen(Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=10).close()
        start = time.perf_counter()
        for path, key in _files(directory):
            binary = {"Content-Type": "application/octet-stream"}
            body = Request(f"{endpoint}/{BUCKET}/{key}", path.read_bytes(), binary, method="PUT")
            urlopen(body, timeout=10).close()
        print("put in", _s(start), flush=True)
        _counts(endpoint)
        print("| query | wall | CPU | peak memory | requests |\n| --- | --- | --- | --- | --- |")
        for name, (expected, query) in questions(n_images).items():
            told = _asked(f"s3://{BUCKET}", expected, query)
            shown = f"| {name} | {told['wall']:.3g} s | {told['cpu']:.3g} s | {told['peak']:.0f} MB |"
            print(shown, ", ".join(f"{n} {kind}" for kind, n in _counts(endpoint).items()), "|", flush=True)


def _files(directory: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted((directory / "neurovault").rglob("*.*")):
        yield path, str(path.relative_to(directory))


def _s(start: float) -> str:
    return f"{time.perf_counter() - start:.0f} s"


if __name__ == "__main__":
    main()

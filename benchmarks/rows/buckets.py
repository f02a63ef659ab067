"""Row 15: requests that staging to a bucket takes; moto's S3 on 127.0.0.1 counts them."""

from __future__ import annotations

import json
import math
import os
from unittest.mock import patch
from urllib.request import Request, urlopen

import nvframe
from benchmarks import servers
from benchmarks.data import COLLECTIONS
from benchmarks.harness import Row, Settings
from benchmarks.rows.fetching import IMAGES, corpus

BUCKET = "maps"
_KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def row_15(settings: Settings) -> list[Row]:
    """Stage, then ask again for what is staged."""
    with (
        servers.neurovault(corpus(settings.directory)) as url,
        servers.s3() as endpoint,
        patch.dict(os.environ, {**_KEYS, "NVFRAME_NEUROVAULT_URL": url}),
    ):
        urlopen(Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=10).close()
        _counts(endpoint)
        first = _staged(endpoint)
        again = _staged(endpoint)
    # one PUT per asset, per sidecar and per collection; one LIST page per 1 000 keys that are there
    keys = 2 * IMAGES + COLLECTIONS
    wanted = {"PUT": keys, "HEAD": 0}
    passed = all(first.get(kind, 0) == n for kind, n in wanted.items()) and not again.get("HEAD", 0)
    listed = first.get("LIST", 0) <= COLLECTIONS + 1 and again.get("LIST", 0) <= math.ceil(keys / 1000) + 1
    note = f"first {_shown(first)}; again {_shown(again)}; wanted {keys} PUT, 0 HEAD"
    total = float(sum(first.values()))
    return [
        Row("15", f"stage {IMAGES} maps to S3", "requests", None, total, note=note, passed=passed and listed)
    ]


def _staged(endpoint: str) -> dict[str, int]:
    frame = nvframe.fetch(data_dir=f"s3://{BUCKET}/data", storage_options={"endpoint_url": endpoint})
    if len(frame) != IMAGES:
        raise RuntimeError(f"{len(frame)} of {IMAGES} images were staged")
    return _counts(endpoint)


def _counts(endpoint: str) -> dict[str, int]:
    with urlopen(f"{endpoint}{servers.COUNTS}", timeout=10) as answer:
        counts: dict[str, int] = json.load(answer)
    return counts


def _shown(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))

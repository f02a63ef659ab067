"""``python -m benchmarks [row …]``: measure rows and print one table."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.harness import Row, Settings, table

_ROOMS = {
    "fetching": (1, 2, 3, 4, 7),
    "resampling": (5, 6),
    "offline": (8, 9),
    "matrices": (10, 11),
    "importing": (12,),
    "memory": (13,),
    "opening": (14,),
    "buckets": (15,),
}
HOMES = {row: room for room, rows in _ROOMS.items() for row in rows}


def main() -> None:
    """Measure what the command line asks for."""
    options = _options()
    results: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="nvframe-benchmarks-", dir=options.directory) as directory:
        # an index or copies that nvframe keeps for the user belong to this run alone
        os.environ["XDG_CACHE_HOME"] = str(Path(directory) / "user-cache")
        settings = Settings(Path(directory), options.quick, options.full)
        for row in options.rows or sorted(HOMES):
            print(f"row {row} …", file=sys.stderr, flush=True)
            measure = getattr(import_module(f"benchmarks.rows.{HOMES[row]}"), f"row_{row}")
            results += measure(settings)
        place = Path(directory).parent
    if options.json:
        print(json.dumps([row.to_json() for row in results], indent=2))
    else:
        print(f"{table(results)}\n\nData directories on {place}; {os.cpu_count()} cores.")


def _row(text: str) -> int:
    if not text.isdecimal() or int(text) not in HOMES:
        raise argparse.ArgumentTypeError(f"there is no row {text}: rows are {min(HOMES)} to {max(HOMES)}")
    return int(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="nvframe beside nilearn")
    # Not choices=: argparse of Python 3.11 would look for the empty list of "all rows" among them.
    parser.add_argument("rows", nargs="*", type=_row, metavar="row", help="1 to 15; all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller data")
    parser.add_argument("--full", action="store_true", help="row 8 with 100 000 images too")
    parser.add_argument("--directory", help="for corpora and data directories; best in memory")
    return parser.parse_args()


if __name__ == "__main__":
    main()

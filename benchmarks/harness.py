"""What every row shares: settings, fresh directories, interleaving."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Row, table

__all__ = ["Row", "Settings", "fresh", "interleave", "table"]

Side = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Settings:
    """How thoroughly, and where: `directory` holds corpora and one fresh data directory per round."""

    directory: Path
    quick: bool = False
    full: bool = False

    def rounds(self, usual: int) -> int:
        """Return fewer rounds when in a hurry."""
        return max(2, usual // 3) if self.quick else usual


@contextmanager
def fresh(parent: Path) -> Iterator[Path]:
    """Yield an empty directory on the file system of `parent`, removed afterwards."""
    made = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what either library prints or warns of out of the table."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def interleave(
    sides: Mapping[str, Side],
    settings: Settings,
    rounds: int,
    clocks: Sequence[Callable[[], float]] = (time.perf_counter,),
    warmup: int = 1,
) -> dict[str, tuple[float, ...]]:
    """Run the sides in turn, each time with a fresh directory, and return each side's minimum on each clock."""
    best: dict[str, list[float]] = {name: [float("inf")] * len(clocks) for name in sides}
    for turn in range(warmup + rounds):
        for name, side in sides.items():
            with fresh(settings.directory) as directory, _quiet():
                before = [clock() for clock in clocks]
                side(directory)
                took = [clock() - start for clock, start in zip(clocks, before, strict=True)]
            if turn >= warmup:
                best[name] = [min(pair) for pair in zip(best[name], took, strict=True)]
    return {name: tuple(figures) for name, figures in best.items()}

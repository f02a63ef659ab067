"""The measured row, its verdict, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    row, workload, unit : str
        Which, and what its figures are.
    peer, nvframe : float or None
        Figures of the two: smaller is better. None where there is no peer, or nothing to measure.
    floor, goal : float or None
        Ratios peer / nvframe to reach; with `absolute` the most that nvframe may take.
    note : str
        What else was seen.
    passed : bool or None
        The verdict where neither ratio nor limit gives it.
    missing : str
        What is not built yet, where nothing could be measured.
    absolute : bool
        Whether floor and goal are figures instead of ratios.
    """

    row: str
    workload: str
    unit: str = "s"
    peer: float | None = None
    nvframe: float | None = None
    floor: float | None = None
    goal: float | None = None
    note: str = ""
    passed: bool | None = None
    missing: str = ""
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better nvframe is."""
        return self.peer / self.nvframe if self.peer and self.nvframe else None

    @property
    def verdict(self) -> str:
        """Where the figure stands between floor and goal."""
        if self.missing:
            return f"not built yet: {self.missing}"
        if self.passed is not None:
            return "goal" if self.passed else "BELOW FLOOR"
        if self.floor is None or self.goal is None:
            return "for information"
        if self.absolute and self.nvframe is not None:
            return (
                "goal"
                if self.nvframe < self.goal
                else "floor"
                if self.nvframe < self.floor
                else "BELOW FLOOR"
            )
        ratio = self.ratio or 0.0
        return "goal" if ratio >= self.goal else "floor" if ratio >= self.floor else "BELOW FLOOR"

    def to_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict}


_COLUMNS = ("row", "workload", "peer", "nvframe", "ratio", "floor", "goal", "verdict", "note")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_COLUMNS))]
    rule = tuple("-" * width for width in widths)
    padded = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (lines[0], rule, *lines[1:])
    )
    return "\n".join(f"| {line} |" for line in padded)


def _cells(row: Row) -> tuple[str, ...]:
    times, limit = (lambda n: "–" if n is None else f"{n:g}×"), (lambda n: _figure(n, row.unit))
    bound = limit if row.absolute else times
    ratio = "–" if row.ratio is None else f"{row.ratio:.1f}×"
    figures = (_figure(row.peer, row.unit), _figure(row.nvframe, row.unit), ratio)
    return (row.row, row.workload, *figures, bound(row.floor), bound(row.goal), row.verdict, row.note)


def _figure(number: float | None, unit: str) -> str:
    return "–" if number is None else f"{number:.3g} {unit}"

"""Row 12: what an import costs, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Row, Settings, interleave

PEER = "from nilearn.datasets import fetch_neurovault"
OURS = "import nvframe"
COMPAT = "from nvframe import fetch_neurovault"
_PEAK = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def row_12(settings: Settings) -> list[Row]:
    """Wall time of a process that only imports, and its peak memory."""
    code = {"peer": PEER, "ours": OURS, "compat": COMPAT, "bare": "pass"}
    sides = {name: lambda directory, line=line: _run(line) for name, line in code.items()}
    best = {name: figures[0] for name, figures in interleave(sides, settings, settings.rounds(10)).items()}
    peak = {name: int(_run(f"{line}\n{_PEAK}")) / 1024 for name, line in code.items()}
    time_note = f"a bare interpreter {best['bare']:.3f} s; `{COMPAT}` {best['compat']:.3f} s"
    size_note = f"a bare interpreter {peak['bare']:.0f} MB; `{COMPAT}` {peak['compat']:.0f} MB"
    return [
        Row("12 time", f"`{OURS}`, whole process", "s", best["peer"], best["ours"], 10, 20, time_note),
        Row("12 memory", "peak memory after it", "MB", peak["peer"], peak["ours"], 4, 5, size_note),
    ]


def _run(code: str) -> str:
    # from the directory above, so that the imported package is the one measured elsewhere
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout

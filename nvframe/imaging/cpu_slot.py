"""Turns at the processors: more threads that compute take the caches and the interpreter's lock from each other."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Python 3.13 knows how many processors this process may use, and earlier ones how many there are.
_PROCESSORS = getattr(os, "process_cpu_count", os.cpu_count)() or 1

_turns = threading.BoundedSemaphore(_PROCESSORS)


def _renew() -> None:
    """Have every turn free: in a forked process nobody is left to end those that were taken."""
    global _turns
    _turns = threading.BoundedSemaphore(_PROCESSORS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@contextmanager
def turn() -> Iterator[None]:
    """Wait until a processor is free, and keep it for the length of the block.

    Eight workers with a turn each on two processors resample a tenth faster than eight at once (row 7 of
    ``benchmarks/README.md``); what they receive, inflate and store meanwhile needs no turn.
    """
    with _turns:
        yield

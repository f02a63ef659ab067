"""Turns at the processors: no more at once than there are, and none lost to a fork."""

import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from nvframe.imaging import cpu_slot as turns
from nvframe.imaging.cpu_slot import turn


def test_no_more_compute_at_once_than_there_are_processors():
    inside, most, lock = [], [], threading.Lock()

    def compute(number):
        with turn():
            with lock:
                inside.append(number)
                most.append(len(inside))
            with lock:
                inside.remove(number)

    with ThreadPoolExecutor(turns._PROCESSORS + 4) as pool:
        list(pool.map(compute, range(200)))
    assert len(most) == 200
    assert max(most) <= turns._PROCESSORS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_waits_for_nobody():
    with ExitStack() as taken:
        for _ in range(turns._PROCESSORS):
            taken.enter_context(turn())
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # other threads of the test run are of no matter
            child = os.fork()
        if child == 0:
            signal.alarm(20)
            with turn():
                os._exit(0)
        _, status = os.waitpid(child, 0)
    assert status == 0

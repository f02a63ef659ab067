"""When to ask a server again, and when to leave it alone."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nvframe.errors import DownloadError

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try again, and after which pauses.

    Parameters
    ----------
    tries : int, default=4
        Attempts where trying again makes sense.
    backoff : float, default=0.5
        Seconds before the second attempt; doubles with each further one.

    Examples
    --------
    >>> Retry(tries=2)(lambda: "answer")
    'answer'
    """

    tries: int = 4
    backoff: float = 0.5

    def __call__(self, attempt: Callable[[], T]) -> T:
        """Return what `attempt` returns; try again after retryable DownloadErrors."""
        for n in range(1, self.tries):
            try:
                return attempt()
            except DownloadError as error:
                wait = self.pause(n, error)
                if wait is None:
                    raise
                log.info("%s; trying again in %.1f s (%d of %d)", error, wait, n + 1, self.tries)
                time.sleep(wait)
        return attempt()

    def pause(self, n: int, error: DownloadError) -> float | None:
        """Return the seconds to wait after failed attempt `n`; None where another makes no sense."""
        asked = error.retry_after or 0.0
        if not error.retryable or asked > MAX_WAIT_SECONDS:
            return None
        # Jitter keeps many workers from coming back at one moment.
        wait = self.backoff * 2 ** (n - 1) * (1 + random.random() / 4)  # noqa: S311 - no secret
        return float(min(max(wait, asked), MAX_WAIT_SECONDS))


class Breaker:
    """Counts failed attempts in a row per host, so that a dead host is not asked for every image.

    Parameters
    ----------
    attempts : int
        After that many in a row no further request goes to the host.
    """

    def __init__(self, attempts: int) -> None:
        self._limit = attempts
        # Files and metadata apart: a server may answer for its lists and still have lost its files.
        self._in_a_row: defaultdict[tuple[str, bool], int] = defaultdict(int)
        self._causes: dict[str, DownloadError] = {}
        self._lock = threading.Lock()

    def check(self, host: str) -> None:
        """Raise DownloadError if `host` has failed too often."""
        if max(self._in_a_row[host, is_file] for is_file in (True, False)) >= self._limit:
            raise DownloadError(
                f"no further request to {host} in this call: {self._limit} in a row failed "
                f"({self._causes[host]}); try again later",
                retryable=True,
                retry_after=math.inf,  # a later call may succeed, not a later attempt of this one
            )

    def note(self, host: str, error: DownloadError | None = None, is_file: bool = True) -> None:
        """Count a connection error or 5xx; a success, or any other answer, shows a living host."""
        lost = error is not None and error.retryable and (error.status is None or error.status >= 500)
        if error is not None and error.status == 500 and not is_file:
            lost = False  # one row that the server cannot render does this to a list
        key = (host, is_file)
        with self._lock:
            if error is not None and lost:
                self._causes[host] = error
            self._in_a_row[key] = self._in_a_row[key] + 1 if lost else 0

    def __reduce__(self) -> tuple[type[Breaker], tuple[int]]:
        # Each process counts for itself: a lock does not travel.
        return Breaker, (self._limit,)

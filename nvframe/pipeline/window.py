"""A bounded, ordered window over futures: what keeps a limit from downloading too much."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Window(Generic[Item, Result]):
    """Submits items so that successes plus unfinished submissions never exceed what is wanted.

    Parameters
    ----------
    submit : callable
        Item to a future, or to its result where nothing has to be done.
    succeeded : callable
        Whether a result counts towards `wanted`; a failure frees its slot.
    wanted : int or None
        How many successes to stop at; ``None`` for all.
    in_flight : int
        How many unfinished submissions there may be at once.
    completed : callable
        Called with each result as it completes, before its turn.
    """

    def __init__(
        self,
        submit: Callable[[Item], Future[Result] | Result],
        succeeded: Callable[[Result], bool],
        wanted: int | None,
        in_flight: int,
        completed: Callable[[Result], object] = lambda result: None,
    ) -> None:
        self._submit = submit
        self._succeeded = succeeded
        self._wanted = wanted
        self._in_flight = in_flight
        self._completed = completed
        self._successes = 0
        self._turns: deque[Future[Result] | Result] = deque()
        self._running: set[Future[Result]] = set()

    def run(self, items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in the order of `items`; pulls an item only when there is a slot for it."""
        source = iter(items)
        exhausted = False
        while True:
            # What is ready goes out first: the caller may want to stop.
            if self._turns:
                yield from self._ready()
            if not exhausted and self._has_slot():
                try:
                    turn = self._submit(next(source))
                except StopIteration:
                    exhausted = True
                    continue
                if isinstance(turn, Future):
                    self._running.add(turn)
                    self._turns.append(turn)
                    continue
                self._finish(turn)
                if self._turns:
                    self._turns.append(turn)
                else:
                    yield turn  # nothing is before it: stored images, of which there may be very many
            elif self._running:
                self._collect()
            else:
                return

    def _has_slot(self) -> bool:
        running = len(self._running)
        within_limit = self._wanted is None or self._successes + running < self._wanted
        return running < self._in_flight and within_limit

    def _collect(self) -> None:
        done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
        for future in done:
            self._finish(future.result())

    def _finish(self, result: Result) -> None:
        self._successes += self._succeeded(result)
        self._completed(result)

    def _ready(self) -> Iterator[Result]:
        while self._turns:
            turn = self._turns[0]
            if isinstance(turn, Future) and turn in self._running:
                return
            self._turns.popleft()
            yield turn.result() if isinstance(turn, Future) else turn

"""A bounded, ordered window over futures: what keeps a limit from downloading too much."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Generic, NoReturn, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def _raised(item: object, error: BaseException) -> NoReturn:
    raise error


class Window(Generic[Item, Result]):
    """Submits items so that successes plus unfinished submissions never exceed what is wanted.

    Parameters
    ----------
    submit : callable
        Item to a future, or to its result where nothing has to be done.
    completed : callable
        Called with each result as it completes, before its turn; tells whether it counts towards `wanted`: a failure
        frees its slot.
    wanted : int or None
        How many successes to stop at; ``None`` for all.
    in_flight : int
        How many unfinished submissions there may be at once.
    lost : callable
        Item and the error of its future to a result, or raises: an error of one future need not cost the others.
    must_wait : callable
        Whether nothing more may be submitted until results that wait for their turn have been handed on.
    """

    def __init__(
        self,
        submit: Callable[[Item], Future[Result] | Result],
        completed: Callable[[Result], bool],
        wanted: int | None,
        in_flight: int,
        lost: Callable[[Item, BaseException], Result] = _raised,
        must_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self._submit = submit
        self._wanted = math.inf if wanted is None else wanted
        self._in_flight = in_flight
        self._completed = completed
        self._lost = lost
        self._must_wait = must_wait
        self._successes = 0
        self._turns: deque[Future[Result] | Result] = deque()
        self._running: dict[Future[Result], Item] = {}
        self._results: dict[Future[Result], Result] = {}

    def run(self, items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in the order of `items`; pulls an item only when there is a slot for it.

        Where the caller stops before the end, what has not begun is cancelled.
        """
        try:
            yield from self._run(iter(items))
        finally:
            for future in self._running:
                future.cancel()

    def _run(self, source: Iterator[Item]) -> Iterator[Result]:
        exhausted = False
        while True:
            # What is ready goes out first: the caller may want to stop.
            if self._turns:
                yield from self._ready()
            running = len(self._running)
            slot = running < self._in_flight and self._successes + running < self._wanted
            if slot and not exhausted and not (running and self._must_wait()):
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                    continue
                turn = self._submit(item)
                if isinstance(turn, Future):
                    self._running[turn] = item
                    self._turns.append(turn)
                    continue
                self._successes += self._completed(turn)
                if self._turns:
                    self._turns.append(turn)
                else:
                    yield turn  # nothing is before it: stored images, of which there may be very many
            elif running:
                self._collect()
            else:
                return

    def _collect(self) -> None:
        done, _ = wait(set(self._running), return_when=FIRST_COMPLETED)
        for future in done:
            item = self._running.pop(future)
            try:
                result = future.result()
            except BaseException as error:
                result = self._lost(item, error)
            self._results[future] = result
            self._successes += self._completed(result)

    def _ready(self) -> Iterator[Result]:
        while self._turns:
            turn = self._turns[0]
            if isinstance(turn, Future) and turn in self._running:
                return
            self._turns.popleft()
            yield self._results.pop(turn) if isinstance(turn, Future) else turn

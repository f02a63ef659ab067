"""Listings begun before their turn: the next few are on their way while one is read, and the order stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

Source = TypeVar("Source")
Item = TypeVar("Item")


def read_ahead(
    sources: Iterable[Source],
    begin: Callable[[Source], Iterator[Item]],
    ahead: int,
    is_enough: Callable[[list[Source]], bool] = lambda begun: False,
) -> Iterator[tuple[Source, Iterator[Item]]]:
    """Yield each source with its items, the first item of the next ones being fetched meanwhile.

    Parameters
    ----------
    sources : iterable
        In the order wanted.
    begin : callable
        Source to a lazy iterator; only its first item is pulled before its turn, on another thread.
    ahead : int
        How many sources to begin before their turn, at most.
    is_enough : callable, optional
        Whether the sources that wait for their turn, two or more, are likely to be all that will be wanted.

    Yields
    ------
    tuple
        (source, iterator over all its items)

    Examples
    --------
    >>> [(n, list(items)) for n, items in read_ahead([1, 2], lambda n: iter(range(n)), ahead=2)]
    [(1, [0]), (2, [0, 1])]
    """
    waiting: deque[tuple[Source, Future[Iterator[Item]]]] = deque()
    pool = ThreadPoolExecutor(ahead + 1, thread_name_prefix="nvframe-listing")
    try:
        for source in sources:
            waiting.append((source, pool.submit(_begun, begin(source))))
            while len(waiting) > min(ahead, 1):
                if len(waiting) <= ahead and not is_enough([each for each, _ in waiting]):
                    break
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begun(items: Iterator[Item]) -> Iterator[Item]:
    for first in items:
        return chain((first,), items)
    return iter(())


def _next(waiting: deque[tuple[Source, Future[Iterator[Item]]]]) -> tuple[Source, Iterator[Item]]:
    source, begun = waiting.popleft()
    return source, begun.result()

"""Shards handed to workers, a few at a time, and noted as stored one after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nvframe.concurrency.executors import of_one_task, own_threads, submitted
from nvframe.concurrency.window import Window
from nvframe.console import observers_of
from nvframe.results.zarr.shards import IMAGES, Row, Shard, write_shard
from nvframe.storage.target import Target
from nvframe.types import Failure, FetchEvent

if TYPE_CHECKING:
    from nvframe.contracts import Storage
    from nvframe.results.lattice import Lattice


def shards_of(
    rows: Sequence[Row],
    stored: Sequence[bool],
    storage: Storage,
    lattice: Lattice,
    positions: Any,
    fill: float,
) -> list[Shard]:
    """Return one task for each shard that lacks an image.

    Parameters
    ----------
    rows : sequence of Row
        Images that may be written.
    stored : sequence of bool
        For each row of the Zarr, whether it holds its image already.
    storage, lattice, positions, fill
        As in `Shard`.
    """
    missing = defaultdict(list)
    for row in rows:
        if not stored[row.number]:
            missing[row.number // IMAGES].append(row)
    shards = []
    for number in sorted(missing):
        start, stop = number * IMAGES, min((number + 1) * IMAGES, len(stored))
        keeps = any(stored[start:stop])
        shards.append(Shard(start, stop, tuple(missing[number]), keeps, storage, lattice, positions, fill))
    return shards


def filled(
    target: Target,
    shards: Sequence[Shard],
    note: Callable[[list[int]], object],
    *,
    executor: Any,
    max_workers: int,
    progress: Any,
) -> list[Failure]:
    """Have the shards written and return what was lost.

    Parameters
    ----------
    target : Target
        The Zarr.
    shards : sequence of Shard
        No two of the same images: whole shards are what workers share the work by.
    note : callable
        Called on this thread with the rows of each shard once they are stored.
    executor : concurrent.futures.Executor or None
        None for threads.
    max_workers : int
        Shards in work at once.
    progress : bool or callable
        As for `nvframe.fetch`.
    """
    lost: list[Failure] = []
    done = 0

    def submit(shard: Shard) -> Any:
        return submitted(pool, write_shard, target, shard)

    own = nullcontext(executor) if executor is not None else own_threads(max_workers, "nvframe-zarr")
    with own as pool, observers_of(progress, "writing") as observers:

        def tell(event: FetchEvent) -> None:
            for observer in observers:
                observer(event)

        wanted = sum(len(shard.rows) for shard in shards)
        tell(FetchEvent("start", wanted=wanted))
        window: Window[Shard, Any] = Window(submit, lambda result: True, None, max_workers, lost=_unwritten)
        for shard, failures in zip(shards, window.run(shards), strict=True):
            without = {(failure.collection_id, failure.image_id) for failure in failures}
            written = [row for row in shard.rows if (row.collection_id, row.image_id) not in without]
            note([row.number for row in written])
            lost += failures
            for row in written:
                done += 1
                tell(FetchEvent("image", done, len(lost), wanted, row.image_id))
            for failure in failures:
                tell(FetchEvent("failure", done, len(lost), wanted, failure.image_id, failure=failure))
        tell(FetchEvent("finish", done, len(lost), wanted))
    return lost


def _unwritten(shard: Shard, error: BaseException) -> list[Failure]:
    """Return what became of a shard whose worker gave no answer, or raise what concerns all shards."""
    lost = replace(Failure.of(of_one_task(error), "store", "executor"), retryable=True)
    return [
        replace(lost, image_id=row.image_id, collection_id=row.collection_id, url=row.asset.key)
        for row in shard.rows
    ]

"""What a person at a terminal sees of a call: a progress bar, and log lines for its length."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nvframe.types import FetchEvent

_LEVELS = (logging.CRITICAL, logging.WARNING, logging.INFO, logging.DEBUG)


@contextmanager
def log_to_console(verbose: int) -> Iterator[None]:
    """Show nvframe's log on standard error inside a ``with`` block.

    Parameters
    ----------
    verbose : int
        0 for nothing, 1 for what was lost, 2 for what is done, 3 and more for every step.
    """
    if verbose <= 0:
        yield
        return
    logger = logging.getLogger("nvframe")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[nvframe] %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class ProgressBar:
    """Draws work as one line on standard error: images, failures, bytes; nothing where that is not a terminal."""

    def __init__(self, doing: str = "fetching") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images, {task.fields[megabytes]:.1f} MB, {task.fields[failed]} failed"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._doing = doing
        self._bytes = 0
        self._task: Any = None

    def __call__(self, event: FetchEvent) -> None:
        """Redraw for one event."""
        if event.kind == "start":
            self._bar.start()
            self._task = self._bar.add_task(self._doing, total=event.wanted, megabytes=0.0, failed=0)
            return
        self._bytes += event.nbytes
        total = event.done if event.kind == "finish" else event.wanted
        self._bar.update(
            self._task, completed=event.done, total=total, megabytes=self._bytes / 1e6, failed=event.failed
        )

    def close(self) -> None:
        """Leave the line as it is."""
        self._bar.stop()


@contextmanager
def observers_of(progress: Any, doing: str = "fetching") -> Iterator[list[Callable[[FetchEvent], object]]]:
    """Yield whom a call tells of its progress: the caller's function, a bar for True, else nobody."""
    if callable(progress):
        yield [progress]
    elif progress:
        bar = ProgressBar(doing)
        try:
            yield [bar]
        finally:
            bar.close()
    else:
        yield []

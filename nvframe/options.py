"""Options that reach every call below them, the nilearn-compatible ones included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Options:
    """What `set_options` can set; ``None`` leaves the choice to the call.

    Attributes
    ----------
    executor : object or None
        Anything with `submit` of `concurrent.futures.Executor`.
    max_workers : int or None
        Threads of nvframe's own pool, and images in flight.
    storage_options : Mapping or None
        For the storage backend of a remote `data_dir`.
    progress : bool or callable or None
        True draws a bar; a callable gets each `nvframe.types.FetchEvent`.
    retry : nvframe.http.client.Retry or None
        How often, and after which pauses, a request is tried again.
    index : {"cache", "beside", "off"}
        Where the index of a dataset's sidecars is kept, from which a later call knows what did not change: in
        your cache directory; as ``.nvframe-index.sqlite`` beside the data, for many readers of one file
        system; or nowhere.
    """

    executor: Any = None
    max_workers: int | None = None
    storage_options: Mapping[str, Any] | None = None
    progress: Any = None
    retry: Any = None
    index: Literal["cache", "beside", "off"] = "cache"

    def __post_init__(self) -> None:
        if self.index not in ("cache", "beside", "off"):
            raise ValueError(f"index must be 'cache', 'beside' or 'off', got {self.index!r}")


_DEFAULTS = Options()
_current: ContextVar[Options] = ContextVar("nvframe_options", default=_DEFAULTS)


def current_options() -> Options:
    """Return the options in force here."""
    return _current.get()


@contextmanager
def set_options(**options: Any) -> Iterator[None]:
    """Set options for the calls inside a ``with`` block.

    Parameters
    ----------
    **options
        ``executor``, ``max_workers``, ``storage_options``, ``progress``, ``retry`` and ``index``: see `Options`.

    Raises
    ------
    TypeError
        For an option that does not exist.
    ValueError
        For an `index` that is not one of the three.

    Examples
    --------
    >>> import nvframe
    >>> with nvframe.set_options(max_workers=16):
    ...     print(nvframe.options.current_options().max_workers)
    16
    """
    token = _current.set(replace(_current.get(), **options))
    try:
        yield
    finally:
        _current.reset(token)

"""Errors and warnings; each says what happened, to what, and what to do."""

from __future__ import annotations

import sys
import warnings

NOT_FETCHED = "this frame comes from a search: call its fetch() first"


class NvframeError(Exception):
    """Base of all errors that nvframe raises on purpose."""


class PluginError(NvframeError):
    """A plugin cannot be used."""


class PluginLoadError(PluginError):
    """A plugin's distribution cannot be imported."""


class PluginConflictError(PluginError):
    """Two distributions registered one name for the same kind of plugin."""


class UnknownPluginError(PluginError):
    """No plugin of that kind has that name."""


class SourceError(NvframeError, OSError):
    """A metadata source answered something that cannot be used, or did not answer."""


class DownloadError(NvframeError):
    """Bytes could not be fetched; `retryable` tells whether another try makes sense.

    Parameters
    ----------
    message : str
        What happened.
    retryable : bool, default=False
        True for time-outs, connection errors, 429 and 5xx.
    status : int or None, default=None
        HTTP status, if there was an answer.
    retry_after : float or None, default=None
        Seconds that the server asked to be left alone.
    """

    def __init__(
        self,
        message: str,
        retryable: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[DownloadError], tuple[str, bool, int | None, float | None]]:
        return type(self), (str(self), self.retryable, self.status, self.retry_after)


class IntegrityError(NvframeError):
    """Bytes arrived but are not the image that was promised."""


class StorageError(NvframeError, OSError):
    """A storage backend failed."""


class ProcessingError(NvframeError):
    """An image processor failed."""


class Skip(NvframeError):  # noqa: N818 - a processor's way to decline, not a fault
    """Raised by a processor for an image that it does not apply to."""


class GridMismatchError(NvframeError, ValueError):
    """Images do not lie on one lattice and so cannot stand in one array."""


class AnnotationError(NvframeError):
    """An annotator has nothing for an image, or failed."""


class NvframeWarning(UserWarning):
    """Base of all warnings that nvframe issues."""


class PluginLoadWarning(NvframeWarning):
    """An installed plugin is broken and was left out."""


class PartialResultWarning(NvframeWarning):
    """Some images were lost; counts and the first cause."""


class OfflineWarning(NvframeWarning):
    """The call went on without the network."""


def warn_caller(message: str, category: type[Warning]) -> None:
    """Issue a warning that points at the caller's own line: the first one outside nvframe."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "nvframe":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)

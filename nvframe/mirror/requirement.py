"""The packages that only the mirror needs, and what to say where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nvframe.errors import PluginLoadError


@contextmanager
def mirror_extra() -> Iterator[None]:
    """Turn the ImportError of a missing web package into advice.

    Raises
    ------
    PluginLoadError
        If an import inside the block fails.

    Examples
    --------
    >>> with mirror_extra():
    ...     import no_such_web_server
    Traceback (most recent call last):
    ...
    nvframe.errors.PluginLoadError: the mirror needs no_such_web_server: pip install "nvframe[mirror]"
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "starlette and uvicorn").partition(".")[0]
        raise PluginLoadError(f'the mirror needs {package}: pip install "nvframe[mirror]"') from error

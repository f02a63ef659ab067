"""Every rule about URLs: which are remote, what a local one means, and how to print one without secrets."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_LOCAL_SCHEMES = frozenset({"file", "local"})


def is_remote(location: str) -> bool:
    """Tell a URL from a path."""
    return "://" in location


def protocol_of(url: str) -> str:
    """Return the name under which the storage backend of `url` is registered.

    Examples
    --------
    >>> protocol_of("/data/maps"), protocol_of("s3://bucket/maps")
    ('local', 's3')
    """
    scheme, separator, _ = url.partition("://")
    return "local" if not separator or scheme in _LOCAL_SCHEMES else scheme


def local_root(url: str) -> Path:
    """Return the absolute path that a path or a ``file://`` URL means.

    Raises
    ------
    ValueError
        If the URL has another scheme: it would become a directory with the scheme's name.

    Examples
    --------
    >>> local_root("file:///data/maps").as_posix()
    '/data/maps'
    >>> local_root("memory://maps")
    Traceback (most recent call last):
    ...
    ValueError: not a local path: 'memory://maps'
    """
    scheme, separator, path = url.partition("://")
    if separator and scheme not in _LOCAL_SCHEMES:
        raise ValueError(f"not a local path: {without_secrets(url)!r}")
    return Path(path if separator else url).expanduser().absolute()


def strip_credentials(url: str) -> str:
    """Return `url`, or a text with URLs in it, without users and passwords.

    Examples
    --------
    >>> strip_credentials("sftp://me:s3cr3t@host/maps")
    'sftp://host/maps'
    """
    return re.sub(r"(?<=://)[^/\s]*@", "", url)


def without_secrets(url: str) -> str:
    """Return `url` without user, password and query: fit for a log.

    Examples
    --------
    >>> without_secrets("https://me:pw@host/a?token=x")
    'https://host/a'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.sub(r"(?<=://)[^/]*@", "", url).partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

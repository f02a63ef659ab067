"""Storage keys: paths below a storage root that cannot leave it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from nvframe.errors import StorageError

STAGING = ".nvframe-staging"
"""Directory below a local root where files are written before they get their name."""

_USUAL_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*+(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*+)*+")
"""A relative path that cannot leave the root, told without taking it apart."""


def checked_key(key: str) -> str:
    """Return `key`, or raise StorageError if it could leave the root.

    Examples
    --------
    >>> checked_key("collection_1/image_2.nii.gz")
    'collection_1/image_2.nii.gz'
    >>> checked_key("../secret")
    Traceback (most recent call last):
    ...
    nvframe.errors.StorageError: '../secret' is not a valid key
    """
    if _USUAL_KEY.fullmatch(key):
        return key
    parts = PurePosixPath(key).parts
    # One object has one key: "a//b" and "./a/b" would be others to an object store than to a file system.
    odd = key != "/".join(parts) or key.startswith("/") or ".." in parts or "\\" in key or "\0" in key
    if not parts or odd or re.match(r"[A-Za-z]:", key):
        raise StorageError(f"{key!r:.200} is not a valid key")
    return key

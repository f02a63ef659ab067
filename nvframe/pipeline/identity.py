"""What tells one processor's results from another's, so that a stored one is never taken for the wrong one."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from nvframe.cache import layout

if TYPE_CHECKING:
    from nvframe.plugins.discovery import Registered

_MAX_DEPTH = 12


def described(processor: Any, registered: Registered | None, params: Mapping[str, Any]) -> Any:
    """Return what a processor's results depend on, as JSON values.

    Its own account where it has a method ``parameters``; else the caller's parameters where it was made by name;
    else what can be seen of the object: a function's code, defaults and closure, an instance's attributes.
    """
    parameters = getattr(processor, "parameters", None)
    if callable(parameters):
        return plain(parameters())
    return plain(dict(params) if registered is not None else processor)


def identity_of(
    name: str, processor: Any, registered: Registered | None, params: Mapping[str, Any]
) -> tuple[str, Any]:
    """Return one line that stands for a step of a chain, and the JSON values behind it."""
    values = described(processor, registered, params)
    return f"{name} {_version_of(processor, registered)} {layout.digest(values)}", values


def _version_of(processor: Any, registered: Registered | None) -> str:
    version = getattr(processor, "version", None)
    if registered is not None and not registered.builtin:
        return f"{registered.distribution} {version or registered.version}"
    return str(version or "0")


def name_of(processor: Any) -> str:
    """Return the qualified name of a function, or of an object's class."""
    if isinstance(processor, functools.partial):
        return name_of(processor.func)
    named = processor if hasattr(processor, "__qualname__") else type(processor)
    return f"{named.__module__}.{named.__qualname__}"


def plain(value: Any, depth: int = 0) -> Any:
    """Return JSON values that are equal where two values do the same, and differ where they may not.

    Examples
    --------
    >>> plain(lambda img, record: img) == plain(lambda img, record: img)
    True
    >>> plain(lambda img, record: 2) == plain(lambda img, record: 3)
    False
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth == _MAX_DEPTH:
        return repr(type(value))
    parts = _parts(value)
    if isinstance(parts, Mapping):
        return {str(key): plain(part, depth + 1) for key, part in parts.items()}
    return [plain(part, depth + 1) for part in parts] if isinstance(parts, list) else parts


def _parts(value: Any) -> Any:
    """Return what a value is made of: a dict or list to look further into, or a text."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return [str(value.dtype), list(getattr(value, "shape", ())), value.tobytes()]
    if hasattr(value, "dataobj") and hasattr(value, "affine"):
        return _image_digest(value)
    return _parts_of_callable(value) or _parts_of_object(value)


def _image_digest(img: Any) -> str:
    import numpy as np

    from nvframe.imaging.images import digest

    return digest(np.asanyarray(img.dataobj), img.affine)


def _parts_of_callable(value: Any) -> Any:
    if isinstance(value, CodeType):
        return [value.co_code, value.co_names, value.co_consts]
    if isinstance(value, FunctionType):
        closed_over = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        code = None if hasattr(value, "version") else value.__code__  # its author says when it changes
        return [code, value.__defaults__, value.__kwdefaults__, closed_over]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    # classes, built-in functions, modules: known by their names
    return getattr(value, "__qualname__", None)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _parts_of_object(value: Any) -> Any:
    kind = type(value)
    slots = [name for base in kind.__mro__ for name in vars(base).get("__slots__", ())]
    attributes = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    attributes |= getattr(value, "__dict__", {})
    if not attributes and kind.__module__ == "builtins":
        return repr(value)
    call = None if hasattr(value, "version") else vars(kind).get("__call__")
    return [name_of(value), attributes, call] if attributes or call else [name_of(value), str(value)]

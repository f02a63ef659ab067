"""Finds what installed packages register: each entry point alone, so that a broken one costs only itself."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from typing import Any

import pluggy

from nvframe.errors import PluginError, PluginLoadError, PluginLoadWarning, warn_caller
from nvframe.plugins import KINDS, Plugin, hookspecs
from nvframe.types import FetchEvent

Observer = Callable[[FetchEvent], object]


@dataclass(frozen=True, slots=True)
class Registered:
    """A descriptor and where it comes from.

    Attributes
    ----------
    plugin : Plugin
        The descriptor.
    distribution, version : str
        Of the package that registered it.
    """

    plugin: Plugin
    distribution: str
    version: str

    @property
    def builtin(self) -> bool:
        """Whether nvframe itself brings it."""
        return self.distribution == "nvframe"


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of ``nvframe plugins``.

    Attributes
    ----------
    kind, name, distribution, version, summary : str
        What it is and where it comes from; kind and name are empty for a distribution that does not load.
    state : str
        ``ok``, ``shadowed`` by a built-in, ``conflict`` with another distribution, ``disabled`` or ``broken``.
    """

    kind: str
    name: str
    distribution: str
    version: str
    state: str
    summary: str


class Discovery:
    """What installed packages register in an entry-point group, and what is wrong with them.

    Parameters
    ----------
    group : str
        Entry-point group of plugins; observers have one of their own, ``<group>.observers``.
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._lock = threading.RLock()
        self._plugins: list[Registered] | None = None
        self._loading = False
        self._troubled: dict[tuple[str, str], Listed] = {}

    @property
    def troubled(self) -> list[Listed]:
        """Entry points that were left out so far: broken or disabled."""
        return list(self._troubled.values())

    def plugins(self) -> list[Registered]:
        """Return what installed packages register; they are imported once, at the first call."""
        with self._lock:
            if self._plugins is None and not self._loading:  # a plugin may ask while it is imported
                self._loading = True
                try:
                    # All or nothing: where a broken plugin raises, the next call looks at all of them again.
                    self._plugins = list(self._found())
                finally:
                    self._loading = False
            return self._plugins or []

    def observers(self) -> list[Observer]:
        """Return the installed observers of fetches."""
        with self._lock:
            points = _observer_points(f"{self._group}.observers", tuple(sys.path))
            return [observer for point in points for observer in self._observers(point)]

    def _found(self) -> Iterator[Registered]:
        seen: set[tuple[str, str, str]] = set()
        points, unreadable = _entry_points(self._group)
        for owner, problem in unreadable:
            if not _is_disabled(owner[0], owner[0]):
                self._report(owner[0], owner, problem)
        for point in points:
            for registered in self._registered(point):
                plugin = registered.plugin
                key = (registered.distribution, plugin.kind, plugin.name)
                if key in seen:
                    twice = PluginError(f"{plugin.kind} {plugin.name!r} is registered twice")
                    self._report(point.name, _owner(point.dist), twice)
                    continue
                seen.add(key)
                _trace(f"found {plugin.kind} {plugin.name!r}")
                yield registered

    def _registered(self, point: metadata.EntryPoint) -> Iterator[Registered]:
        """Yield what an entry point's module registers; one broken hookimpl costs only its own plugins."""
        for kind, hookimpl in self._guarded(point, lambda: list(hookimpls(self._load(point)))):
            for plugin in self._guarded(point, lambda k=kind, h=hookimpl: list(yielded(k, h))):  # type: ignore[misc]
                yield Registered(plugin, *_owner(point.dist))

    def _observers(self, point: metadata.EntryPoint) -> list[Observer]:
        return self._guarded(point, lambda: observers_in(self._load(point)))

    def _guarded(self, point: metadata.EntryPoint, call: Callable[[], list[Any]]) -> list[Any]:
        """Return what `call` returns; nothing, and a remembered warning, where it raises."""
        try:
            return call()
        except (Exception, SystemExit) as error:  # a module may try to end the process that imports it
            self._report(point.name, _owner(point.dist), error)
            return []

    def _load(self, point: metadata.EntryPoint) -> Any:
        """Return an entry point's module; None where it is disabled."""
        distribution, version = owner = _owner(point.dist)
        if _is_disabled(point.name, distribution):
            self._remember(point.name, owner, "disabled", "")
            return None
        _trace(f"loading {point.value} of {distribution} {version}")
        return point.load()

    def _report(self, name: str, owner: tuple[str, str], error: BaseException) -> None:
        distribution, version = owner
        problem = f"{type(error).__name__}: {error}"
        if os.environ.get("NVFRAME_STRICT_PLUGINS") == "1":
            raise PluginLoadError(f"plugin {name!r} of {distribution} {version}: {problem}") from error
        if self._remember(name, owner, "broken", problem):
            warn_caller(
                f"plugin {name!r} of {distribution} {version} was left out: {problem}",
                PluginLoadWarning,
            )

    def _remember(self, name: str, owner: tuple[str, str], state: str, problem: str) -> bool:
        """Remember why an entry point is left out, all reasons in one row; tell whether this is the first."""
        distribution, version = owner
        known = self._troubled.get((name, distribution))
        row = known or Listed("", name, distribution, version, state, problem)
        if problem not in row.summary:
            row = replace(row, summary=f"{row.summary}; {problem}")
        self._troubled[name, distribution] = row
        return known is None


def hookimpls(module: Any) -> Iterator[tuple[type[Plugin], Callable[[], Any]]]:
    """Yield the kind and the function of each hookimpl in a module, to be called alone."""
    if module is None:
        return
    hooks = _manager(module).hook
    for kind in KINDS:
        for hookimpl in getattr(hooks, f"nvframe_{kind.plural}").get_hookimpls():
            yield kind, hookimpl.function


def yielded(kind: type[Plugin], function: Callable[[], Any]) -> Iterator[Plugin]:
    """Yield what a hookimpl yields, or raise PluginError where that is not a descriptor of its kind."""
    for plugin in function():
        if not isinstance(plugin, kind):
            raise PluginError(f"nvframe_{kind.plural} yielded {plugin!r}, not a {kind.__name__}")
        yield plugin


def observers_in(module: Any) -> list[Observer]:
    """Return a module's observers; one may leave out arguments that it has no use for."""
    if module is None:
        return []
    found = _manager(module).hook.nvframe_fetch_event.get_hookimpls()
    return [each.function if each.argnames else _deaf(each.function) for each in found]


def _deaf(function: Callable[[], object]) -> Observer:
    return lambda event: function()


def _manager(module: Any) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    return manager


Unreadable = list[tuple[tuple[str, str], Exception]]


def _entry_points(group: str) -> tuple[list[metadata.EntryPoint], Unreadable]:
    """Return a group's entry points, and the packages, with the reason, whose list of them cannot be read."""
    unreadable: Unreadable = []
    try:
        points = list(metadata.entry_points(group=group))
    except Exception:  # one package's file is enough: look at each alone, which takes longer
        points = list(_one_by_one(group, unreadable))
    return sorted(points, key=lambda point: (point.name, point.value)), unreadable


def _one_by_one(group: str, unreadable: Unreadable) -> Iterator[metadata.EntryPoint]:
    seen: set[str] = set()
    for distribution in metadata.distributions():
        owner = _owner(distribution)
        name = _canonical(owner[0])
        if name in seen:  # the first on the path is the one that is imported
            continue
        seen.add(name)
        try:
            yield from distribution.entry_points.select(group=group)
        except Exception as error:
            unreadable.append((owner, PluginError(f"its entry points cannot be read: {error}")))


@lru_cache(maxsize=8)
def _observer_points(group: str, path: tuple[str, ...]) -> list[metadata.EntryPoint]:
    """Look through `sys.path` once, not at each fetch: that takes longer than a fetch of what is stored."""
    return _entry_points(group)[0]


def _owner(distribution: metadata.Distribution | None) -> tuple[str, str]:
    """Return a distribution's name and version; one that is half uninstalled has none."""
    try:
        said: Any = distribution.metadata if distribution else {}
    except Exception:  # as the standard library's successor says it, where somebody has imported that
        said = {}
    return said.get("Name") or "unknown", said.get("Version") or ""


def _is_disabled(name: str, distribution: str) -> bool:
    disabled = {part.strip() for part in os.environ.get("NVFRAME_DISABLE_PLUGINS", "").split(",")}
    return bool(disabled & {"*", name}) or _canonical(distribution) in map(_canonical, disabled)


def _canonical(distribution: str) -> str:
    """Return a distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _trace(message: str) -> None:
    if os.environ.get("NVFRAME_TRACE_PLUGINS") == "1":
        print(f"nvframe plugins: {message}", file=sys.stderr)

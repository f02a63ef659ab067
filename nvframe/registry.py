"""Which plugins exist, found by name: a typed facade over pluggy that nobody else looks behind."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from typing import Any

import pluggy

from nvframe import __version__, hookspecs
from nvframe.errors import (
    PluginConflictError,
    PluginError,
    PluginLoadError,
    PluginLoadWarning,
    UnknownPluginError,
    warn_caller,
)
from nvframe.plugins import KINDS, Plugin, StorageBackendPlugin
from nvframe.storage import protocol_of
from nvframe.types import FetchEvent

BUILTINS = (
    "nvframe.storage",
    "nvframe.sources.neurovault.plugin",
    "nvframe.processing.plugin",
    "nvframe.results.plugin",
)
"""Modules of the built-in plugin sets: the one place where the core names NeuroVault."""

_OWN = ("nvframe", __version__)
_standing_in: list[Registry] = []


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
        return self.distribution == _OWN[0]


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


class Registry:
    """Finds plugins by kind and name: built-ins first, installed ones only on a miss or for a listing.

    Parameters
    ----------
    builtins : tuple of str, optional
        Modules with hookimpls.
    group : str, default="nvframe"
        Entry-point group of installed plugins.

    Examples
    --------
    >>> from nvframe.plugins import ImageProcessorPlugin
    >>> Registry().get(ImageProcessorPlugin, "resample-3mm").distribution
    'nvframe'
    """

    def __init__(self, builtins: tuple[str, ...] = BUILTINS, group: str = hookspecs.PROJECT) -> None:
        self._group = group
        self._found: dict[tuple[str, str], list[Registered]] = {}
        self._broken: dict[tuple[str, str], Listed] = {}
        self._installed_loaded = False
        for name in builtins:
            for kind, hookimpl in _hookimpls(importlib.import_module(name)):
                for plugin in _yielded(kind, hookimpl):
                    self._add(Registered(plugin, *_OWN))

    def get(self, kind: type[Plugin], name: str) -> Registered:
        """Return the plugin of that kind and name.

        Raises
        ------
        UnknownPluginError
            If there is none; the nearest names and the plugins that failed to load are named.
        PluginConflictError
            If two installed distributions registered it.
        """
        found = self._lookup(kind, name)
        if not found:
            raise UnknownPluginError(self._unknown(kind, name))
        if not found[0].builtin and len(found) > 1:
            owners = " and ".join(sorted({f"{r.distribution} {r.version}" for r in found}))
            raise PluginConflictError(
                f"{kind.kind} {name!r} is registered by {owners}: uninstall one, or disable it with "
                "NVFRAME_DISABLE_PLUGINS"
            )
        return found[0]

    def register(self, *plugins: Any, distribution: str = "registered", version: str = "0") -> None:
        """Take descriptors, and modules with hook implementations, that no installed package brings.

        Parameters
        ----------
        *plugins : Plugin or module
            What to take.
        distribution, version : str
            As what they are listed.

        Raises
        ------
        PluginError
            If a hook implementation yields something else than its kind of descriptor.
        """
        for each in plugins:
            found = [each] if isinstance(each, Plugin) else _all_of(each)
            for plugin in found:
                self._add(Registered(plugin, distribution, version))

    def _lookup(self, kind: type[Plugin], name: str) -> list[Registered]:
        if (kind.kind, name) not in self._found:
            self._load_installed()
        return self._found.get((kind.kind, name), [])

    def names(self, kind: type[Plugin]) -> list[str]:
        """Return the names of all plugins of that kind, installed ones included."""
        self._load_installed()
        return sorted(name for found_kind, name in self._found if found_kind == kind.kind)

    def build(
        self, kind: type[Plugin], selector: Any, **context: Any
    ) -> tuple[Any, Registered | None, dict[str, Any]]:
        """Return (object, where it comes from, the user's parameters) for a selector.

        Parameters
        ----------
        kind : type
            Class of the descriptor.
        selector : str, (str, dict) or object
            A name, a name with parameters, or an object that fulfils the contract itself.
        **context
            What the call knows, such as ``timeout``: passed on where the factory takes it.

        Raises
        ------
        PluginError
            If the name is unknown or the parameters do not fit; before any request.
        """
        if isinstance(selector, str):
            selector = (selector, {})
        if not isinstance(selector, tuple):
            return selector, None, {}
        name, params = _checked_selector(kind, selector)
        registered = self.get(kind, name)
        factory = load_factory(registered.plugin)
        taken = {k: v for k, v in context.items() if k not in params and _takes(factory, k)}
        check_parameters(registered.plugin, factory, params)
        return factory(**params, **taken), registered, dict(params)

    def storage(self, url: str, storage_options: Mapping[str, Any] | None = None) -> Any:
        """Return the storage at `url`, from the backend of its protocol or else fsspec's."""
        name = protocol_of(url)
        kind = StorageBackendPlugin
        plugin = self.get(kind, name if self._lookup(kind, name) else "fsspec").plugin
        factory, options = load_factory(plugin), storage_options or {}
        check_parameters(plugin, factory, {"url": url, **options})
        return factory(url, **options)

    def observers(self) -> list[Callable[[FetchEvent], object]]:
        """Return the installed observers of fetches; loads their entry-point group."""
        observers = []
        for point in _observer_points(tuple(sys.path)):
            module = self._load(point)
            if module is not None:
                hook = getattr(module, "nvframe_fetch_event", None)
                observers += [hook] if callable(hook) else []
        return observers

    def listing(self) -> list[Listed]:
        """Return a row for each plugin, usable or not."""
        self._load_installed()
        rows = [_row(r, found) for found in self._found.values() for r in found]
        return sorted([*rows, *self._broken.values()], key=lambda row: (row.kind, row.name, row.distribution))

    def _add(self, registered: Registered) -> None:
        key = (registered.plugin.kind, registered.plugin.name)
        self._found.setdefault(key, []).append(registered)

    def _load_installed(self) -> None:
        if self._installed_loaded:
            return
        # All or nothing: where a broken plugin raises, the next call looks at all of them again.
        found = [registered for point in _entry_points(self._group) for registered in self._registered(point)]
        for registered in found:
            self._add(registered)
        self._installed_loaded = True

    def _load(self, point: metadata.EntryPoint) -> Any:
        distribution, version = _owner(point)
        if _is_disabled(point.name, distribution):
            self._broken[point.name, distribution] = Listed(
                "", point.name, distribution, version, "disabled", ""
            )
            return None
        _trace(f"loading {point.value} of {distribution} {version}")
        try:
            return point.load()
        except Exception as error:
            self._report_broken(point, error)
            return None

    def _registered(self, point: metadata.EntryPoint) -> Iterator[Registered]:
        """Yield what an entry point's module registers; one broken hookimpl costs only its own plugins."""
        module = self._load(point)
        if module is None:
            return
        try:
            hookimpls = list(_hookimpls(module))
        except Exception as error:
            self._report_broken(point, error)
            return
        for kind, hookimpl in hookimpls:
            try:
                plugins = list(_yielded(kind, hookimpl))
            except Exception as error:
                self._report_broken(point, error)
                continue
            for plugin in plugins:
                _trace(f"found {plugin.kind} {plugin.name!r}")
                yield Registered(plugin, *_owner(point))

    def _report_broken(self, point: metadata.EntryPoint, error: Exception) -> None:
        distribution, version = _owner(point)
        problem = f"{type(error).__name__}: {error}"
        if os.environ.get("NVFRAME_STRICT_PLUGINS") == "1":
            raise PluginLoadError(f"plugin {point.name!r} of {distribution} {version}: {problem}") from error
        known = self._broken.get((point.name, distribution))
        self._broken[point.name, distribution] = Listed(
            "", point.name, distribution, version, "broken", problem
        )
        if known is None:
            warn_caller(
                f"plugin {point.name!r} of {distribution} {version} was left out: {problem}",
                PluginLoadWarning,
            )

    def _unknown(self, kind: type[Plugin], name: str) -> str:
        names = self.names(kind)
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names)}"
        broken = [
            f"{row.distribution} ({row.summary})" for row in self._broken.values() if row.state == "broken"
        ]
        tail = f"; left out because they do not load: {', '.join(broken)}" if broken else ""
        return f"no {kind.kind} is called {name!r}: {hint}{tail}"


def default_registry() -> Registry:
    """Return the registry of this process."""
    return _standing_in[-1] if _standing_in else _own_registry()


@cache
def _own_registry() -> Registry:
    return Registry()


@contextmanager
def installed(registry: Registry) -> Iterator[Registry]:
    """Let `registry` stand in for this process's own while the block runs: for tests."""
    _standing_in.append(registry)
    try:
        yield registry
    finally:
        _standing_in.remove(registry)


def load_factory(plugin: Plugin) -> Callable[..., Any]:
    """Return a descriptor's factory, importing it on first use.

    Raises
    ------
    PluginLoadError
        If it cannot be imported; says what to install.
    """
    if not isinstance(plugin.factory, str):
        return plugin.factory
    module, _, attribute = plugin.factory.partition(":")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        needs = f"install {', '.join(plugin.requires)}" if plugin.requires else str(error)
        raise PluginLoadError(f"{plugin.kind} {plugin.name!r} cannot be loaded: {needs}") from error
    return factory


def _hookimpls(module: Any) -> Iterator[tuple[type[Plugin], Callable[[], Any]]]:
    """Yield the kind and the function of each hookimpl in a module, to be called alone."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    for kind in KINDS:
        for hookimpl in getattr(manager.hook, f"nvframe_{kind.plural}").get_hookimpls():
            yield kind, hookimpl.function


def _yielded(kind: type[Plugin], function: Callable[[], Any]) -> Iterator[Plugin]:
    for plugin in function():
        if not isinstance(plugin, kind):
            raise PluginError(f"nvframe_{kind.plural} yielded {plugin!r}, not a {kind.__name__}")
        yield plugin


def _all_of(module: Any) -> list[Plugin]:
    return [plugin for kind, hookimpl in _hookimpls(module) for plugin in _yielded(kind, hookimpl)]


def _entry_points(group: str) -> list[metadata.EntryPoint]:
    return sorted(metadata.entry_points(group=group), key=lambda point: (point.name, point.value))


@lru_cache(maxsize=1)
def _observer_points(path: tuple[str, ...]) -> list[metadata.EntryPoint]:
    """Look through `sys.path` once, not at each fetch: that takes longer than a fetch of what is stored."""
    return _entry_points(hookspecs.OBSERVERS)


def _owner(point: metadata.EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("unknown", "")


def _is_disabled(name: str, distribution: str) -> bool:
    disabled = {part.strip() for part in os.environ.get("NVFRAME_DISABLE_PLUGINS", "").split(",")}
    return bool(disabled & {"*", name, distribution})


def _trace(message: str) -> None:
    if os.environ.get("NVFRAME_TRACE_PLUGINS") == "1":
        print(f"nvframe plugins: {message}", file=sys.stderr)


def _row(registered: Registered, found: list[Registered]) -> Listed:
    plugin = registered.plugin
    state = "ok"
    if not registered.builtin and found[0].builtin:
        state = "shadowed"
    elif len(found) > 1 and not found[0].builtin:
        state = "conflict"
    return Listed(
        plugin.kind, plugin.name, registered.distribution, registered.version, state, plugin.summary
    )


def _checked_selector(kind: type[Plugin], selector: tuple[Any, ...]) -> tuple[str, Mapping[str, Any]]:
    match selector:
        case (str() as name, Mapping() as params):
            return name, params
    raise PluginError(f"{selector!r} selects no {kind.kind}: give a name, (name, parameters) or an object")


def _takes(factory: Callable[..., Any], parameter: str) -> bool:
    try:
        return parameter in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False


def check_parameters(plugin: Plugin, factory: Callable[..., Any], params: Mapping[str, Any]) -> None:
    """Raise PluginError where a factory does not take the parameters that a caller gave."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # a C callable without a signature checks for itself
    try:
        signature.bind(**params)
    except TypeError as error:
        raise PluginError(f"{plugin.kind} {plugin.name!r}: {error}; it takes {signature}") from error

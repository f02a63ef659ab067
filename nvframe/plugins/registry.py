"""Which plugins exist, found by name and built from a selector: the built-ins first."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from typing import Any

from nvframe import __version__
from nvframe.errors import PluginConflictError, PluginError, PluginLoadError, UnknownPluginError
from nvframe.plugins import Plugin, StorageBackendPlugin, hookspecs
from nvframe.plugins.discovery import (
    Discovery,
    Listed,
    Observer,
    Registered,
    hookimpls,
    observers_in,
    yielded,
)
from nvframe.urls import protocol_of

BUILTINS = (
    "nvframe.storage.plugin",
    "nvframe.sources.neurovault.plugin",
    "nvframe.processing.plugin",
    "nvframe.results.plugin",
)
"""Modules of the built-in plugin sets: the one place where the core names NeuroVault."""

_standing_in: list[Registry] = []


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
        self._discovery = Discovery(group)
        self._own: dict[tuple[str, str], list[Registered]] = {}
        self._observers: list[Observer] = []
        for name in builtins:
            self.register(importlib.import_module(name), distribution="nvframe", version=__version__)

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
        if _in_conflict(found):
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
            if not isinstance(each, Plugin):
                self._observers += observers_in(each)
            for plugin in [each] if isinstance(each, Plugin) else _all_of(each):
                found = self._own.setdefault((plugin.kind, plugin.name), [])
                found.append(Registered(plugin, distribution, version))

    def _lookup(self, kind: type[Plugin], name: str) -> list[Registered]:
        """Return who registers a name; installed packages are only looked at where nobody here does."""
        key = (kind.kind, name)
        return self._own.get(key) or [each for each in self._discovery.plugins() if _key(each) == key]

    def _all(self) -> dict[tuple[str, str], list[Registered]]:
        """Return everybody who registers something, by kind and name, the built-ins first."""
        found = {key: list(owners) for key, owners in self._own.items()}
        for each in self._discovery.plugins():
            found.setdefault(_key(each), []).append(each)
        return found

    def names(self, kind: type[Plugin]) -> list[str]:
        """Return the names of all plugins of that kind, installed ones included."""
        return sorted(name for found_kind, name in self._all() if found_kind == kind.kind)

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
        check_parameters(registered.plugin, factory, {**params, **taken})
        return factory(**params, **taken), registered, dict(params)

    def storage(self, url: str, storage_options: Mapping[str, Any] | None = None) -> Any:
        """Return the storage at `url`, from the backend of its protocol or else fsspec's."""
        name = protocol_of(url)
        kind = StorageBackendPlugin
        plugin = self.get(kind, name if self._lookup(kind, name) else "fsspec").plugin
        factory, options = load_factory(plugin), storage_options or {}
        check_parameters(plugin, factory, {"url": url, **options})
        return factory(url, **options)

    def observers(self) -> list[Observer]:
        """Return the observers of fetches; loads the entry-point group of the installed ones."""
        return [*self._observers, *self._discovery.observers()]

    def listing(self) -> list[Listed]:
        """Return a row for each plugin, usable or not."""
        rows = [_row(each, owners) for owners in self._all().values() for each in owners]
        return sorted(
            [*rows, *self._discovery.troubled], key=lambda row: (row.kind, row.name, row.distribution)
        )

    def _unknown(self, kind: type[Plugin], name: str) -> str:
        names = self.names(kind)
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(names)}"
        troubled = self._discovery.troubled
        broken = [f"{row.distribution} ({row.summary})" for row in troubled if row.state == "broken"]
        disabled = [row.distribution for row in troubled if row.state == "disabled"]
        tail = f"; left out because they do not load: {', '.join(broken)}" if broken else ""
        if disabled:
            tail += f"; disabled by NVFRAME_DISABLE_PLUGINS: {', '.join(disabled)}"
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
        If it cannot be imported, or is nothing that can be called; says what to install.
    """
    problem = f"{plugin.kind} {plugin.name!r} cannot be loaded"
    try:
        factory = _imported(plugin.factory) if isinstance(plugin.factory, str) else plugin.factory
    except (ImportError, AttributeError) as error:
        needs = f"install {', '.join(plugin.requires)}" if plugin.requires else str(error)
        raise PluginLoadError(f"{problem}: {needs}") from error
    except (
        Exception,
        SystemExit,
    ) as error:  # a module may raise anything, and end the process, as it is imported
        raise PluginLoadError(f"{problem}: {type(error).__name__}: {error}") from error
    if not callable(factory):
        raise PluginLoadError(f"{problem}: its factory is {factory!r:.80}, which cannot be called")
    return factory


def _imported(place: str) -> Callable[..., Any]:
    module, _, attribute = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def _all_of(module: Any) -> list[Plugin]:
    return [plugin for kind, hookimpl in hookimpls(module) for plugin in yielded(kind, hookimpl)]


def _key(registered: Registered) -> tuple[str, str]:
    return registered.plugin.kind, registered.plugin.name


def _in_conflict(found: list[Registered]) -> bool:
    """Tell whether several packages claim a name that is not a built-in's."""
    return not found[0].builtin and len({each.distribution for each in found}) > 1


def _row(registered: Registered, found: list[Registered]) -> Listed:
    plugin = registered.plugin
    state = "ok"
    if not registered.builtin and found[0].builtin:
        state = "shadowed"
    elif _in_conflict(found):
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
    signature = _signature(factory)
    return signature is not None and parameter in signature.parameters


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    """Return what a factory takes; None for a C callable without a signature, which checks for itself."""
    for inspected in (_inspected, inspect.signature):  # what cannot be hashed cannot be looked up either
        with suppress(TypeError, ValueError):
            return inspected(factory)
    return None


# Every call builds from the same few factories, and inspecting them took an eighth of a small one.
_inspected = lru_cache(maxsize=128)(inspect.signature)


def check_parameters(plugin: Plugin, factory: Callable[..., Any], params: Mapping[str, Any]) -> None:
    """Raise PluginError where a factory does not take the parameters that a caller gave."""
    signature = _signature(factory)
    if signature is None:
        return
    try:
        signature.bind(**params)
    except TypeError as error:
        raise PluginError(f"{plugin.kind} {plugin.name!r}: {error}; it takes {signature}") from error

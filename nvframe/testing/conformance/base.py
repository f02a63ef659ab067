"""What the six kits share: the descriptor's checks, expected failures, and the list of checks."""

from __future__ import annotations

import difflib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, TypeVar

import pytest

from nvframe.errors import NvframeError, PluginError
from nvframe.plugins import Plugin
from nvframe.plugins.registry import check_parameters, load_factory

Result = TypeVar("Result")

PREFIX = "test_"
REFUSALS = (NvframeError, ValueError, TypeError)
"""What a plugin may raise for input that it does not take."""

_PATIENCE_SECONDS = 60


class Conformance:
    """Base of the kits: subclass one of them in a test module, and name what is to be tested.

    Attributes
    ----------
    plugin : Plugin or None
        The descriptor that your hook yields. Without one the checks on it are skipped, and the fixture that
        makes the object has to be overridden.
    parameters : Mapping
        What the factory is called with.
    refused_parameters : sequence of Mapping
        Parameters with values that the factory must refuse.
    takes_any_parameter : bool
        Whether the factory hands on keywords that it does not know, as a storage does with its options.
    expected_failures : Mapping
        Check (its name without ``test_``) to the reason why it fails; a check that passes all the same, or that
        does not exist, is an error.
    """

    kind: ClassVar[type[Plugin]] = Plugin
    plugin: ClassVar[Plugin | None] = None
    parameters: ClassVar[Mapping[str, Any]] = {}
    refused_parameters: ClassVar[Sequence[Mapping[str, Any]]] = ()
    takes_any_parameter: ClassVar[bool] = False
    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        known = checks(cls)
        for name in cls.expected_failures:
            check = name.partition("[")[0]
            if check not in known:
                near = difflib.get_close_matches(check, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"{cls.__name__}.expected_failures: there is no check {name!r}{hint}")

    @pytest.fixture(autouse=True)
    def _expected_failure(self, request: pytest.FixtureRequest) -> None:
        name = request.node.name.removeprefix(PREFIX)
        reason = self.expected_failures.get(name) or self.expected_failures.get(name.partition("[")[0])
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    def build(self, **more: Any) -> Any:
        """Return what the descriptor's factory makes of `parameters`; the kit's fixtures call it."""
        plugin, parameters = self._descriptor(), {**self.parameters, **more}
        factory = load_factory(plugin)
        try:
            check_parameters(plugin, factory, parameters)
        except PluginError as error:
            if more:
                raise
            self._cannot_build(error)
        return factory(**parameters)

    def _cannot_build(self, error: PluginError) -> NoReturn:
        pytest.fail(f"{error}; put what it needs into `parameters`, or override the fixture that calls it")

    def _descriptor(self) -> Plugin:
        if self.plugin is None:
            pytest.skip(f"set `plugin` to your {self.kind.__name__} to have this checked")
        return self.plugin

    def test_descriptor_is_complete(self) -> None:
        """The descriptor is of the hook's kind, says in one line what it is for, and its factory loads."""
        plugin = self._descriptor()
        assert isinstance(plugin, self.kind), f"the hook must yield a {self.kind.__name__}, not {plugin!r}"
        assert plugin.summary, "give the descriptor a `summary`: `nvframe plugins` shows it"
        assert plugin.summary == " ".join(plugin.summary.split()), "`summary` must be a single line"
        assert callable(load_factory(plugin)), f"`factory` of {plugin.name!r} must be callable"

    def test_misspelt_parameter_is_refused(self) -> None:
        """A parameter that the factory does not have is refused before anything is asked for."""
        if self.takes_any_parameter:
            pytest.skip("takes_any_parameter = True")
        plugin = self._descriptor()
        try:
            check_parameters(plugin, load_factory(plugin), {**self.parameters, "no_such_parameter": 1})
        except PluginError:
            return
        pytest.fail(
            "the factory takes any keyword, so a misspelt parameter would pass in silence: name its parameters"
        )

    def test_wrong_value_is_refused(self) -> None:
        """A value that makes no sense is refused where the object is made, not image by image."""
        self._descriptor()
        if not self.refused_parameters:
            pytest.skip("list `refused_parameters` to have this checked")
        for parameters in self.refused_parameters:
            try:
                self.build(**parameters)
            except REFUSALS:
                continue
            pytest.fail(f"{dict(parameters)!r} must be refused by the factory with a ValueError or TypeError")


def checks(kit: type) -> dict[str, str]:
    """Return the checks of a kit and what each one is about, in the order in which they are written.

    Parameters
    ----------
    kit : type
        One of the mix-ins, or a subclass.

    Returns
    -------
    dict
        Name, without ``test_``, to the first line of its docstring.

    Examples
    --------
    >>> from nvframe.testing import FilterConformance
    >>> checks(FilterConformance)["misspelt_parameter_is_refused"]
    'A parameter that the factory does not have is refused before anything is asked for.'
    """
    found: dict[str, str] = {}
    for base in reversed(kit.__mro__):
        for name, value in vars(base).items():
            if name.startswith(PREFIX) and callable(value):
                found[name.removeprefix(PREFIX)] = (inspect.getdoc(value) or "").partition("\n")[0]
    return found


def in_time(call: Callable[[], Result]) -> Result:
    """Return what `call` returns or raise what it raises; fail where it does neither within a minute."""
    answered: list[Result] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            answered.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    if raised:
        raise raised[0]
    if not answered:
        pytest.fail(f"no answer within {_PATIENCE_SECONDS} s: a plugin may fail, but must not hang")
    return answered[0]


def at_once(calls: Sequence[Callable[[], Result]]) -> Iterator[Result]:
    """Yield what each call returns, all of them having begun together on threads of their own."""
    from concurrent.futures import ThreadPoolExecutor

    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        barrier.wait(_PATIENCE_SECONDS)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        yield from pool.map(run, calls)

"""A script of faults: which request fails how, and how many times."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nvframe.testing.server.exchange import App
from nvframe.testing.server.kinds import KINDS


@dataclass(slots=True)
class Fault:
    """One line of the script.

    Attributes
    ----------
    kind : str
        One of `nvframe.testing.server.kinds.KINDS`.
    path : str
        Regular expression searched for in the path with its query, such as ``"/media/"``.
    times : int or None
        How many more requests it befalls; None for all.
    skip : int
        How many matching requests it lets pass first.
    method : str or None
        Only GET or only HEAD.
    params : Mapping
        Keyword parameters of the kind.
    """

    kind: str
    path: str = ""
    times: int | None = 1
    skip: int = 0
    method: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, method: str, target: str) -> bool:
        """Tell whether it may befall this request."""
        return self.times != 0 and self.method in (None, method) and bool(re.search(self.path, target))


class FaultScript:
    r"""What is to go wrong; used as ``server.faults``, from any thread.

    A request meets the first accident in the script that matches and is not used up, and every lasting
    fault that matches: two accidents written for one path befall two requests, in that order.

    Examples
    --------
    >>> script = FaultScript()
    >>> _ = script.add("status", "/media/", times=2, status=503, retry_after=1)
    >>> _ = script.add("truncate", r"_1001\.nii\.gz$", after=1000)
    >>> _ = script.add("poison", image=1003)
    >>> [fault.times for fault in script.pending]
    [2, 1, None]
    >>> script.add("status", code=503)
    Traceback (most recent call last):
    ...
    TypeError: fault 'status': got an unexpected keyword argument 'code'
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        kind: str,
        path: str | None = None,
        *,
        times: int | None = -1,
        skip: int = 0,
        method: str | None = None,
        **params: Any,
    ) -> Fault:
        r"""Write one fault into the script.

        Parameters
        ----------
        kind : str
            What goes wrong: ``status`` ``html`` ``redirect`` ``drop`` ``hang`` ``truncate`` ``short``
            ``corrupt`` ``trickle`` ``latency`` ``count_too_large`` ``poison`` ``shuffle`` ``no_range``
            ``no_etag`` ``words_down`` ``private``.
        path : str, optional
            Regular expression searched for in the path with its query; by default what the kind is about,
            for most kinds every request.
        times : int or None, optional
            How many requests it befalls, None for all; by default 1 for accidents, all for lasting faults.
        skip : int, default=0
            How many matching requests pass first.
        method : str, optional
            ``"GET"`` or ``"HEAD"``.
        **params
            Of the kind; see `nvframe.testing.server.connection_faults` and `nvframe.testing.server.answer_faults`.

        Returns
        -------
        Fault
            As written; its `times` counts down.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; there are {', '.join(sorted(KINDS))}")
        usual = KINDS[kind]
        try:
            inspect.signature(usual.apply).bind(None, None, None, None, **params)
        except TypeError as error:
            raise TypeError(f"fault {kind!r}: {error}") from None
        if times == -1:
            times = None if usual.lasting else 1
        fault = Fault(kind, usual.path if path is None else path, times, skip, method, params)
        with self._lock:
            self._faults.append(fault)
        return fault

    @property
    def pending(self) -> list[Fault]:
        """Faults that may still strike, in the order written."""
        with self._lock:
            return [fault for fault in self._faults if fault.times != 0]

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def around(self, app: App, method: str, target: str) -> App:
        """Return `app` inside the faults that befall this request."""
        struck = self._strike(method, target)
        # a latency comes before an accident, and the server's other properties are what the accident spoils
        struck.sort(key=lambda fault: (not KINDS[fault.kind].outermost, KINDS[fault.kind].lasting))
        for fault in reversed(struck):
            app = partial(KINDS[fault.kind].apply, app, **fault.params)
        return app

    def _strike(self, method: str, target: str) -> list[Fault]:
        """Return every lasting fault and the first accident that match, and count them."""
        struck: list[Fault] = []
        accident = False
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, target):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if not KINDS[fault.kind].lasting:
                    if accident:
                        continue
                    accident = True
                if fault.times is not None:
                    fault.times -= 1
                struck.append(fault)
        return struck

"""Value operators and `ResultFilter`: which metadata a query keeps. nilearn's names and meanings."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from copy import deepcopy
from typing import Any

from nvframe.types import Metadata

__all__ = [
    "Contains",
    "GreaterOrEqual",
    "GreaterThan",
    "IsIn",
    "IsNull",
    "LessOrEqual",
    "LessThan",
    "NotContains",
    "NotEqual",
    "NotIn",
    "NotNull",
    "Pattern",
    "ResultFilter",
]

# What uploaders write for "no value": "", n/a, na, and whatever begins with none or null.
_NULL_STRING = re.compile(r"(?:n/?a)?$|none|null", re.IGNORECASE)


def normalise(metadata: Metadata) -> dict[str, Any]:
    """Return `metadata` with the strings that mean "no value" turned into ``None``.

    Parameters
    ----------
    metadata : Mapping
        One image's or collection's fields.

    Returns
    -------
    dict
        A copy; only top-level strings change.

    Examples
    --------
    >>> normalise({"modality": "n/a", "name": "Go > Stop", "DOI": ""})
    {'modality': None, 'name': 'Go > Stop', 'DOI': None}
    """
    normalised = dict(metadata)
    # The first letter spares most strings the expression.
    strings = [(k, v) for k, v in metadata.items() if isinstance(v, str) and (not v or v[0] in "nN\n")]
    for key, string in strings:
        if _NULL_STRING.match(string):
            normalised[key] = None
    return normalised


def matches(terms: Metadata, metadata: Metadata) -> bool:
    """Tell whether every term equals its field; a missing field counts as ``None``."""
    # The term stands on the left: its own comparison decides, as in nilearn.
    for key, term in terms.items():  # noqa: SIM110 - a generator costs as much as the comparisons
        if term != metadata.get(key):
            return False
    return True


class _ValueOperator:
    """Compares equal to the values it accepts, so that it can stand as a value in a dict of terms."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def accepts(self, value: Any) -> bool:
        raise NotImplementedError  # pragma: no cover - each operator says what it accepts

    def __eq__(self, other: object) -> bool:
        return self.accepts(other)

    def __ne__(self, other: object) -> bool:
        return not self.accepts(other)

    # Equality is a question about other values here, so no hash can agree with it.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"

    def __str__(self) -> str:
        return f"{type(self).__name__}{self.values!r}"  # as nilearn prints it, a tuple's comma included


class IsNull(_ValueOperator):
    """Equal to anything that is falsy: ``None``, ``""``, ``0``, ``[]``.

    See Also
    --------
    NotNull

    Examples
    --------
    >>> [value == IsNull() for value in (None, "", "a")]
    [True, True, False]
    """

    def __init__(self) -> None:
        super().__init__()

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return not value


class NotNull(_ValueOperator):
    """Equal to anything that is truthy.

    See Also
    --------
    IsNull

    Examples
    --------
    >>> [value == NotNull() for value in (None, "", "a")]
    [False, False, True]
    """

    def __init__(self) -> None:
        super().__init__()

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return bool(value)


class NotEqual(_ValueOperator):
    """Equal to anything but one value.

    Parameters
    ----------
    negated : object
        The value to refuse.

    Examples
    --------
    >>> [value == NotEqual("atlas") for value in ("atlas", "statistic_map", None)]
    [False, True, True]
    """

    def __init__(self, negated: Any) -> None:
        super().__init__(negated)

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return not self.values[0] == value  # noqa: SIM201 - an operator's own __eq__ decides


class _Comparison(_ValueOperator):
    """An order; the value is first cast to the bound's type, and what cannot be cast is not equal."""

    def __init__(self, bound: Any) -> None:
        super().__init__(bound)

    def accepts(self, value: Any) -> bool:
        bound = self.values[0]
        try:
            return bool(self.holds(type(bound)(value), bound))
        except (TypeError, ValueError, OverflowError):
            return False

    @staticmethod
    def holds(value: Any, bound: Any) -> bool:
        raise NotImplementedError  # pragma: no cover - each comparison says when it holds


class GreaterOrEqual(_Comparison):
    """Equal to values that are at least the bound.

    Parameters
    ----------
    bound : object
        The smallest accepted value; others are cast to its type first.

    Examples
    --------
    >>> [value == GreaterOrEqual(.5) for value in ("0.5", 0.4, None)]
    [True, False, False]
    """

    @staticmethod
    def holds(value: Any, bound: Any) -> bool:  # noqa: D102 - the class says it
        return bool(bound <= value)


class GreaterThan(_Comparison):
    """Equal to values above the bound.

    Parameters
    ----------
    bound : object
        Values are cast to its type first.

    Examples
    --------
    >>> "2026-11-22" == GreaterThan("2026-01-01")
    True
    """

    @staticmethod
    def holds(value: Any, bound: Any) -> bool:  # noqa: D102 - the class says it
        return bool(bound < value)


class LessOrEqual(_Comparison):
    """Equal to values that are at most the bound.

    Parameters
    ----------
    bound : object
        The largest accepted value; others are cast to its type first.

    Examples
    --------
    >>> [value == LessOrEqual(20) for value in (20, "19", 21)]
    [True, True, False]
    """

    @staticmethod
    def holds(value: Any, bound: Any) -> bool:  # noqa: D102 - the class says it
        return bool(value <= bound)


class LessThan(_Comparison):
    """Equal to values below the bound.

    Parameters
    ----------
    bound : object
        Values are cast to its type first.

    Examples
    --------
    >>> 3 == LessThan(3)
    False
    """

    @staticmethod
    def holds(value: Any, bound: Any) -> bool:  # noqa: D102 - the class says it
        return bool(value < bound)


class IsIn(_ValueOperator):
    """Equal to any of the given values.

    Parameters
    ----------
    *accepted : object
        The accepted values.

    Examples
    --------
    >>> ["T map" == IsIn("T map", "Z map"), None == IsIn("T map", "Z map")]
    [True, False]
    """

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return value in self.values


class NotIn(_ValueOperator):
    """Equal to anything but the given values.

    Parameters
    ----------
    *rejected : object
        The refused values.

    Examples
    --------
    >>> ["T map" == NotIn("anatomical"), None == NotIn("anatomical")]
    [True, True]
    """

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return value not in self.values


class Contains(_ValueOperator):
    """Equal to containers, strings among them, that hold every given item.

    Parameters
    ----------
    *must_be_contained : object
        The required items.

    Examples
    --------
    >>> ["stop vs go" == Contains("stop", "go"), "stop" == Contains("stop", "go"), 4 == Contains("stop")]
    [True, False, False]
    """

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return isinstance(value, Container) and all(item in value for item in self.values)


class NotContains(_ValueOperator):
    """Equal to containers, strings among them, that hold none of the given items.

    Parameters
    ----------
    *must_not_be_contained : object
        The refused items.

    Examples
    --------
    >>> ["rest" == NotContains("task"), None == NotContains("task")]
    [True, False]
    """

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        return isinstance(value, Container) and all(item not in value for item in self.values)


class Pattern(_ValueOperator):
    """Equal to strings whose beginning matches a regular expression.

    Parameters
    ----------
    pattern : str
        For `re.match`.
    flags : int, default=0
        For `re.match`.

    Examples
    --------
    >>> ["poker face" == Pattern("(?i)POKER"), 17 == Pattern(".*")]
    [True, False]
    """

    def __init__(self, pattern: str, flags: int = 0) -> None:
        super().__init__(pattern, flags)

    def accepts(self, value: Any) -> bool:  # noqa: D102 - the class says it
        pattern, flags = self.values
        return isinstance(value, str) and re.match(pattern, value, flags) is not None

    def __repr__(self) -> str:
        pattern, flags = self.values
        return f"Pattern(pattern={pattern!r}, flags={flags})"


Predicate = Callable[[Metadata], Any]


def keep_all(metadata: Metadata) -> bool:
    """Keep everything: the default of ``image_filter`` and ``collection_filter``."""
    return True


class ResultFilter:
    """Keeps metadata that meets all terms and all callables; filters combine with AND, OR, XOR, NOT.

    Parameters
    ----------
    query_terms : dict, optional
        Field to wanted value or value operator.
    callable_filter : callable, default=keep everything
        Called with the metadata; truthy keeps.
    **kwargs
        More terms; they win over `query_terms`.

    Examples
    --------
    >>> recent = ResultFilter({"map_type": "T map"}).OR(ResultFilter(number_of_subjects=GreaterThan(20)))
    >>> [recent({"map_type": "Z map", "number_of_subjects": n}) for n in (10, 30)]
    [False, True]
    """

    def __init__(
        self,
        query_terms: Mapping[str, Any] | None = None,
        callable_filter: Predicate = keep_all,
        **kwargs: Any,
    ) -> None:
        self.query_terms = {**(query_terms or {}), **kwargs}
        self.callable_filters = [callable_filter]

    def __call__(self, candidate: Metadata) -> bool:
        """Tell whether `candidate` is kept."""
        return matches(self.query_terms, candidate) and all(keep(candidate) for keep in self.callable_filters)

    def OR(self, other_filter: Predicate) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Return a filter that keeps what this or `other_filter` keeps."""
        return ResultFilter(callable_filter=_Either(deepcopy(self), deepcopy(other_filter)))

    def AND(self, other_filter: Predicate) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Return a filter that keeps what this and `other_filter` keep."""
        return ResultFilter(callable_filter=_Both(deepcopy(self), deepcopy(other_filter)))

    def XOR(self, other_filter: Predicate) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Return a filter that keeps what exactly one of this and `other_filter` keeps."""
        return ResultFilter(callable_filter=_OneOf(deepcopy(self), deepcopy(other_filter)))

    def NOT(self) -> ResultFilter:  # noqa: N802 - nilearn's name
        """Return a filter that keeps what this one drops."""
        return ResultFilter(callable_filter=_Not(deepcopy(self)))

    def __getitem__(self, item: str) -> Any:
        return self.query_terms[item]

    def __setitem__(self, item: str, value: Any) -> None:
        self.query_terms[item] = value

    def __delitem__(self, item: str) -> None:
        self.query_terms.pop(item, None)

    def add_filter(self, callable_filter: Predicate) -> None:
        """Require `callable_filter` too.

        Parameters
        ----------
        callable_filter : callable
            Called with the metadata; truthy keeps.
        """
        self.callable_filters.append(callable_filter)

    def __str__(self) -> str:
        return type(self).__name__


class _Combined:
    """Classes, not closures, so that a combined filter pickles."""

    def __init__(self, *parts: Predicate) -> None:
        self.parts = parts


class _Either(_Combined):
    def __call__(self, candidate: Metadata) -> bool:
        return any(part(candidate) for part in self.parts)


class _Both(_Combined):
    def __call__(self, candidate: Metadata) -> bool:
        return all(part(candidate) for part in self.parts)


class _OneOf(_Combined):
    def __call__(self, candidate: Metadata) -> bool:
        # By value, as in nilearn: a callable's own answers are compared, not their truth.
        return bool(self.parts[0](candidate) != self.parts[1](candidate))


class _Not(_Combined):
    def __call__(self, candidate: Metadata) -> bool:
        return not self.parts[0](candidate)

"""Metadata as typed columns: what a server sends, one clear dtype each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nvframe.types import Metadata

Column = tuple[Any, dict[str, Any]]
"""(array, attrs)"""

# With years that datetime64[ns] can hold.
_DATE = re.compile(r"(1[7-9]|2[01])\d\d-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_MAX_INT = 2**63


def typed_columns(rows: Sequence[Metadata], skip: Iterable[str] = ()) -> dict[str, Column]:
    """Return one typed column per field.

    Parameters
    ----------
    rows : sequence of Mapping
        Metadata, one per image.
    skip : iterable of str
        Fields to leave out; paths and fields without any value are left out always.

    Returns
    -------
    dict of str to (numpy.ndarray, dict)
        By field, in the order of first mention; attrs explain what the dtype cannot.

    Examples
    --------
    >>> columns = typed_columns([{"age": 20, "ok": True}, {"age": None, "ok": None}])
    >>> columns["age"][0].tolist(), columns["ok"][0].tolist()
    ([20.0, nan], [1, -1])
    """
    skipped = set(skip)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {
        name: column([row.get(name) for row in rows])
        for name in names
        if name not in skipped and "relative_path" not in name and "absolute_path" not in name
    }
    return {name: made for name, made in columns.items() if made is not None}


def column(values: Sequence[Any]) -> Column | None:
    """Return values of one field as a typed array; None where there is no value at all."""
    import numpy as np

    kinds = {_kind(value) for value in values if value is not None}
    has_null = any(value is None for value in values)
    if not kinds:
        return None
    if kinds == {"bool"}:
        return flags(values)
    if kinds == {"int"} and not has_null:
        return np.array(values, dtype=np.int64), {}
    if kinds <= {"int", "float"}:
        return np.array([np.nan if v is None else float(v) for v in values]), {}
    if kinds == {"date"}:
        dates = _dates(values)
        if np.isnat(dates).sum() == sum(value is None for value in values):
            return dates, {"time_zone": "UTC"}
    if kinds <= {"str", "date"}:
        return text(values), {}
    return text(json.dumps(v, default=str, ensure_ascii=False) for v in values), {"encoding": "JSON"}


def flags(values: Sequence[Any]) -> Column:
    """Return true, false and unknown as int8 1, 0 and -1, with CF's attributes."""
    import numpy as np

    coded = np.array([-1 if value is None else int(bool(value)) for value in values], dtype=np.int8)
    return coded, {"flag_values": [-1, 0, 1], "flag_meanings": "unknown false true"}


def text(values: Iterable[Any]) -> Any:
    """Return values as an array of str objects, each as long as it is; "" for none."""
    import numpy as np

    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def plain(values: Any, attrs: Mapping[str, Any]) -> list[Any]:
    """Return the values that a column was made of, so that more can be added to them.

    Examples
    --------
    >>> plain(*column([True, None])), plain(*column([7, None])), plain(*column(["a", 2]))
    ([True, None], [7.0, None], ['a', 2])
    """
    import numpy as np

    if values.dtype.kind == "M":
        texts = np.datetime_as_string(values, unit="us")
        return [None if str(value) == "NaT" else f"{value}Z" for value in texts]
    items = values.tolist()
    if "flag_meanings" in attrs:
        return [None if value < 0 else bool(value) for value in items]
    if attrs.get("encoding") == "JSON":
        return [json.loads(value) for value in items]
    return [None if value != value else value for value in items]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_MAX_INT <= value < _MAX_INT else "big int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "date" if _DATE.fullmatch(value) else "str"
    return "JSON"


def _dates(values: Sequence[Any]) -> Any:
    import pandas as pd

    parsed = pd.to_datetime(
        pd.Series(list(values), dtype=object), utc=True, format="ISO8601", errors="coerce"
    )
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")

import json

import numpy as np
import pytest

from nvframe.results.columns import typed_columns


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1, None], "float64", [1.0, np.nan]),
        ([1, 2.5], "float64", [1.0, 2.5]),
        ([True, None, False], "int8", [1, -1, 0]),
        (["a", None], "O", ["a", ""]),
    ],
)
def test_one_type_one_dtype(values, dtype, expected):
    array, _ = typed_columns([{"field": value} for value in values])["field"]
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, expected)


def test_flags_say_what_they_mean():
    _, attrs = typed_columns([{"ok": True}, {}])["ok"]
    assert attrs == {"flag_values": [-1, 0, 1], "flag_meanings": "unknown false true"}


def test_dates_are_utc():
    array, attrs = typed_columns([{"d": "2026-11-22T16:51:14.591342+01:00"}, {"d": None}])["d"]
    assert array[0] == np.datetime64("2026-11-22T15:51:14.591342")
    assert np.isnat(array[1])
    assert attrs == {"time_zone": "UTC"}


@pytest.mark.parametrize("values", [[4, "0012", None], [[1], None], [{"a": 1}], [2**70], [True, 1]])
def test_mixed_values_are_json(values):
    array, attrs = typed_columns([{"field": value} for value in values])["field"]
    assert [json.loads(text) for text in array] == values
    assert attrs == {"encoding": "JSON"}


def test_paths_and_empty_fields_are_left_out():
    rows = [{"id": 1, "relative_path": "a", "ns_words_absolute_path": "b", "empty": None}]
    assert list(typed_columns(rows)) == ["id"]


@pytest.mark.parametrize(
    "value", ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "2020-01-01T00:00 first session"]
)
def test_what_is_no_date_that_fits_stays_text(value):
    array, attrs = typed_columns([{"d": "2026-11-22T16:51:14Z"}, {"d": value}])["d"]
    assert array.tolist() == ["2026-11-22T16:51:14Z", value]
    assert attrs == {}

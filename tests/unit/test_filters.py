"""Operators, `ResultFilter` and null strings hold what nilearn's hold, on whatever a server may send."""

import copy
import pickle
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvframe import filters as ours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nilearn.datasets import neurovault as theirs

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=8)
    | st.sampled_from(["", "n/a", "None / Other", "T map", "0012", "1e400", "ÄÖÜ", "2026-01-01"])
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)
ONE_VALUE = ["NotEqual", "GreaterOrEqual", "GreaterThan", "LessOrEqual", "LessThan"]
MANY_VALUES = ["IsIn", "NotIn", "Contains", "NotContains"]
NULLS = ["IsNull", "NotNull"]


def answer(operator, value):
    """What a comparison says, or the error it ends in."""
    try:
        return bool(value == operator)
    except OverflowError:
        return False  # nilearn lets `int(inf)` end the whole fetch
    except TypeError:
        return TypeError


def both(name, *arguments):
    return getattr(ours, name)(*arguments), getattr(theirs, name)(*arguments)


@settings(max_examples=300)
@given(st.sampled_from(ONE_VALUE), VALUES, VALUES)
def test_an_operator_with_a_bound_agrees_with_nilearns(name, bound, value):
    mine, peers = both(name, bound)
    assert answer(mine, value) == answer(peers, value)
    equal = bool(value == mine)
    assert bool(value != mine) is not equal


@settings(max_examples=300)
@given(st.sampled_from(MANY_VALUES), st.lists(VALUES, max_size=3), VALUES)
def test_an_operator_with_many_values_agrees_with_nilearns(name, arguments, value):
    mine, peers = both(name, *arguments)
    assert answer(mine, value) == answer(peers, value)


@given(st.sampled_from(NULLS), VALUES)
def test_a_null_operator_agrees_with_nilearns(name, value):
    mine, peers = both(name)
    assert answer(mine, value) == answer(peers, value)


@given(st.text(max_size=4).map(re.escape) | st.sampled_from([".*", "(?i)T MAP", "[0-9]{4}$", "a|b"]), VALUES)
def test_a_pattern_agrees_with_nilearns(pattern, value):
    for flags in (0, re.IGNORECASE):
        mine, peers = both("Pattern", pattern, flags)
        assert answer(mine, value) == answer(peers, value)


@pytest.mark.parametrize("name", ONE_VALUE[1:])
def test_what_cannot_be_cast_is_not_equal(name):
    operator = getattr(ours, name)(20)
    assert all(value != operator for value in (float("inf"), float("nan"), None, "twenty", [], {}))


@pytest.mark.parametrize(
    "operator",
    [
        ours.IsNull(),
        ours.NotNull(),
        ours.NotEqual("atlas"),
        ours.GreaterThan("2026-01-01"),
        ours.IsIn(1, "é"),
        ours.NotIn(),
        ours.Contains("a", "b"),
        ours.NotContains("a"),
        ours.Pattern("^a", re.IGNORECASE),
    ],
    ids=repr,
)
def test_an_operator_survives_pickle_and_deepcopy(operator):
    for again in (pickle.loads(pickle.dumps(operator)), copy.deepcopy(operator)):
        assert type(again) is type(operator)
        assert repr(again) == repr(operator)
        assert again.values == operator.values


@pytest.mark.parametrize("name", NULLS + ONE_VALUE + MANY_VALUES)
def test_an_operator_is_written_as_nilearns_is(name):
    arguments = {"IsNull": [], "NotNull": []}.get(name, [20] if name in ONE_VALUE else ["a", 20])
    mine, peers = both(name, *arguments)
    assert repr(mine) == repr(peers)


def test_an_operator_has_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(ours.IsNull())


# Trees of filters, described as data and built twice

LEAVES = st.sampled_from(
    [
        {"map_type": "T map"},
        {"number_of_subjects": ("GreaterThan", 20)},
        {"modality": ("IsNull",)},
        {"name": ("Contains", "stop"), "map_type": ("NotEqual", "Z map")},
        {},
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda below: (
        st.tuples(st.sampled_from(["AND", "OR", "XOR"]), below, below) | st.tuples(st.just("NOT"), below)
    ),
    max_leaves=6,
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "map_type": st.sampled_from(["T map", "Z map", None]),
        "number_of_subjects": st.sampled_from([10, "30", None, float("nan")]),
        "modality": st.sampled_from([None, "fMRI"]),
        "name": st.sampled_from(["stop signal", "rest", None]),
    },
)


def build(module, tree):
    if isinstance(tree, dict):
        terms = {
            key: getattr(module, value[0])(*value[1:]) if isinstance(value, tuple) else value
            for key, value in tree.items()
        }
        return module.ResultFilter(terms)
    first, *rest = (build(module, part) for part in tree[1:])
    return getattr(first, tree[0])(*rest)


@settings(max_examples=200)
@given(TREES, METADATA)
def test_a_tree_of_filters_agrees_with_nilearns(tree, metadata):
    mine = build(ours, tree)
    expected = bool(build(theirs, tree)(metadata))
    assert mine(metadata) is expected
    assert pickle.loads(pickle.dumps(mine))(metadata) is expected
    assert copy.deepcopy(mine)(metadata) is expected


def test_items_of_a_filter_are_its_terms():
    kept = ours.ResultFilter({"a": 1, "b": 2}, b=3)
    assert (kept["a"], kept["b"]) == (1, 3)
    kept["c"] = 4
    del kept["a"], kept["nothing of that name"]
    assert kept({"b": 3, "c": 4})
    assert not kept({"b": 3})
    assert str(kept) == "ResultFilter"


def test_an_added_filter_applies_besides():
    kept = ours.ResultFilter({"a": 1})
    kept.add_filter(lambda metadata: metadata["b"] > 1)
    assert [kept({"a": 1, "b": b}) for b in (1, 2)] == [False, True]


def test_a_combined_filter_keeps_what_its_parts_were():
    part = ours.ResultFilter({"a": 1})
    combined = part.AND(ours.ResultFilter({"b": 2}))
    part["a"] = 100
    assert combined({"a": 1, "b": 2})


def test_xor_of_functions_compares_their_answers_as_nilearns_does():
    def a(metadata):
        return metadata["n"]

    for n in (0, 1, 2):
        mine = ours.ResultFilter(callable_filter=a).XOR(lambda metadata: 2)({"n": n})
        peers = theirs.ResultFilter(callable_filter=a).XOR(lambda metadata: 2)({"n": n})
        assert mine == peers


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.text(max_size=4),
        VALUES
        | st.sampled_from(
            ["NA", "N/a", "na ", "nan", "nAn", "None", "nonesuch", "NULL?", " none", "n//a", "\n", "na\n"]
        ),
        max_size=5,
    )
)
def test_null_strings_are_those_of_nilearn(metadata):
    before = copy.deepcopy(metadata)
    assert repr(ours.normalise(metadata)) == repr(theirs._remove_none_strings(metadata))
    assert repr(metadata) == repr(before)


def test_a_missing_field_counts_as_none():
    assert ours.matches({"a": None, "b": ours.IsNull()}, {})
    assert not ours.matches({"a": ours.NotNull()}, {})

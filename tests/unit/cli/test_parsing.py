"""What stands behind --where, --processor and --max-images."""

import click
import pytest

from nvframe.cli.options import MODES, query_of
from nvframe.cli.parsing import ALL, condition, limit, selector
from nvframe.filters import matches
from nvframe.pipeline import plan


@pytest.mark.parametrize(
    ("text", "kept", "dropped"),
    [
        ("map_type=T map", "T map", "Z map"),
        ("not_mni=false", False, True),
        ("n=12", 12, 13),
        ('n="12"', "12", 12),
        ("doi=null", None, "10.1/x"),
        ("name=", "", "x"),
        ("name!=x", "y", "x"),
        ("n>=20", 20, 19),
        ("n>20", 21, 20),
        ("n<=20", 20, 21),
        ("n < 20", 19, 20),
        ("name~lang", "a language map", "motor"),
        ("name=~mot.r", "motor lips", "lips motor"),
        ("name=a=b", "a=b", "a"),
        ("name=~~x", "~x", "x"),
    ],
)
def test_a_condition_keeps_and_drops(text, kept, dropped):
    field, wanted = condition(text)
    assert matches({field: wanted}, {field: kept})
    assert not matches({field: wanted}, {field: dropped})


@pytest.mark.parametrize("text", ["name", "=x", "", "name=~("])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(click.BadParameter):
        condition(text)


def test_not_a_number_stays_text():
    assert condition("x=NaN") == ("x", "NaN")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("resample-3mm", "resample-3mm"),
        ("smooth:fwhm=6", ("smooth", {"fwhm": 6})),
        ("mask:mask=a,b.nii.gz", ("mask", {"mask": "a,b.nii.gz"})),
        ("r:t=[3,3,3],i=nearest", ("r", {"t": [3, 3, 3], "i": "nearest"})),
        ("src:url=http://h:1/x", ("src", {"url": "http://h:1/x"})),
    ],
)
def test_a_selector_has_a_name_and_parameters(text, wanted):
    assert selector(text) == wanted


def test_a_limit_is_a_number_or_all():
    assert (limit("7"), limit("all"), limit("0")) == (7, ALL, 0)
    with pytest.raises(click.BadParameter):
        limit("-3")


def test_the_modes_are_the_cores():
    assert plan.MODES == MODES


def made(**options):
    nothing = {
        "where": (),
        "collection_where": (),
        "collection_ids": (),
        "image_ids": (),
        "storage_option": (),
    }
    rest = {
        "source": "neurovault",
        "max_images": None,
        "filters": (),
        "shard": None,
        "default_terms": True,
        "data_dir": None,
        "timeout": 10.0,
    }
    return query_of(**{**nothing, **rest, **options})


def test_without_conditions_the_core_chooses_the_terms():
    query = made()
    assert (query["image_terms"], query["collection_terms"], query["max_images"]) == (None, None, 100)


def test_a_condition_takes_the_place_of_the_default_on_its_field_only():
    query = made(where=[condition("is_thresholded=true")])
    assert query["image_terms"]["is_thresholded"] is True
    assert query["image_terms"]["not_mni"] is False
    assert set(query["collection_terms"]) == {"number_of_images"}


def test_two_conditions_on_one_field_must_both_hold():
    query = made(where=[condition("n>=10"), condition("n<20")], default_terms=False)
    kept = [
        n
        for n in (9, 10, 19, 20)
        if matches(query["image_terms"], {"n": n}) and query["image_filter"]({"n": n})
    ]
    assert kept == [10, 19]


def test_ids_bring_no_limit_and_leave_the_terms_to_the_core():
    query = made(image_ids=["3"])
    assert (query["image_terms"], query["max_images"], query["image_ids"]) == (None, ALL, ["3"])


def test_switched_off_defaults_are_empty_terms():
    query = made(default_terms=False)
    assert (query["image_terms"], query["collection_terms"]) == ({}, {})

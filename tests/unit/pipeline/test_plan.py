"""Plans and queries: what bad input says, and what tells one chain from another."""

import functools
import math
import pickle
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import nibabel
import numpy as np
import pytest

from nvframe.errors import PluginError, SourceError, UnknownPluginError
from nvframe.filters import GreaterThan, keep_all
from nvframe.http.retry import Retry
from nvframe.pipeline.identity import plain
from nvframe.pipeline.plan import MODES, checked_mode, checked_timeout, make_plan, make_query
from nvframe.plugins.registry import default_registry
from nvframe.sources.neurovault.source import NeuroVault
from nvframe.storage.remote import FsspecStorage

SOURCE = NeuroVault("http://127.0.0.1:9")


def query(**given):
    return make_query(SOURCE, default_registry(), **given)


def plan(**given):
    return make_plan(SOURCE, FsspecStorage("memory://plan"), default_registry(), **given)


BAD_QUERIES = {
    "mode": ({"mode": "downlaod_new"}, ValueError, "'mode' must be one of .*did you mean 'download_new'"),
    "mode None": ({"mode": None}, TypeError, "mode must be a str"),
    "terms list": ({"image_terms": [1]}, TypeError, "image_terms must be a dict .* got list"),
    "terms str": ({"collection_terms": "id=3"}, TypeError, "collection_terms must be a dict .* got str"),
    "filter": ({"image_filter": {"a": 1}}, TypeError, "image_filter must be callable, got dict"),
    "collection filter": ({"collection_filter": 3}, TypeError, "collection_filter must be callable"),
    "ids dict": ({"image_ids": {1: 2}}, TypeError, "image_ids must be a list of ids, got dict"),
    "ids object": ({"collection_ids": object()}, TypeError, "collection_ids must be a list of ids"),
    "ids complex": ({"image_ids": 3 + 4j}, TypeError, "image_ids must be a list of ids"),
    "limit str": ({"max_images": "10"}, TypeError, "max_images must be a number or None, got '10'"),
    "limit NaN": ({"max_images": math.nan}, ValueError, "max_images must be a number or None, got NaN"),
    "limit fraction": ({"max_images": 2.5}, ValueError, "max_images must be a whole number, got 2.5"),
    "shard past the end": (
        {"shard": (8, 8)},
        ValueError,
        r"shard must be \(i, n\) with 0 <= i < n.* got \(8, 8\)",
    ),
    "shard text": ({"shard": "0/8"}, ValueError, "shard must be"),
    "shard number": ({"shard": 3}, ValueError, "shard must be"),
    "shard fraction": ({"shard": (0.0, 2)}, ValueError, "shard must be"),
    "limit list": ({"max_images": [3]}, TypeError, "max_images must be a number"),
    "filters name": (
        {"filters": ["neurovault-basic-image"]},
        UnknownPluginError,
        "did you mean 'neurovault-basic-images'",
    ),
    "filters object": ({"filters": [keep_all]}, PluginError, "must be callable and have level"),
}


@pytest.mark.parametrize(("given", "error", "says"), BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_a_bad_query_is_one_clear_error(given, error, says):
    with pytest.raises(error, match=says):
        query(**given)


BAD_PLANS = {
    "a str": ({"processors": "resample-3mm"}, TypeError, "processors must be a list of names"),
    "None": ({"processors": None}, TypeError, "processors must be a list"),
    "a set": ({"processors": {"smooth"}}, TypeError, "processors must be a list"),
    "a number": ({"processors": [3]}, PluginError, "processor 3 cannot be called"),
    "a pair, bare": ({"processors": ("smooth", {"fwhm": 6})}, PluginError, "fwhm"),
    "unknown": ({"processors": ["resample-3m"]}, UnknownPluginError, "did you mean 'resample-3mm'"),
    "annotators str": ({"annotators": "neurosynth-words"}, TypeError, "annotators must be a list"),
    "annotator object": ({"annotators": [print]}, PluginError, r"has no method annotate\(record, img\)"),
    "annotator": ({"annotators": ["neurosynth"]}, UnknownPluginError, "did you mean 'neurosynth-words'"),
}


@pytest.mark.parametrize(("given", "error", "says"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_a_bad_plan_is_one_clear_error(given, error, says):
    with pytest.raises(error, match=says):
        plan(**given)


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan])
def test_a_timeout_is_positive(timeout):
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
        checked_timeout(timeout)


@pytest.mark.parametrize("timeout", ["10", None, True, (3, 4), 1j])
def test_a_timeout_is_a_number(timeout):
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        checked_timeout(timeout)


@pytest.mark.parametrize("timeout", [3, 2.5, np.float32(2.5), np.int64(3), Fraction(5, 2)])
def test_what_is_a_number_of_seconds_is_taken(timeout):
    assert checked_timeout(timeout) == float(timeout)


@pytest.mark.parametrize("mode", [*MODES, "OFFLINE", "Download_New"])
def test_a_mode_may_be_in_any_case(mode):
    assert checked_mode(mode) == query(mode=mode).mode == mode.lower()


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (None, None),
        (0, 0),
        (7, 7),
        (2.0, 2),
        (-1, None),
        (-3.5, None),
        (math.inf, None),
        (-math.inf, None),
        (np.inf, None),
        (np.int16(7), 7),
        (np.float32(7), 7),
        (True, 1),
        (Fraction(4, 2), 2),
    ],
)
def test_a_limit_is_what_nilearn_tolerates(given, limit):
    assert query(max_images=given).max_images == limit


def test_a_decimal_is_no_limit():
    with pytest.raises(TypeError, match="max_images"):
        query(max_images=Decimal(3))


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ([3, 1, 2], ("3", "1", "2")),
        ((3, 1), ("3", "1")),
        ({10, 9, 1}, ("1", "9", "10")),
        (frozenset(["b", "10", "9"]), ("9", "10", "b")),
        (np.array([3, 1]), ("3", "1")),
        (np.array([3.0, 1.0]), ("3", "1")),
        (["3", 3, 3.0, np.int32(3)], ("3",)),
        (range(3), ("0", "1", "2")),
        ((n for n in (2, 1)), ("2", "1")),
        (5, ("5",)),
        (np.int64(5), ("5",)),
        ("658", ("658",)),
        ([], ()),
    ],
)
def test_ids_in_every_form(given, ids):
    for name in ("image_ids", "collection_ids"):
        made = query(**{name: given})
        assert (getattr(made, name), made.by_ids) == (ids, True)
        if not isinstance(given, list | tuple | set | frozenset | range):
            break  # an iterator is used up


def test_ids_switch_the_default_terms_off():
    assert query(image_ids=[1]).image_terms == {}
    assert query(image_ids=[1], image_terms={"a": 1}).image_terms == {"a": 1}
    assert set(query().image_terms) >= {"not_mni", "map_type"}
    assert query(image_terms={}).image_terms == {}


def test_a_collection_id_moves_to_the_collection_terms():
    made = query(image_terms={"collection_id": 4, "a": 1})
    assert (made.image_terms, made.collection_terms["id"]) == ({"a": 1}, 4)


def test_contradictory_collection_ids_warn():
    with pytest.warns(UserWarning, match="contradictory collection ids.*collection_id=4.*id=5"):
        query(image_terms={"collection_id": 4}, collection_terms={"id": 5})
    query(image_terms={"collection_id": 4}, collection_terms={"id": GreaterThan(3)})


def test_filters_go_to_their_level():
    made = query(filters=["neurovault-basic-images", "neurovault-basic-collections"], image_filter=keep_all)
    assert [type(each).__name__ for each in made.image_filters] == ["function", "BasicImages"]
    assert [type(each).__name__ for each in made.collection_filters] == ["BasicCollections"]


# Chains


def role(*processors):
    return plan(processors=list(processors)).role


def double(img, record):
    return img


def test_the_plain_name_is_for_exactly_resample_3mm():
    assert plan().role == "original"
    assert role("resample-3mm") == "resampled"
    assert role(("resample-3mm", {"interpolation": "continuous"})) == "resampled"
    others = [
        role(("resample-3mm", {"interpolation": "linear"})),
        role(("smooth", {"fwhm": 6}), "resample-3mm"),
        role("resample-3mm", ("smooth", {"fwhm": 6})),
        role("resample-3mm", "resample-3mm"),
        role("resample"),
        role(double),
    ]
    assert len(set(others)) == len(others)
    assert all(re.fullmatch("proc-[0-9a-f]{8}", each) for each in others)


def test_the_original_is_kept_but_for_resample_3mm_alone():
    assert plan().keep_original
    assert not plan(processors=["resample-3mm"]).keep_original
    assert plan(processors=["resample-3mm"], keep_original=True).keep_original
    assert plan(processors=["resample"]).keep_original
    assert not plan(processors=["resample"], keep_original=False).keep_original


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, img, record):
        return img


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, img, record):
        return img


class Versioned(Scaled):
    def __init__(self, factor, version):
        super().__init__(factor)
        self.version = version


class Described(Scaled):
    def parameters(self):
        return {"factor": self.factor}


def scale(img, record, factor=1):
    return img


def closing_over(value):
    def processor(img, record):
        return value

    return processor


def image(value):
    return nibabel.Nifti1Image(np.full((2, 2, 2), value, "float32"), np.eye(4))


VARIANTS = {
    "constants": (lambda img, record: [img, 2], lambda img, record: [img, 3]),
    "nested constants": (lambda img, record: (lambda: 2)(), lambda img, record: (lambda: 3)()),
    "names": (lambda img, record: img.a(), lambda img, record: img.b()),
    "defaults": (lambda img, record, k=1: k, lambda img, record, k=2: k),
    "keyword defaults": (lambda img, record, *, k=1: k, lambda img, record, *, k=2: k),
    "closure": (closing_over(1), closing_over(2)),
    "closure over functions": (closing_over(closing_over(1)), closing_over(closing_over(2))),
    "arrays closed over": (closing_over(np.zeros(5000)), closing_over(np.arange(5000) // 4999)),
    "images closed over": (closing_over(image(1)), closing_over(image(2))),
    "partial": (functools.partial(scale, factor=2), functools.partial(scale, factor=3)),
    "instance": (Scaled(1), Scaled(2)),
    "instance with an array": (Scaled(np.zeros(5000)), Scaled(np.arange(5000) // 4999)),
    "slots": (Slotted(1), Slotted(2)),
    "version": (Versioned(1, "1"), Versioned(1, "2")),
    "parameters()": (Described(1), Described(2)),
    "parameters() with an image": (Described(image(1)), Described(image(2))),
    "bound method": (Scaled(1).__call__, Scaled(2).__call__),
    "class": (Scaled(1), Slotted(1)),
}


@pytest.mark.parametrize(("one", "other"), VARIANTS.values(), ids=VARIANTS)
def test_processors_that_differ_do_not_share_a_stored_result(one, other):
    assert role(one) == role(one)
    assert role(one) != role(other)


@pytest.mark.parametrize(
    ("one", "again"),
    [
        (closing_over(2), closing_over(2)),
        (Scaled([1, {"a": (2, 3)}]), Scaled([1, {"a": (2, 3)}])),
        (Scaled(np.ones(3)), Scaled(np.ones(3))),
        (Scaled({1, 2}), Scaled({2, 1})),
        (Described(image(1)), Described(image(1))),
        (functools.partial(scale, factor=2), functools.partial(scale, factor=2)),
        (Scaled(None), Scaled(None)),
    ],
)
def test_processors_that_are_alike_share_it(one, again):
    assert role(one) == role(again)


def test_an_identity_is_the_same_in_every_process():
    code = (
        "import functools, pathlib\n"
        "from nvframe.cache.layout import digest\n"
        "from nvframe.pipeline.identity import plain\n"
        "import numpy as np\n"
        "f = lambda img, record: (img, {'a', 'b', 'c'}, None)\n"
        "p = functools.partial(f, k=pathlib.Path('/a'), x=np.ones(3), s={'x', 'y', 'z'})\n"
        "print(digest(plain(p)))\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_an_object_that_holds_itself_has_an_identity():
    own = Scaled(1)
    own.me = own
    assert plain(own) == plain(own)


def test_a_version_stands_for_a_functions_code():
    def first(img, record):
        return img

    def second(img, record):
        return [img]

    first.version = second.version = "1"
    assert plain(first) == plain(second)


def test_a_plan_survives_pickle():
    made = plan(
        processors=["resample-3mm", ("smooth", {"fwhm": 6}), scale],
        annotators=["neurosynth-words"],
        retry=Retry(tries=2),
    )
    again = pickle.loads(pickle.dumps(made))
    assert (again.role, again.identities, again.retry) == (made.role, made.identities, made.retry)
    assert again.annotators[0].name == "neurosynth-words"


def test_a_source_at_no_url_is_one_error_without_secrets():
    with pytest.raises(SourceError, match="not an http or https URL") as caught:
        NeuroVault("ftp://me:pw0rd@host/x")
    assert "pw0rd" not in str(caught.value)

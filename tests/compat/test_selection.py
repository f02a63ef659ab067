"""Part A, line 4 of the contract: both keep the same images, whatever a query and the metadata look like.

The peer's local side filters normalised metadata, as ours always does: both read one directory offline.
That single operators and filters agree is in tests/unit/test_filters.py.
"""

import itertools
import json
import math
import shutil
import warnings

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nilearn.datasets import neurovault as theirs

from nvframe import neurovault as ours
from nvframe.filters import keep_all, normalise

FIELDS = ("map_type", "number_of_subjects", "naïve field", "DOI")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.floats(width=16, allow_nan=True, allow_infinity=False)
    | st.sampled_from(
        ["", "n/a", "NA", "None / Other", "null", "nan", "T map", "Z map", "20", "1e3", "Ψ ü 😀"]
    )
    | st.text(max_size=4)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2)
METADATA = st.dictionaries(st.sampled_from(FIELDS), VALUES)

# A condition is data, so that it can be built twice: ("GreaterThan", 3) for an operator, else a plain value.
BOUNDS = st.integers(-3, 40) | st.sampled_from(["T map", "20", "", 0.5])
OPERATORS = st.one_of(
    st.tuples(st.sampled_from(["IsNull", "NotNull"])),
    st.tuples(st.just("NotEqual"), SCALARS),
    st.tuples(
        st.sampled_from(["GreaterOrEqual", "GreaterThan", "LessOrEqual", "LessThan"]),
        BOUNDS,
    ),
    st.builds(
        lambda name, items: (name, *items),
        st.sampled_from(["IsIn", "NotIn", "Contains", "NotContains"]),
        st.lists(SCALARS, max_size=3),
    ),
    st.tuples(st.just("Pattern"), st.sampled_from(["(?i)t map", ".*a", "Ψ", "^$"])),
)
TERMS = st.dictionaries(st.sampled_from(FIELDS), OPERATORS | OPERATORS | SCALARS, max_size=2)
TREES = st.recursive(
    TERMS,
    lambda below: (
        st.tuples(st.sampled_from(["AND", "OR", "XOR"]), below, below) | st.tuples(st.just("NOT"), below)
    ),
    max_leaves=4,
)
FUNCTIONS = {
    "none": None,
    "truthy": lambda metadata: metadata.get("DOI"),
    "even": lambda metadata: metadata["id"] % 2 == 0,
    "wordy": lambda metadata: isinstance(metadata.get("map_type"), str),
}
PREDICATES = st.sampled_from(sorted(FUNCTIONS)) | TREES


def condition(module, value):
    return getattr(module, value[0])(*value[1:]) if isinstance(value, tuple) else value


def terms_of(module, terms):
    return {key: condition(module, value) for key, value in terms.items()}


def predicate(module, tree):
    """Return a filter of `module`; None for no filter."""
    if isinstance(tree, str):
        return FUNCTIONS[tree]
    if isinstance(tree, dict):
        return module.ResultFilter(terms_of(module, tree))
    first, *rest = (predicate(module, part) for part in tree[1:])
    return getattr(first, tree[0])(*rest)


def answer(ask):
    """Return what `ask` returns, or the kind of error it ends in."""
    try:
        return ask()
    except (TypeError, KeyError) as error:
        return type(error)


@settings(max_examples=400, derandomize=True)
@given(metadata=METADATA, terms=TERMS, tree=PREDICATES)
def test_the_filter_of_a_query_agrees(metadata, terms, tree):
    """A4: terms compare with `==` on the value side; null strings become `None`; an exception propagates."""
    metadata = {"id": 7, **metadata}
    keep = predicate(theirs, tree)
    local = theirs.ResultFilter(terms_of(theirs, terms))
    local = local.AND(keep) if keep else local
    try:
        expected = answer(lambda: bool(local(theirs._remove_none_strings(metadata))))
    except OverflowError:
        assume(False)  # the peer's `int(inf)` ends a fetch; here it is not equal
    mine = ours.ResultFilter(terms_of(ours, terms), predicate(ours, tree) or keep_all)
    assert answer(lambda: mine(normalise(metadata))) == expected


COLLECTIONS = st.lists(
    st.tuples(METADATA, st.lists(METADATA, min_size=1, max_size=3)), min_size=1, max_size=3
)


@pytest.fixture(scope="module")
def tiny_map(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), "f4"), np.eye(4)), path)
    return path.read_bytes()


def write_cache(root, collections, content):
    """Write what the peer leaves on disk of these collections."""
    image_ids = itertools.count(1)
    for collection_id, (collection, images) in enumerate(collections, start=1):
        directory = root / f"neurovault/collection_{collection_id}"
        directory.mkdir(parents=True)
        row = theirs._remove_none_strings(collection) | {"id": collection_id, "relative_path": directory.name}
        (directory / "collection_metadata.json").write_text(json.dumps(row))
        for image in images:
            image_id = next(image_ids)
            row = theirs._remove_none_strings(image) | {
                "id": image_id,
                "collection_id": collection_id,
                "relative_path": f"{directory.name}/image_{image_id}.nii.gz",
            }
            (directory / f"image_{image_id}_metadata.json").write_text(json.dumps(row))
            (directory / f"image_{image_id}.nii.gz").write_bytes(content)


def kept(module, root, image="none", collection="none", **query):
    """Return the ids that a call keeps, or the kind of error that it ends in."""
    filters = {"image_filter": predicate(module, image), "collection_filter": predicate(module, collection)}
    query["image_terms"] = terms_of(module, query["image_terms"])
    query["collection_terms"] = terms_of(module, query["collection_terms"])
    given_filters = {name: keep for name, keep in filters.items() if keep}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # terms that no record has are said on our side
        bunch = answer(
            lambda: module.fetch_neurovault(
                max_images=None, mode="offline", data_dir=root, verbose=0, **query, **given_filters
            )
        )
    return bunch if isinstance(bunch, type) else sorted(meta["id"] for meta in bunch.images_meta)


PARTS = {"image_terms": TERMS, "collection_terms": TERMS, "image": PREDICATES, "collection": PREDICATES}
NOTHING = {"image_terms": {}, "collection_terms": {}, "image": "none", "collection": "none"}


@st.composite
def queries(draw):
    """Draw one or two conditions: with all four at once hardly an image is ever left."""
    parts = draw(st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=2, unique=True))
    query = NOTHING | {part: draw(PARTS[part]) for part in parts}
    only = draw(st.sampled_from([None, None, 1, 2]))
    return query if only is None else query | {"image_terms": {**query["image_terms"], "collection_id": only}}


@settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(collections=COLLECTIONS, query=queries())
def test_both_keep_the_same_images(tmp_path, tiny_map, collections, query):
    """A4, end to end: term dicts, operators, filter trees and functions over one directory, offline."""
    root = tmp_path / "cache"
    shutil.rmtree(root, ignore_errors=True)
    write_cache(root, collections, tiny_map)
    mine = kept(ours, root, **query)  # first: the peer rewrites what it reads
    try:
        assert mine == kept(theirs, root, **query)
    except OverflowError:
        assume(False)


def test_nan_in_a_cache_of_nilearn_is_read_as_nilearn_reads_it(tmp_path, tiny_map):
    """A3, A4: nilearn writes NaN and Infinity into its JSON, and reads them back."""
    write_cache(tmp_path, [({"score": math.nan}, [{"score": math.nan}, {"score": math.inf}, {}])], tiny_map)
    for terms, expected in (({"score": ("NotNull",)}, [1, 2]), ({"score": ("GreaterThan", 3.0)}, [2])):
        query = {"image_terms": terms, "collection_terms": {}}
        assert kept(ours, tmp_path, **query) == expected
        assert kept(theirs, tmp_path, **query) == expected


@pytest.mark.parametrize("level", ["image", "collection"])
def test_an_exception_in_a_filter_propagates(sides, server, level):
    """A4: an exception in a filter propagates; ours names the record."""

    def broken(metadata):
        raise ZeroDivisionError(metadata["id"])

    for side in sides(server):
        with pytest.raises(ZeroDivisionError) as caught:
            side.fetch(**{f"{level}_filter": broken, f"{level}_terms": {}})
        assert caught.value.args == ({"image": 1001, "collection": 1}[level],)
    assert caught.value.__notes__ == [f"while filtering {level} {caught.value.args[0]}"]


@pytest.mark.parametrize("mode", ["download_new", "offline"])
def test_what_the_server_lists_is_filtered_like_what_is_stored(sides, server, mode):
    """A4: terms, keywords and functions together, cold and warm; local data first, then the server."""
    call = {
        "map_type": ours.IsIn("T map", "Z map"),
        "image_terms": {"number_of_subjects": ours.LessThan(21), "name": ours.Contains("synthetic")},
        "image_filter": lambda metadata: metadata["id"] != 1006,
        "collection_terms": {"DOI": ours.NotNull()},
        "collection_filter": lambda metadata: metadata["owner_name"].startswith("nv"),
        "max_images": None,
    }
    for side in sides(server):
        side.fetch(max_images=2, collection_terms={}, image_terms={})  # 1001 and 1002, of 31 and 32 subjects
        found = [meta["id"] for meta in side.fetch(mode=mode, **call).images_meta]
        assert found == ([] if mode == "offline" else [1003, 1004, 1005, 1007])

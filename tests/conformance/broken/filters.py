"""Filters, each with one fault; `fault` names the check that must find it."""

import pytest

from nvframe.filters import GreaterOrEqual
from nvframe.testing import FilterConformance

FIELD = "number_of_subjects"


class Large:
    """Does everything right."""

    level = "image"

    def __init__(self):
        self.terms = {FIELD: GreaterOrEqual(20)}

    def __call__(self, metadata):
        return (metadata.get(FIELD) or 0) >= 20


class Kit(FilterConformance):
    broken = Large
    kept = ({FIELD: 40, "name": "x"},)
    dropped = ({FIELD: 8, "name": "y"},)

    @pytest.fixture
    def filter_(self):
        return self.broken()


class Levelless(Large):
    level = "images"


class BrokenLevel(Kit):
    fault = "level_and_terms_are_there"
    broken = Levelless


class Strict(Large):
    def __call__(self, metadata):
        return (metadata.get(FIELD) or 0) >= 50


class BrokenJudgement(Kit):
    fault = "keeps_what_it_should"
    broken = Strict


class Indistinct(Large):
    def __call__(self, metadata):
        return metadata.get(FIELD) and super().__call__(metadata)


class BrokenAnswer(Kit):
    fault = "answer_is_true_or_false"
    broken = Indistinct


class Trusting(Large):
    def __call__(self, metadata):
        return metadata[FIELD] is not None and super().__call__(metadata)


class BrokenOnMissing(Kit):
    fault = "fields_may_be_missing"
    also = (
        "answer_is_true_or_false",
        "metadata_stay_as_they_are",
        "terms_hold_for_what_is_kept",
        "fresh_instances_agree",
    )
    broken = Trusting


class Scribbler(Large):
    def __call__(self, metadata):
        metadata["seen"] = True
        return super().__call__(metadata)


class BrokenMetadata(Kit):
    fault = "metadata_stay_as_they_are"
    broken = Scribbler


class Overpromising(Large):
    def __init__(self):
        self.terms = {FIELD: GreaterOrEqual(20), "modality": "fMRI-BOLD"}


class BrokenTerms(Kit):
    fault = "terms_hold_for_what_is_kept"
    broken = Overpromising


class Remembering(Large):
    calls = []

    def __init__(self):
        self.terms = {}

    def __call__(self, metadata):
        self.calls.append(metadata)
        return super().__call__(metadata) if metadata else len([m for m in self.calls if not m]) % 2 == 0


class BrokenFreshness(Kit):
    fault = "fresh_instances_agree"
    broken = Remembering

"""Annotators, each with one fault; `fault` names the check that must find it."""

import contextlib
import socket
import threading

import numpy as np
import pytest

from nvframe.testing import AnnotatorConformance
from nvframe.testing.conformance.frames import NameLetters


class Kit(AnnotatorConformance):
    broken = NameLetters

    @pytest.fixture
    def annotator(self):
        return self.broken()


class Vague(NameLetters):
    needs_network = 0


class BrokenAttributes(Kit):
    fault = "attributes_are_there"
    broken = Vague


class OneForAll(NameLetters):
    sidecar_name = "letters.json"


class BrokenSidecar(Kit):
    fault = "sidecar_has_a_name_of_its_own"
    broken = OneForAll


class Tuples(NameLetters):
    def annotate(self, record, img=None):
        return {letter: (count,) for letter, count in super().annotate(record, img).items()}

    def collate(self, annotations):
        return super().collate(
            [None if each is None else {k: v[0] for k, v in each.items()} for each in annotations]
        )


class BrokenAnnotation(Kit):
    fault = "annotation_is_json"
    broken = Tuples


class Counting(NameLetters):
    calls = 0

    def annotate(self, record, img=None):
        self.calls += 1
        return {**super().annotate(record, img), "n": self.calls}


class BrokenRepetition(Kit):
    fault = "gives_the_same_again"
    also = ("pickles",)
    broken = Counting


class Trusting(NameLetters):
    def annotate(self, record, img=None):
        record.metadata["name"]
        return super().annotate(record, img)


class BrokenOnUnknown(Kit):
    fault = "unknown_image_is_its_own_trouble"
    broken = Trusting


class Calling(NameLetters):
    def annotate(self, record, img=None):
        with contextlib.suppress(OSError), socket.socket() as line:
            line.connect(("127.0.0.1", 9))
        return super().annotate(record, img)


class BrokenNetwork(Kit):
    fault = "network_is_declared"
    broken = Calling


class Locked(NameLetters):
    def __init__(self):
        self.lock = threading.Lock()


class BrokenPickling(Kit):
    fault = "pickles"
    broken = Locked


class Once(NameLetters):
    closed = False

    def annotate(self, record, img=None):
        return {} if self.closed else super().annotate(record, img)

    def close(self):
        self.closed = True


class BrokenClose(Kit):
    fault = "serves_again_after_close"
    broken = Once


class Sorted(NameLetters):
    def collate(self, annotations):
        collated = super().collate(annotations)
        dims, counts, attrs = collated["letter_counts"]
        return {**collated, "letter_counts": (dims, np.sort(counts, axis=0), attrs)}


class BrokenAlignment(Kit):
    fault = "collation_is_aligned"
    also = ("failed_rows_are_kept",)
    broken = Sorted


class Zeros(NameLetters):
    def collate(self, annotations):
        return super().collate([each or {} for each in annotations])


class BrokenFailedRows(Kit):
    fault = "failed_rows_are_kept"
    broken = Zeros


class Demanding(NameLetters):
    def collate(self, annotations):
        max(len(each) for each in annotations if each is not None)
        return super().collate(annotations)


class BrokenOnNothing(Kit):
    fault = "nothing_collates_to_little"
    broken = Demanding


class Greedy(NameLetters):
    def collate(self, annotations):
        collated = super().collate(annotations)
        return {"stat_map": collated["letter_counts"], "letter": collated["letter"]}


class BrokenNames(Kit):
    fault = "collation_fits_a_dataset"
    broken = Greedy


class Fresh(dict):
    pass


class Particular(NameLetters):
    def annotate(self, record, img=None):
        return Fresh(super().annotate(record, img))

    def collate(self, annotations):
        return super().collate([each if each is None or type(each) is Fresh else {} for each in annotations])


class BrokenStored(Kit):
    fault = "stored_annotations_collate_alike"
    broken = Particular

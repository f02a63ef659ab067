"""Result formats, each with one fault; `fault` names the check that must find it."""

import json
from pathlib import Path

import pytest

from nvframe.testing import ResultFormatConformance


class Ids:
    """Does everything right."""

    def build(self, frame_view, *, prefix=""):
        return {"ids": [f"{prefix}{meta['id']}" for meta in frame_view.images_meta]}


class Kit(ResultFormatConformance):
    broken = Ids

    @pytest.fixture
    def result_format(self):
        return self.broken()

    def ids(self, result):
        return result["ids"] if result else None


class Misnamed:
    def make(self, frame_view):
        return {}


class BrokenContract(Kit):
    fault = "fulfils_the_contract"
    also = ...
    broken = Misnamed


class Silent(Ids):
    def build(self, frame_view, *, prefix=""):
        super().build(frame_view)


class BrokenResult(Kit):
    fault = "builds"
    also = ("empty_frame_is_no_trouble", "search_is_no_trouble")
    broken = Silent


class Sorted(Ids):
    def build(self, frame_view, *, prefix=""):
        return {"ids": sorted(super().build(frame_view, prefix=prefix)["ids"])}


class BrokenOrder(Kit):
    fault = "images_keep_their_order"
    broken = Sorted


class Scribbler(Ids):
    def build(self, frame_view, *, prefix=""):
        for meta in frame_view.images_meta:
            meta["path"] = prefix
        return super().build(frame_view)


class BrokenFrame(Kit):
    fault = "frame_stays_as_it_is"
    broken = Scribbler


class Growing(Ids):
    def __init__(self):
        self.rows = []

    def build(self, frame_view, *, prefix=""):
        self.rows = [*self.rows, *super().build(frame_view)["ids"]]
        return {"ids": self.rows}


class BrokenRepetition(Kit):
    fault = "builds_the_same_again"
    also = ("images_keep_their_order",)
    broken = Growing


class Demanding(Ids):
    def build(self, frame_view, *, prefix=""):
        frame_view.images_meta[0]
        return super().build(frame_view)


class BrokenOnNothing(Kit):
    fault = "empty_frame_is_no_trouble"
    broken = Demanding


class Greedy(Ids):
    def build(self, frame_view, *, prefix=""):
        for i, _ in enumerate(frame_view.images_meta):
            frame_view.assets[i]
        return super().build(frame_view)


class BrokenOnSearch(Kit):
    fault = "search_is_no_trouble"
    broken = Greedy


class Strict(Ids):
    def build(self, frame_view, *, prefix=""):
        if any(len(asset.shape) != 3 for asset in frame_view.assets):
            raise ValueError("not three-dimensional")
        return super().build(frame_view)


class BrokenOnOdd(Kit):
    fault = "odd_image_is_its_own_trouble"
    broken = Strict


class Permissive(Ids):
    def build(self, frame_view, **params):
        return super().build(frame_view)


class BrokenOptions(Kit):
    fault = "misspelt_option_is_refused"
    broken = Permissive


class Writer(Ids):
    def build(self, frame_view, *, url, overwrite=False):
        Path(url).write_text(json.dumps(super().build(frame_view)))
        return url


class BrokenOverwriting(Kit):
    fault = "overwrites_only_when_told"
    writes = True
    broken = Writer

    def ids(self, result):
        return json.loads(Path(result).read_text())["ids"]

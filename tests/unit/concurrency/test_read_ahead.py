"""Listings begun before their turn: in order, no more than allowed, no more than is likely to be wanted."""

from threading import Barrier, Event

import pytest

from nvframe.concurrency.read_ahead import read_ahead


class Sources:
    """Numbers the sources that were begun, and those whose items were pulled."""

    def __init__(self):
        self.begun = []

    def __call__(self, source):
        self.begun.append(source)
        return iter([source, -source])


@pytest.mark.parametrize("ahead", [0, 1, 3, 99])
def test_order_and_items_are_as_without(ahead):
    found = [(source, list(items)) for source, items in read_ahead(range(1, 6), Sources(), ahead)]
    assert found == [(n, [n, -n]) for n in range(1, 6)]


@pytest.mark.parametrize(("ahead", "begun"), [(0, 1), (1, 2), (3, 4), (99, 10)])
def test_no_more_are_begun_than_allowed(ahead, begun):
    sources = Sources()
    reading = read_ahead(range(10), sources, ahead)
    next(reading)
    assert len(sources.begun) == begun
    reading.close()


def test_one_is_begun_ahead_even_where_the_next_seems_enough_and_more_only_as_needed():
    sources = Sources()
    reading = read_ahead(range(10), sources, 8, lambda begun: len(begun) >= 4)
    next(reading)
    assert len(sources.begun) == 4
    reading.close()
    sources = Sources()
    reading = read_ahead(range(10), sources, 8, lambda begun: True)
    next(reading)
    assert len(sources.begun) == 2
    reading.close()


def test_the_first_items_are_fetched_at_the_same_time():
    together = Barrier(4)

    def begin(source):
        together.wait(10)
        yield source

    assert [list(items) for _, items in read_ahead(range(4), begin, 3)] == [[0], [1], [2], [3]]


def test_an_error_comes_in_its_turn():
    go_on = Event()

    def begin(source):
        if source == 2:
            go_on.set()
            raise ValueError("two")
        assert go_on.wait(10)
        yield source

    reading = read_ahead([1, 2, 3], begin, 2)
    assert next(reading)[0] == 1
    with pytest.raises(ValueError, match="two"):
        next(reading)

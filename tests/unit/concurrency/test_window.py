"""The window: order, limits and laziness, whatever finishes when."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvframe.concurrency import window as module
from nvframe.concurrency.window import Window


class Work:
    """Futures that finish when, and in the order that, the test says."""

    def __init__(self, items, choose):
        self.items = items  # (succeeds, is immediate) by index
        self.choose = choose
        self.running = {}
        self.pulled = 0
        self.submitted = []
        self.completed = []
        self.most_in_flight = self.most_spoken_for = 0
        self.successes = 0

    def source(self):
        for index in range(len(self.items)):
            self.pulled += 1
            yield index

    def submit(self, index):
        self.submitted.append(index)
        _, immediate = self.items[index]
        if immediate:
            return index
        future = Future()
        self.running[future] = index
        self.most_in_flight = max(self.most_in_flight, len(self.running))
        self.most_spoken_for = max(self.most_spoken_for, len(self.running) + self.successes)
        return future

    def complete(self, index):
        self.completed.append(index)
        self.successes += self.items[index][0]
        return self.items[index][0]

    def wait(self, futures, return_when):
        """Stand in for `concurrent.futures.wait`: some of the running ones finish now."""
        assert futures == set(self.running)
        waiting = sorted(futures, key=self.running.get)
        done = {future for future in waiting if self.choose()} or {waiting[-1]}
        for future in done:
            future.set_result(self.running.pop(future))
        return done, futures - done


@settings(max_examples=300)
@given(
    items=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30),
    wanted=st.none() | st.integers(0, 12),
    in_flight=st.integers(1, 6),
    data=st.data(),
)
def test_the_window_keeps_its_promises(items, wanted, in_flight, data):
    work = Work(items, lambda: data.draw(st.booleans()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "wait", work.wait)
        window = Window(work.submit, work.complete, wanted, in_flight)
        handed_on = list(window.run(work.source()))

    assert handed_on == work.submitted == list(range(len(handed_on))), "in the order of the items"
    assert sorted(work.completed) == handed_on, "each is told of once"
    successes = sum(items[index][0] for index in handed_on)
    available = sum(succeeds for succeeds, _ in items)
    assert successes == (available if wanted is None else min(wanted, available)), "a failure frees its slot"
    assert work.most_in_flight <= in_flight
    assert wanted is None or work.most_spoken_for <= wanted, "successes and unfinished never exceed the limit"
    assert work.running == {}
    assert work.pulled == len(work.submitted), "nothing is pulled that is not submitted"
    if wanted is not None and successes == wanted and handed_on:
        assert items[handed_on[-1]][0], "nothing is submitted once the last success is in"


def always_succeeds(result):
    return True


def test_nothing_is_pulled_where_nothing_is_wanted():
    def explode():
        raise AssertionError("pulled")
        yield

    assert list(Window(lambda item: item, always_succeeds, 0, 4).run(explode())) == []


def test_a_result_at_hand_is_handed_on_before_more_is_pulled():
    pulled = []

    def source():
        for item in range(5):
            pulled.append(item)
            yield item

    results = Window(lambda item: item, always_succeeds, None, 4).run(source())
    for item in range(5):
        assert next(results) == item
        assert pulled == list(range(item + 1))


def test_an_endless_source_is_not_run_through():
    def endless():
        item = 0
        while True:
            yield item
            item += 1

    with ThreadPoolExecutor(3) as pool:
        window = Window(lambda item: pool.submit(int, item), always_succeeds, 7, 6)
        assert list(window.run(endless())) == list(range(7))


def test_an_error_of_the_worker_is_raised():
    def divide(item):
        return 1 / item

    with ThreadPoolExecutor(1) as pool:
        results = Window(lambda item: pool.submit(divide, item), always_succeeds, None, 2).run([1, 0])
        with pytest.raises(ZeroDivisionError):
            list(results)


def test_an_error_of_the_source_is_raised_after_what_was_handed_on():
    def source():
        yield 1
        raise LookupError("the server is gone")

    results = Window(lambda item: item, always_succeeds, None, 2).run(source())
    assert next(results) == 1
    with pytest.raises(LookupError):
        next(results)


def test_an_error_of_one_future_need_not_cost_the_others():
    def work(item):
        if item == 1:
            raise MemoryError("killed")
        return str(item)

    def lost(item, error):
        return f"{item}: {error}"

    with ThreadPoolExecutor(2) as pool:
        window = Window(lambda item: pool.submit(work, item), always_succeeds, None, 2, lost=lost)
        assert list(window.run(range(3))) == ["0", "1: killed", "2"]
        with pytest.raises(MemoryError, match="killed"):
            list(Window(lambda item: pool.submit(work, item), always_succeeds, None, 2).run(range(3)))


def test_what_has_not_begun_is_cancelled_where_the_caller_stops():
    futures = []

    def submit(item):
        futures.append(Future())
        return futures[-1]

    def source():
        yield from range(3)
        futures[0].set_result("first")

    results = Window(submit, always_succeeds, None, 4).run(source())
    assert next(results) == "first"
    results.close()
    assert [future.cancelled() for future in futures] == [False, True, True]

"""Work in a thread, and errands that the training thread does for it."""

import itertools
import threading

import pytest

from dux_agent.deciding.background import BackgroundWork, Cancelled
from tests.waiting import wait_until


def at_once(function):
    """An errand of one slice."""
    yield from ()
    return function()


def finish(work):
    def over():
        work.serve()
        return work.over

    wait_until(over)


def test_an_errand_is_done_by_the_thread_that_serves():
    seen = []

    def errand():
        seen.append(threading.current_thread())
        return 7

    work = BackgroundWork(lambda: work.run_on_training_thread(at_once(errand)) + 1)
    work.start()
    finish(work)

    assert (8, None) == (work.result, work.error)
    assert [threading.current_thread()] == seen


def test_an_error_of_an_errand_comes_out_where_it_was_asked_for():
    def broken():
        raise LookupError("x")

    work = BackgroundWork(lambda: work.run_on_training_thread(at_once(broken)))
    work.start()
    finish(work)

    assert isinstance(work.error, LookupError)


def test_work_that_waits_for_an_errand_ends_when_it_is_cancelled():
    work = BackgroundWork(lambda: work.run_on_training_thread(at_once(int)))
    work.start()
    wait_until(lambda: work.waits)

    ended = work.cancel(60.0)

    assert ended
    assert isinstance(work.error, Cancelled)
    with pytest.raises(Cancelled):
        work.run_on_training_thread(at_once(int))


class Clock:
    """Seconds, which only slices move."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def errand(self, *seconds):
        for each in seconds:
            self.now += abs(each)
            yield each < 0
        return "done"


@pytest.mark.parametrize(
    ("seconds", "waits"),
    {
        "each is longer than the bound": ((0.2,) * 4, [0.2] * 4 + [0.0]),
        "three fit": ((0.015,) * 7, [0.045] * 2 + [0.015]),
        "all fit": ((0.001,) * 10, [0.01]),
        "a long one comes first": ((0.3, 0.01, 0.01), [0.3, 0.02]),
        "none": ((), [0.0]),
        "another kind comes next": ((0.01, -0.01, 0.04), [0.02, 0.04, 0.0]),
    }.values(),
)
def test_no_step_waits_longer_than_a_slice_or_fifty_milliseconds(seconds, waits):
    clock = Clock()
    errand = clock.errand(*seconds)
    work = BackgroundWork(lambda: work.run_on_training_thread(errand), clock=clock)
    work.start()
    wait_until(lambda: work.waits)

    seen = []
    while work.waits:
        before = clock.now
        work.serve()
        seen.append(clock.now - before)
    finish(work)

    assert "done" == work.result
    assert waits == pytest.approx(seen)


def test_an_errand_that_was_begun_is_ended_when_it_is_cancelled():
    ended = []

    def errand():
        try:
            while True:
                yield False
        finally:
            ended.append(True)

    slow = errand()
    work = BackgroundWork(
        lambda: work.run_on_training_thread(slow), clock=itertools.count().__next__
    )
    work.start()
    wait_until(lambda: work.waits)
    work.serve()

    assert work.cancel(60.0)
    assert [True] == ended
    assert isinstance(work.error, Cancelled)

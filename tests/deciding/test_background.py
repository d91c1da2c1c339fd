"""Work in a thread, and errands that the training thread does for it."""

import threading
import time

import pytest

from dux_agent.deciding.background import BackgroundWork, Cancelled
from tests.waiting import wait_until


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

    work = BackgroundWork(lambda: work.run_on_training_thread(errand) + 1)
    work.start()
    finish(work)

    assert (8, None) == (work.result, work.error)
    assert [threading.current_thread()] == seen


def test_an_error_of_an_errand_comes_out_where_it_was_asked_for():
    def broken():
        raise LookupError("x")

    work = BackgroundWork(lambda: work.run_on_training_thread(broken))
    work.start()
    finish(work)

    assert isinstance(work.error, LookupError)


def test_work_that_waits_for_an_errand_ends_when_it_is_cancelled():
    work = BackgroundWork(lambda: work.run_on_training_thread(lambda: 1))
    work.start()
    time.sleep(0.05)

    ended = work.cancel(5.0)

    assert ended
    assert isinstance(work.error, Cancelled)
    with pytest.raises(Cancelled):
        work.run_on_training_thread(lambda: 1)

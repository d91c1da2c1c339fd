import os
import signal
import subprocess
import sys
import time
import unittest

import pytest

from dux_agent import testing
from dux_agent.engines.processes import Process, processes
from dux_agent.engines.workers import WorkerDied, Workers
from dux_agent.errors import DuxError
from tests.waiting import alive, children_of, wait_until

_ENDLESS = {"do": "dux_agent.testing.engine_contract:hung"}


class _NeverReady:
    """A worker that is waited for, such as one in a cluster that is full."""

    ended = 0

    def ready(self, seconds):
        time.sleep(seconds)
        return False

    def end(self):
        type(self).ended += 1


class _Idle(_NeverReady):
    """Answers nothing, but at once."""

    def ready(self, seconds):
        return True

    def answer(self, job, seconds):
        return {}


def test_a_broken_engine_is_caught():
    class Tried(testing.EngineTestCase):
        __test__ = False

        def make(self, count, most_bytes, say):
            return Workers(_Idle, count, say=say)

    result = unittest.TestResult()
    Tried("test_answers_come_in_the_order_of_the_jobs").run(result)

    assert 1 == len(result.failures) + len(result.errors)


def test_a_worker_that_waits_for_its_place_leaves_the_job_to_another():
    makes = iter([_NeverReady, lambda: Process(None)])
    job = {"do": "dux_agent.testing.engine_contract:doubled", "number": 2}

    with Workers(lambda: next(makes)(), 2) as workers:
        answers = workers.map([(job, 240.0)] * 3)

    assert [{"doubled": 4}] * 3 == answers
    assert _NeverReady.ended


def test_where_no_worker_is_to_be_had_it_is_said():
    class Dead(_NeverReady):
        def ready(self, seconds):
            raise WorkerDied

    with Workers(Dead, 2) as workers, pytest.raises(DuxError, match="no worker"):
        workers.map([(_ENDLESS, 1.0)])


def test_what_a_listener_raises_comes_out_of_the_call_that_waits():
    def refuse(place, answer):
        raise OSError("the disk is full")

    job = {"do": "dux_agent.testing.engine_contract:doubled", "number": 2}
    with processes(1) as workers, pytest.raises(OSError, match="disk is full"):
        workers.map([(job, 240.0)], refuse)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is read")
def test_a_worker_that_hangs_ends_with_the_driver_that_was_killed(tmp_path):
    began = tmp_path / "began"
    script = (
        "from dux_agent.engines.processes import processes; import sys; "
        "job = {'do': 'dux_agent.testing.engine_contract:hung', 'path': sys.argv[1]}; "
        "processes(1).map([(job, 1000.0)])"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script, str(began)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    wait_until(began.exists)
    workers = children_of(driver.pid)

    driver.send_signal(signal.SIGKILL)
    driver.wait()

    assert workers
    wait_until(lambda: not any(map(alive, workers)))

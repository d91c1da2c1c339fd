"""What an engine promises, as tests that anybody's engine inherits."""

import os
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dux_agent.engines.workers import Job, Say, Workers, silent
from dux_agent.errors import DuxError
from dux_agent.testing.contract import ContractTestCase

_SECONDS = 240.0  # no machine, however busy, comes near it
_LATE = 0.5  # seconds that a job may take that takes for ever


class EngineTestCase(ContractTestCase):
    """Tries one engine; for pytest and unittest alike.

    class TestMine(EngineTestCase):
        def make(self, count, most_bytes, say):
            return Workers(MyWorker, count, say=say)
    """

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no engine to try; inherit it and make one"

    def make(self, count: int, most_bytes: int | None, say: Say) -> Workers:
        """So many workers; they see the files of this machine.

        Args:
            most_bytes: of memory that each may take beyond what it begins with.
            say: is told of each that died.
        """
        raise NotImplementedError("override make()")

    def test_answers_come_in_the_order_of_the_jobs(self) -> None:
        told: dict[int, int] = {}
        with self.make(2, None, silent) as workers:
            answers = workers.map(
                [(_job("doubled", number=number), _SECONDS) for number in range(6)],
                lambda place, answer: told.update({place: answer["doubled"]}),
            )

        self.assertEqual([0, 2, 4, 6, 8, 10], [each["doubled"] for each in answers])
        self.assertEqual({place: 2 * place for place in range(6)}, told)

    def test_several_threads_are_answered_at_a_time(self) -> None:
        def asked(number: int) -> int:
            [answer] = workers.map([(_job("doubled", number=number), _SECONDS)])
            return int(answer["doubled"])

        with self.make(2, None, silent) as workers, ThreadPoolExecutor(4) as threads:
            found = list(threads.map(asked, range(8)))

        self.assertEqual([2 * number for number in range(8)], found)

    def test_what_a_job_raises_is_its_answer_and_the_worker_lives(self) -> None:
        jobs = [_job("doubled", number=None), _job("doubled", number=1)]
        with self.make(1, None, silent) as workers:
            bad, good = workers.map([(job, _SECONDS) for job in jobs])

            self.assertEqual(1, workers.started)
        self.assertEqual("worker", bad["stage"])
        self.assertIn("TypeError", bad["why"])
        self.assertEqual(2, good["doubled"])

    def test_a_job_that_hangs_is_ended_and_the_next_one_is_done(self) -> None:
        hangs, good = _job("hung"), _job("doubled", number=1)
        with self.make(1, None, silent) as workers:
            late, done = workers.map([(hangs, _LATE), (good, _SECONDS)])

        self.assertEqual("limit", late["stage"])
        self.assertIn("more than 0.5 s", late["why"])
        self.assertEqual(2, done["doubled"])

    def test_a_job_whose_worker_dies_each_time_costs_itself_alone(self) -> None:
        jobs = [_job("killed"), _job("doubled", number=1)]
        with self.make(1, None, silent) as workers:
            dead, done = workers.map([(job, _SECONDS) for job in jobs])

        self.assertEqual("worker", dead["stage"])
        self.assertIn("died", dead["why"])
        self.assertEqual(2, done["doubled"])

    def test_a_job_whose_worker_dies_once_is_done_again_and_that_is_told(self) -> None:
        said: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            job = _job("killed_once", path=str(Path(folder) / "was here"))
            with self.make(1, None, said.append) as workers:
                [answer] = workers.map([(job, _SECONDS)])

        self.assertEqual({"again": True}, answer)
        self.assertEqual(1, len(said))
        self.assertIn("died", said[0])

    def test_a_job_that_takes_too_much_memory_costs_itself_alone(self) -> None:
        jobs = [_job("filled", size=1 << 32), _job("doubled", number=1)]
        with self.make(1, 1 << 31, silent) as workers:
            greedy, done = workers.map([(job, _SECONDS) for job in jobs])

        self.assertEqual("worker", greedy["stage"])
        self.assertEqual(2, done["doubled"])

    def test_who_waits_is_told_when_the_workers_are_sent_away(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            began = Path(folder) / "began"
            with ThreadPoolExecutor(1) as threads:
                with self.make(1, None, silent) as workers:
                    job = _job("hung", path=str(began))
                    waits = threads.submit(workers.map, [(job, _SECONDS)])
                    end = time.monotonic() + _SECONDS
                    while not began.exists() and time.monotonic() < end:
                        threading.Event().wait(0.01)

                self.assertIsInstance(waits.exception(_SECONDS), DuxError)
        with self.assertRaises(DuxError):
            workers.map([(_job("doubled", number=1), _SECONDS)])


def _job(name: str, **arguments: object) -> Job:
    return {"do": f"{__name__}:{name}", **arguments}


def doubled(number: int) -> dict[str, int]:
    """A job that is done at once."""
    return {"doubled": number + number}


def hung(path: str = "") -> None:
    """A job that never ends.

    Args:
        path: of a file that is made when it begins; "": none.
    """
    if path:
        Path(path).touch()
    threading.Event().wait()


def killed() -> None:
    """A job that takes its process with it."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(path: str) -> dict[str, bool]:
    """A job that takes its process with it unless the file is there, which it makes."""
    if not Path(path).exists():
        Path(path).touch()
        killed()
    return {"again": True}


def filled(size: int) -> dict[str, int]:
    """A job that takes so many bytes of memory."""
    return {"size": len(bytearray(size))}

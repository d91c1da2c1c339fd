"""Worker processes: a job that hangs is ended, one whose worker died is done again."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

Job = Mapping[str, Any]
Answer = dict[str, Any]

_START_SECONDS = 120.0
_TRIES = 3  # of a job, until its worker's death counts as its own fault
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dux_agent.evolving.worker import main; "
    "main(int(sys.argv[2]), json.loads(sys.argv[3]))"
)


class _Worker:
    """One process, which waits for jobs."""

    def __init__(self, most_bytes: int | None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [json.dumps(sys.path), str(theirs.fileno())]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, *arguments, json.dumps(most_bytes)],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._link = Connection(ours.detach())
        self.pid = self._process.pid
        try:
            started = self._heard(_START_SECONDS)
        except EOFError:
            started = None
        if started is None:
            self.end()
            raise EOFError("it did not start")

    def answer(self, job: Job, seconds: float) -> Answer | None:
        """What it answers; None where it is late. Raises EOFError where it died."""
        try:
            self._link.send_bytes(json.dumps(job).encode())
        except OSError:
            raise EOFError from None
        return self._heard(seconds)

    def _heard(self, seconds: float) -> Answer | None:
        try:
            if not self._link.poll(seconds):
                return None
            heard: Answer = json.loads(self._link.recv_bytes())
        except OSError:
            raise EOFError from None
        return heard

    def end(self) -> None:
        """End it and whatever it has started; may be called twice."""
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._link.close()


class Workers:
    """So many processes that do jobs; a context manager.

    Attributes:
        started: how many were started, those in place of dead ones included.
    """

    def __init__(self, count: int, *, most_bytes: int | None = None) -> None:
        """Start none yet: each is started with its first job.

        Args:
            most_bytes: of memory that a worker takes beyond what it begins with.
        """
        self._most_bytes = most_bytes
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(max_workers=count)
        self._living: set[_Worker] = set()
        self.started = 0

    @property
    def pids(self) -> list[int]:
        """Of the workers that live."""
        return [each.pid for each in list(self._living)]

    def map(
        self,
        jobs: Sequence[tuple[Job, float]],
        done: Callable[[int, Answer], None] = lambda place, answer: None,
    ) -> list[Answer]:
        """The answer to each job, in their order.

        Args:
            jobs: each with the seconds that it may take; then it is ended.
            done: is told of each as it comes, on a thread of its own.
        """

        def work(place: int) -> Answer:
            answer = self._done(*jobs[place])
            done(place, answer)
            return answer

        return list(self._threads.map(work, range(len(jobs))))

    def _done(self, job: Job, seconds: float) -> Answer:
        worker = self._idle.get()
        try:
            for _ in range(_TRIES):
                try:
                    if worker is None:
                        worker = _Worker(self._most_bytes)
                        self._living.add(worker)
                        self.started += 1
                    answer = worker.answer(job, seconds)
                except EOFError:
                    if worker is not None:
                        self._ended(worker)
                    worker = None
                    continue
                if answer is not None:
                    return answer
                self._ended(worker)
                worker = None
                return {"stage": "limit", "why": f"it took more than {seconds:g} s"}
            return {"stage": "worker", "why": f"its process died {_TRIES} times"}
        finally:
            self._idle.put(worker)

    def _ended(self, worker: _Worker) -> None:
        self._living.discard(worker)
        worker.end()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._living):
            self._ended(worker)
        self._threads.shutdown(cancel_futures=True)

"""What does jobs, whoever works: one that hangs is ended, one that died is replaced."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from dux_agent.errors import DuxError

Job = Mapping[str, Any]
"""`{"do": "module:function", ...}`, the rest are its arguments; all of it JSON."""

Answer = dict[str, Any]
"""What the function gave, as JSON; or `{"stage", "why"}`: "limit", or "worker"."""

Say = Callable[[str], None]

_TRIES = 3  # of a job, until its worker's death counts as its own fault
_STARTS = 3  # of a worker, until none is to be had
_POLL = 0.5  # seconds


def silent(line: str) -> None:
    """Say nothing."""


class WorkerDied(Exception):
    """A worker is gone, whatever it was doing."""


class Worker(Protocol):
    """One that does jobs, anywhere: an engine is what makes them."""

    def ready(self, seconds: float) -> bool:
        """Whether it takes jobs now; waits so long. Raises WorkerDied."""

    def answer(self, job: Job, seconds: float) -> Answer | None:
        """What it answers; None where that takes longer. Raises WorkerDied."""

    def end(self) -> None:
        """End it and whatever it has started; on any thread, and more than once."""


@dataclass
class _Asked:
    """A job that waits, or is under way."""

    job: Job
    seconds: float
    done: Callable[[Answer], None]
    tries: int = 0
    answer: Future[Answer] = field(default_factory=Future)


class Workers:
    """So many workers that do jobs, for several threads; a context manager.

    Attributes:
        started: how many were started, those in place of dead ones included.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        count: int,
        *,
        start_seconds: float | None = None,
        say: Say = silent,
    ) -> None:
        """Start none yet: that is done when there is something to do.

        Args:
            start: makes a worker, without waiting for it.
            count: of those that live at a time.
            start_seconds: until one is ready, or has died; None: that may take long.
            say: is told of each that died.
        """
        self.started = 0
        self._start, self._start_seconds, self._say = start, start_seconds, say
        self._asked: deque[_Asked] = deque()
        self._changed = threading.Condition()
        self._over: DuxError | None = None
        self._living: set[Worker] = set()
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(count)
        ]
        for each in self._threads:
            each.start()

    def map(
        self,
        jobs: Sequence[tuple[Job, float]],
        done: Callable[[int, Answer], None] = lambda place, answer: None,
    ) -> list[Answer]:
        """The answer to each job, in their order.

        Args:
            jobs: each with the seconds that it may take; then it is ended.
            done: is told of each as it comes, on a thread of its own.

        Raises:
            DuxError: no worker is to be had, or they were closed meanwhile.
        """

        def told(place: int) -> Callable[[Answer], None]:
            return lambda answer: done(place, answer)

        asked = [_Asked(*each, told(place)) for place, each in enumerate(jobs)]
        with self._changed:
            if self._over is not None:
                raise self._over
            self._asked.extend(asked)
            self._changed.notify_all()
        return [each.answer.result() for each in asked]

    def _work(self) -> None:
        """One after the other, with one worker as long as that lives."""
        worker: Worker | None = None
        while self._awaited():
            if worker is None:
                worker = self._begun()
            asked = None if worker is None else self._taken()
            if worker is None or asked is None:
                continue
            try:
                answer = worker.answer(asked.job, asked.seconds)
            except WorkerDied:
                self._ended(worker)
                worker = None
                self._died(asked)
                continue
            if answer is None:
                self._ended(worker)
                worker = None
                why = f"it took more than {asked.seconds:g} s"
                answer = {"stage": "limit", "why": why}
            _give(asked, answer)

    def _awaited(self) -> bool:
        """Whether there is a job, which is waited for; False: never any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked or self._over is not None)
            return self._over is None

    def _taken(self) -> _Asked | None:
        with self._changed:
            return self._asked.popleft() if self._asked else None

    def _begun(self) -> Worker | None:
        """A worker that takes jobs; None where there will be none.

        It is waited for without a job in hand, which another may do meanwhile.
        """
        for _ in range(_STARTS):
            worker = self._start()
            with self._changed:
                self._living.add(worker)
                self.started += 1
            began = time.monotonic()
            try:
                while self._over is None and not self._late(began):
                    if worker.ready(_POLL):
                        return worker
            except WorkerDied:
                pass
            self._ended(worker)
            if self._over is not None:
                return None
        self._close(
            f"no worker is to be had: {_STARTS} ended before their first job; memory "
            f"and processes for them were wanted; look whether there are some left, "
            f"and go on with --resume."
        )
        return None

    def _late(self, began: float) -> bool:
        most = self._start_seconds
        return most is not None and time.monotonic() - began > most

    def _died(self, asked: _Asked) -> None:
        """Have the job of a worker that died done again, by whoever is free."""
        asked.tries += 1
        if asked.tries == _TRIES:
            _give(asked, {"stage": "worker", "why": f"its process died {_TRIES} times"})
            return
        with self._changed:
            over = self._over
            if over is None:
                self._asked.appendleft(asked)
                self._changed.notify_all()
        if over is not None:
            asked.answer.set_exception(over)
        else:
            self._say("a worker died; what it was doing is done again")

    def _ended(self, worker: Worker) -> None:
        with self._changed:
            self._living.discard(worker)
        worker.end()

    def _close(self, why: str) -> None:
        with self._changed:
            self._over = self._over or DuxError(why)
            left = list(self._asked)
            self._asked.clear()
            self._changed.notify_all()
        for asked in left:
            asked.answer.set_exception(self._over)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._close("the workers were sent away; nothing more is done.")
        with self._changed:
            living = list(self._living)
        for worker in living:
            worker.end()
        for each in self._threads:
            each.join()


def _give(asked: _Asked, answer: Answer) -> None:
    try:
        asked.done(answer)
    # What is wrong with a journal is for the one who waits, on its own thread.
    except BaseException as error:
        asked.answer.set_exception(error)
    else:
        asked.answer.set_result(answer)

"""Decides in a thread of its own while training goes on.

The thread asks the language model and checks what it wrote. What needs the model or
the process's random numbers (the dry run) it leaves as an errand, which the training
thread does between two steps: training stays the same to the last bit, and pauses for
as long as a dry run takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class Cancelled(Exception):
    """The agent was closed before the decision was over."""


class _Errand:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None


class BackgroundWork:
    """One piece of work in a thread, with errands for the thread that started it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        """Start `work`; it may call `run_on_training_thread`."""
        self._errand: _Errand | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(work,), name="dux-decision", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self.result = work()
        except BaseException as error:  # handed to the training thread
            self.error = error

    @property
    def over(self) -> bool:
        """Whether the work has ended."""
        return not self._thread.is_alive()

    @property
    def waits(self) -> bool:
        """Whether the thread waits for something that `serve` would do."""
        return self._errand is not None

    def run_on_training_thread(self, work: Callable[[], Result]) -> Result:
        """Have `work` done by the training thread; waits. Called in the thread.

        Raises:
            Cancelled: nobody will do it any more.
            Whatever `work` raises.
        """
        errand = _Errand(work)
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._errand = errand
        errand.done.wait()
        if errand.error is not None:
            raise errand.error
        result: Result = errand.result
        return result

    def serve(self) -> None:
        """Do the errand that waits, if any. Called between two steps."""
        with self._lock:
            errand, self._errand = self._errand, None
        if errand is None:
            return
        try:
            errand.result = errand.work()
        except BaseException as error:
            errand.error = error
        errand.done.set()

    def cancel(self, seconds: float) -> bool:
        """Let the thread end as soon as it can; whether it has within `seconds`."""
        with self._lock:
            self._cancelled = True
            errand, self._errand = self._errand, None
        if errand is not None:
            errand.error = Cancelled()
            errand.done.set()
        self._thread.join(seconds)
        return self.over

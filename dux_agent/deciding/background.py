"""Decides in a thread of its own while training goes on.

The thread asks the language model and checks what it wrote. What needs the model or
the process's random numbers (the dry run) it leaves as an errand, which the training
thread does between steps: training stays the same to the last bit, and no step waits
longer than the longest slice of the errand takes, or 50 ms.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dux_sandbox.dry_runs.slices import Slices

Result = TypeVar("Result")
_MOST_SECONDS = 0.05
_MOMENT = 0.001


class Cancelled(Exception):
    """The decision was given up before it was over; says why."""


@dataclass(eq=False)
class _Errand:
    work: Slices[Any]
    done: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None


class BackgroundWork:
    """One piece of work in a thread, with errands for the thread that started it."""

    def __init__(
        self, work: Callable[[], Any], *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Do `work` when it is started; it may call `run_on_training_thread`.

        Args:
            clock: seconds.
        """
        self._clock = clock
        self._errand: _Errand | None = None
        self._lock = threading.Lock()
        self._cancelled: str | None = None  # why, once it is
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

    def run_on_training_thread(self, work: Slices[Result]) -> Result:
        """Have `work` done by the training thread; waits. Called in the thread.

        Raises:
            Cancelled: nobody will do it any more.
            Whatever `work` raises.
        """
        errand = _Errand(work)
        with self._lock:
            if self._cancelled is not None:
                raise Cancelled(self._cancelled)
            self._errand = errand
        errand.done.wait()
        if errand.error is not None:
            raise errand.error
        result: Result = errand.result
        return result

    def serve_whole(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Wait for errands and do each whole, until it is `enough` or all is over."""
        while not (enough() or self.over):
            if self.waits:
                self.serve(math.inf)
            else:
                self._thread.join(_MOMENT)

    def serve(self, most: float = _MOST_SECONDS) -> None:
        """Go on with the errand that waits, if any. Called between two steps.

        One slice at least, then as many like the last as have room in 50 ms.

        Raises:
            BaseException: an interrupt; the errand is given up first.
        """
        errand, began = self._errand, self._clock()
        last = began
        while errand is not None:
            try:
                unlike = next(errand.work)
            except StopIteration as end:
                errand.result = end.value
                break
            except Exception as error:
                errand.error = error
                break
            except BaseException as error:  # meant for the loop, and not for a thread
                errand.error = Cancelled(f"it was interrupted: {type(error).__name__}")
                self._over(errand)
                raise
            now = self._clock()
            room = (now - began) + (now - last) <= most
            if not room or (unlike and most < math.inf):
                return
            last = now
        if errand is not None:
            self._over(errand)

    def _over(self, errand: _Errand) -> None:
        self._errand = None
        errand.done.set()

    def cancel(self, seconds: float, because: str = "") -> bool:
        """Let the thread end as soon as it can; whether it has within `seconds`.

        Args:
            because: what `Cancelled` says in the thread.
        """
        with self._lock:
            self._cancelled = because
            errand = self._errand
        if errand is not None:
            try:
                errand.work.close()
            finally:  # else the thread would wait for ever
                errand.error = Cancelled(because)
                self._over(errand)
        self._thread.join(seconds)
        return self.over

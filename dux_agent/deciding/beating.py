"""Says that this rank is at work, so that the others wait as long as that takes."""

import threading
from collections.abc import Callable

from dux_agent.errors import RanksLost
from dux_agent.training.ranks import Ranks

# How often a rank that is at work says so.
_BEAT_SECONDS = 1.0
_AT_WORK, _OVER, _FAILED = 0.0, 1.0, 2.0


class Beating:
    """Tells the others, every second, that this rank is at work, until none is.

    A context manager, which all ranks enter; it is left when all leave it.

    Attributes:
        raised: what ended the work here; whoever is at work sets it.
        failed: the ranks that were the first to end so; the same on all.
    """

    def __init__(self, ranks: Ranks, stop: Callable[[], None] = lambda: None) -> None:
        """`stop` is called, on another thread, where one of the others is gone."""
        self.raised: BaseException | None = None
        self.failed: list[int] = []
        self._ranks, self._stop = ranks, stop
        self._over = threading.Event()
        self._error: RanksLost | None = None
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        over = False
        try:
            while not over:
                told = _AT_WORK
                if self._over.wait(_BEAT_SECONDS):
                    told = _OVER if self.raised is None else _FAILED
                heard = self._ranks.gather(told)
                if not self.failed:
                    self.failed = [at for at, x in enumerate(heard) if x == _FAILED]
                over = all(heard)
        except RanksLost as error:
            self._error = error
            self._stop()

    def __enter__(self) -> "Beating":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

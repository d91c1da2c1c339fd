"""What a run beside the training has of its own, while it is gone on with."""

from __future__ import annotations

from collections.abc import Collection

from dux_sandbox.dry_runs.bystanders import Bystanders, Taken
from dux_sandbox.random_state import RandomState, seed_all


class Aside:
    """The random numbers and the bystanders of one run; a context manager.

    It may be entered again and again: inside they are the run's, which goes on where it
    left them, and outside the training's, which knows nothing of it.
    """

    def __init__(
        self,
        seed: int,
        bystanders: Bystanders,
        resting: Collection[int],
        *,
        again: bool,
    ) -> None:
        """The run begins with random numbers of this seed, and training's bystanders.

        Args:
            resting: ids of tensors that nobody moves, of which no copy is needed.
            again: it is entered more than once.
        """
        self._again = again
        self._seed = seed
        self._bystanders = bystanders
        self._resting = resting
        self._own: tuple[RandomState, Taken] | None = None

    def _take(self) -> tuple[RandomState, Taken]:
        return RandomState.take(), self._bystanders.take(resting=self._resting)

    def __enter__(self) -> None:
        self._trainings = self._take()
        self._bystanders.forget_gradients()
        if self._own is None:
            seed_all(self._seed)
        else:
            _put_back(self._own)

    def __exit__(self, *error: object) -> None:
        if self._again:
            self._own = self._take()
        _put_back(self._trainings)


def _put_back(taken: tuple[RandomState, Taken]) -> None:
    random, bystanders = taken
    bystanders.restore()
    random.restore()

"""What a run beside the training has of its own, while it is gone on with."""

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from dux_sandbox.dry_runs.bystanders import Bystanders, Taken
from dux_sandbox.random_state import RandomState, seed_all


@dataclass(eq=False)
class Aside:
    """The random numbers and the bystanders of one run; a context manager.

    It may be entered again and again: inside they are the run's, which goes on where it
    left them, and outside the training's, which knows nothing of it.

    Attributes:
        seed: of the random numbers that the run begins with.
        bystanders: the training's, with which it begins.
        resting: ids of tensors that nobody moves, of which no copy is needed.
        again: it is entered more than once.
    """

    seed: int
    bystanders: Bystanders
    resting: Collection[int]
    _: KW_ONLY
    again: bool
    _own: tuple[RandomState, Taken] | None = None

    def _take(self) -> tuple[RandomState, Taken]:
        return RandomState.take(), self.bystanders.take(resting=self.resting)

    def __enter__(self) -> None:
        self._trainings = self._take()
        self.bystanders.forget_gradients()
        if self._own is None:
            seed_all(self.seed)
        else:
            _put_back(self._own)

    def __exit__(self, *error: object) -> None:
        if self.again:
            self._own = self._take()
        _put_back(self._trainings)


def _put_back(taken: tuple[RandomState, Taken]) -> None:
    random, bystanders = taken
    bystanders.restore()
    random.restore()

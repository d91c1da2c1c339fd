"""Trainings that take turns, one step each, and the processor's time of every step.

Each runs in a thread of its own, so that a framework whose loop is its own can take
turns too: it waits where it asks for its next batch. Nothing but the training whose
turn it is runs. Where a model's memory happens to lie makes its passes some per cent
faster or slower, so all train one model, and their threads share one heap, in which a
step finds the blocks that the step before it has left.
"""

import ctypes
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Semaphore, local
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch.autograd import Variable
from torch.nn import functional
from torch.optim import sgd

from dux_agent.tasks.in_memory import Batch

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's mallopt
_sgd = sgd.sgd
_passes = local()  # `mine`: those of the training in this thread


class StepTime(NamedTuple):
    """Seconds of the processor in one step.

    Attributes:
        whole: from one batch to the next, of the whole process.
        outside: of them outside forward pass, backward pass and torch's SGD.
    """

    whole: float
    outside: float


class Passes:
    """Computes losses, and counts the seconds of both passes and of torch's SGD."""

    def __init__(self) -> None:
        self.seconds = self._began = 0.0

    def __call__(self, model: Any, batch: Any) -> torch.Tensor:
        self._began = time.process_time()
        inputs, targets = batch
        loss = functional.mse_loss(model(inputs), targets)
        loss.register_hook(self._backward_begins)
        self._ends()
        return loss

    def _backward_begins(self, _: torch.Tensor) -> None:
        self._began = time.process_time()
        engine: Any = Variable._execution_engine
        engine.queue_callback(self._ends)

    def _ends(self) -> None:
        self.seconds += time.process_time() - self._began


Training = Callable[[Passes, Iterator[Batch]], None]
"""Computes the loss of each batch by the first, and steps."""


def take_turns(
    trainings: Sequence[Training], data: Sequence[Batch], steps: int, *, first: int = 0
) -> list[list[StepTime]]:
    """Let them step in turn, in each round in another order; the times of each.

    Args:
        trainings: all of one model.
        data: batches, given again and again.
        steps: of each training.
        first: the one that is begun first.

    Raises:
        Whatever a training raises.
    """
    turns = _Turns(data, steps, len(trainings))
    one_heap = _one_heap()
    with one_heap, patch.object(sgd, "sgd", _timed_sgd), turns.threads() as pool:
        futures = [pool.submit(turns.train, *each) for each in enumerate(trainings)]
        turns.go(first)
    for each in futures:
        each.result()
    return turns.times


class _Turns:
    """Whose turn it is.

    Attributes:
        times: of the steps of each training; a framework may not ask for more after its
            last one, whose time is not there then.
    """

    def __init__(self, data: Sequence[Batch], steps: int, count: int) -> None:
        self.times: list[list[StepTime]] = [[] for _ in range(count)]
        self._data, self._steps = data, steps
        self._turn = [Semaphore(0) for _ in range(count)]
        self._back = Semaphore(0)
        self._over: set[int] = set()
        self._stopped = False

    @contextmanager
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        """One for each; none of them waits for a turn after this."""
        with ThreadPoolExecutor(len(self._turn)) as pool:
            try:
                yield pool
            finally:
                self._stopped = True
                for turn in self._turn:
                    turn.release()

    def go(self, first: int) -> None:
        """Give turns until all trainings are over, or one of them has failed."""
        count = len(self._turn)
        begun = [(first + index) % count for index in range(count)]
        between = list(itertools.permutations(begun))
        orders = itertools.islice(itertools.cycle(between), 1, self._steps)
        for index in itertools.chain(begun, *orders, begun):
            if index not in self._over:
                self._turn[index].release()
                self._back.acquire()
            if self._stopped:
                return

    def train(self, index: int, training: Training) -> None:
        """One training, in its thread, from its first turn on."""
        passes = _passes.mine = Passes()
        self._turn[index].acquire()
        try:
            training(passes, self._batches(index, passes))
        except BaseException:
            self._stopped = True
            raise
        finally:
            self._over.add(index)
            self._back.release()

    def _batches(self, index: int, passes: Passes) -> Iterator[Batch]:
        for batch in itertools.islice(itertools.cycle(self._data), self._steps):
            if self._stopped:
                return
            began, within = time.process_time(), passes.seconds
            yield batch
            whole, within = time.process_time() - began, passes.seconds - within
            self.times[index].append(StepTime(whole, whole - within))
            self._back.release()
            self._turn[index].acquire()


def _timed_sgd(*arguments: Any, **options: Any) -> None:
    began = time.process_time()
    _sgd(*arguments, **options)
    _passes.mine.seconds += time.process_time() - began


@contextmanager
def _one_heap() -> Iterator[None]:
    """Threads that begin inside take memory from the heap of the first.

    By default each has one of its own, and the same training is up to 10 % slower in
    one thread than in another. Elsewhere than with glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_ARENA_MAX, 1)
    try:
        yield
    finally:
        mallopt(_ARENA_MAX, 0)  # as many as it finds good, as by default

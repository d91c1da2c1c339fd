"""What an agent that never decides adds to a step, in a plain loop and in frameworks.

Two trainings take turns, a few steps each, the one without an agent and the one with
it. Each runs in a thread of its own, so that a framework whose loop is its own can take
turns too: it waits where it asks for its next batch. The times are the processor's, of
the whole process: nothing but the training whose turn it is runs in it. The model has a
million weights and its step takes some ten milliseconds: enough to drive the agent's
own code out of the caches between two calls, so that it costs several times what it
does beside a tiny model. A turn has steps enough for the norm of the gradients, which
is looked at now and then.

Forward and backward pass and torch's own SGD are nearly all of a step and the agent has
no part in them, but where a model's memory happens to lie makes them 2 % faster or
slower. So what is compared is the time outside them: of each turn with the turn before
it, and of these differences the mean of the middle half. It is told in percent of a
whole step.
"""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import Semaphore, local
from typing import Any
from unittest.mock import patch

import torch
from torch.autograd import Variable
from torch.nn import functional
from torch.optim import sgd

from dux_agent.benchmarks.framework_loops import LOOPS, Run
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.tasks.in_memory import Batch

ROUNDS = 40
STEPS_A_ROUND = 12
BAR = 1.0  # percent
_WARM = 2  # rounds that fill caches and allocators
_ROWS = 192  # in a batch
_WIDTH = 700  # of every layer: 981,400 weights


def measure(rounds: int = ROUNDS, steps: int = STEPS_A_ROUND) -> Measurement:
    """The largest overhead in percent of a bare step, of the loops that are installed.

    Args:
        rounds: how often the two trainings take turns.
        steps: training steps a turn.
    """
    told, worst = [], -100.0
    for name, loop in LOOPS.items():
        if name != "plain" and find_spec(name) is None:
            told.append(f"{name}: not installed")
            continue
        added, whole = _turn_about(loop, rounds, steps)
        overhead = 100 * added / whole
        worst = max(worst, overhead)
        of = f"{1e6 * added:.0f} us of {1e3 * whole:.1f} ms"
        told.append(f"{name} {overhead:.2f} % ({of})")
    return Measurement(
        name="an agent that never decides, in each loop",
        value=worst,
        bar=BAR,
        unit="%",
        detail=f"a million weights, {rounds} rounds of {steps} steps, outside its "
        f"passes and torch's SGD; {'; '.join(told)}",
    )


def _turn_about(loop: Run, rounds: int, steps: int) -> tuple[float, float]:
    """Seconds that an agent adds to a step, and of a whole step without one."""
    turns = _Turns(rounds, steps)

    def run(attached: bool) -> None:
        turns.begin(attached)
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(_WIDTH, _WIDTH),
            torch.nn.Tanh(),
            torch.nn.Linear(_WIDTH, _WIDTH),
        )
        passes = _passes.mine = _Passes()
        try:
            loop(model, passes, turns.batches(attached, passes), turns.total, attached)
        finally:
            turns.leave(attached)

    with ThreadPoolExecutor(2) as pool, patch.object(sgd, "sgd", _timed_sgd):
        for done in [pool.submit(run, attached) for attached in (False, True)]:
            done.result()
    pairs = zip(turns.outside[False], turns.outside[True], strict=True)
    added = sorted(attached - bare for bare, attached in pairs)
    quarter = len(added) // 4
    middle = added[quarter : len(added) - quarter]
    return statistics.mean(middle), statistics.median(turns.whole)


class _Passes:
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


_passes = local()  # `mine`: those of the training in this thread
_sgd = sgd.sgd


def _timed_sgd(*arguments: Any, **options: Any) -> None:
    began = time.process_time()
    _sgd(*arguments, **options)
    _passes.mine.seconds += time.process_time() - began


class _Turns:
    """Batches for two trainings, of which one runs while the other waits.

    Attributes:
        total: steps of each training.
        outside: seconds of a step outside its passes in each round that counts; of the
            attached one, True.
        whole: seconds of a step without an agent, in the same rounds.
    """

    def __init__(self, rounds: int, steps: int) -> None:
        # In the last round the other training may be ending beside it.
        self._rounds, self._steps = _WARM + rounds + 1, steps
        self.total = self._rounds * steps
        self.outside: dict[bool, list[float]] = {False: [], True: []}
        self.whole: list[float] = []
        self._turn = {False: Semaphore(1), True: Semaphore(0)}
        drawn = torch.Generator().manual_seed(0)
        inputs = [torch.randn(_ROWS, _WIDTH, generator=drawn) for _ in range(steps)]
        self._data: list[Batch] = [(each, each.roll(1, 1)) for each in inputs]

    def begin(self, attached: bool) -> None:
        """Wait until it is the turn of one training."""
        self._turn[attached].acquire()

    def batches(self, attached: bool, passes: _Passes) -> Iterator[Batch]:
        """The batches of one training; the first of a round waits for its turn."""
        for round_ in range(self._rounds):
            if round_:
                self.begin(attached)
            began, within = time.process_time(), passes.seconds
            yield from self._data
            taken, within = time.process_time() - began, passes.seconds - within
            if _WARM <= round_ < self._rounds - 1:
                self.outside[attached].append((taken - within) / self._steps)
                if not attached:
                    self.whole.append(taken / self._steps)
            self._turn[not attached].release()

    def leave(self, attached: bool) -> None:
        """A training has ended: the other one need not wait for it any more."""
        for _ in range(self._rounds):
            self._turn[not attached].release()

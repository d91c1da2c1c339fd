"""What an agent that never decides adds to a step, in a plain loop and in frameworks.

Two trainings take turns, a few steps each, the one without an agent and the one with
it. Each runs in a thread of its own, so that a framework whose loop is its own can take
turns too: it waits where it asks for its next batch. The times are the processor's, of
the whole process: nothing but the training whose turn it is runs in it. The model has a
million weights and its step takes some ten milliseconds: enough to drive the agent's
own code out of the caches between two calls, so that it costs several times what it
does beside a tiny model. A turn has steps enough for the norm of the gradients, which
is looked at now and then.
"""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import Semaphore

import torch

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
        bare, attached = _turn_about(loop, rounds, steps)
        overhead = 100 * (attached / bare - 1)
        worst = max(worst, overhead)
        added, whole = 1e6 * (attached - bare), 1e3 * bare
        told.append(f"{name} {overhead:.2f} % ({added:.0f} us of {whole:.1f} ms)")
    return Measurement(
        name="an agent that never decides, in each loop",
        value=worst,
        bar=BAR,
        unit="%",
        detail=f"a million weights, {rounds} rounds of {steps} steps, of which the "
        f"fastest quarter counts; {'; '.join(told)}",
    )


def _turn_about(loop: Run, rounds: int, steps: int) -> tuple[float, float]:
    """Seconds of a step without an agent and with one, when nothing disturbs it."""
    turns = _Turns(rounds, steps)

    def run(attached: bool) -> None:
        turns.begin(attached)
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Linear(_WIDTH, _WIDTH),
            torch.nn.Tanh(),
            torch.nn.Linear(_WIDTH, _WIDTH),
        )
        try:
            loop(model, turns.batches(attached), turns.total, attached)
        finally:
            turns.leave(attached)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, attached) for attached in (False, True)]:
            done.result()
    bare, attached = (
        statistics.quantiles(turns.times[each], n=4)[0] for each in (False, True)
    )
    return bare, attached


class _Turns:
    """Batches for two trainings, of which one runs while the other waits.

    Attributes:
        total: steps of each training.
        times: seconds of a step in each round that counts; of the attached one, True.
    """

    def __init__(self, rounds: int, steps: int) -> None:
        # In the last round the other training may be ending beside it.
        self._rounds, self._steps = _WARM + rounds + 1, steps
        self.total = self._rounds * steps
        self.times: dict[bool, list[float]] = {False: [], True: []}
        self._turn = {False: Semaphore(1), True: Semaphore(0)}
        drawn = torch.Generator().manual_seed(0)
        inputs = [torch.randn(_ROWS, _WIDTH, generator=drawn) for _ in range(steps)]
        self._data: list[Batch] = [(each, each.roll(1, 1)) for each in inputs]

    def begin(self, attached: bool) -> None:
        """Wait until it is the turn of one training."""
        self._turn[attached].acquire()

    def batches(self, attached: bool) -> Iterator[Batch]:
        """The batches of one training; the first of a round waits for its turn."""
        for round_ in range(self._rounds):
            if round_:
                self.begin(attached)
            began = time.process_time()
            yield from self._data
            taken = time.process_time() - began
            if _WARM <= round_ < self._rounds - 1:
                self.times[attached].append(taken / len(self._data))
            self._turn[not attached].release()

    def leave(self, attached: bool) -> None:
        """A training has ended: the other one need not wait for it any more."""
        for _ in range(self._rounds):
            self._turn[not attached].release()

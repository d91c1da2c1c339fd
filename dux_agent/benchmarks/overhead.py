"""What an agent that never decides adds to a step, in a plain loop and in frameworks.

Two trainings take turns, a few steps each, the one without an agent and the one with
it. Each runs in a thread of its own, so that a framework whose loop is its own can take
turns too: it waits where it asks for its next batch. The times are the processor's, of
the whole process: nothing but the training whose turn it is runs in it. The model is
tiny, so that what is added stands out of what other processes do to the caches, and it
is told as a share of a step of ten milliseconds, as one of a million weights takes. Not
in it is the norm of the gradients, some 0.2 ms for so many, which is looked at in fewer
and fewer steps of an interval.
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

ROUNDS = 100
STEPS_A_ROUND = 10
BAR = 1.0  # percent
STEP = 0.01  # seconds, of the step that the overhead is a share of
_WARM = 2  # rounds that fill caches and allocators
_ROWS = 4  # in a batch
_WIDTH = 32  # of every layer


def measure(rounds: int = ROUNDS, steps: int = STEPS_A_ROUND) -> Measurement:
    """The largest overhead in percent of 10 ms, of those loops that are installed.

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
        overhead = 100 * (attached - bare) / STEP
        worst = max(worst, overhead)
        told.append(f"{name} {overhead:.2f} % ({1e6 * (attached - bare):.0f} us)")
    return Measurement(
        name="an agent that never decides, in each loop",
        value=worst,
        bar=BAR,
        unit="%",
        detail=f"{rounds} rounds of {steps} steps, of which the "
        f"fastest tenth counts, as shares of a step of 10 ms; {'; '.join(told)}",
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
        statistics.quantiles(turns.times[each], n=10)[0] for each in (False, True)
    )
    return bare, attached


class _Turns:
    """Batches for two trainings, of which one runs while the other waits.

    Attributes:
        total: steps of each training.
        times: seconds of each step that counts; of the attached one, True.
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
            for batch in self._data:
                began = time.process_time()
                yield batch
                if _WARM <= round_ < self._rounds - 1:
                    self.times[attached].append(time.process_time() - began)
            self._turn[not attached].release()

    def leave(self, attached: bool) -> None:
        """A training has ended: the other one need not wait for it any more."""
        for _ in range(self._rounds):
            self._turn[not attached].release()

"""What an agent that does not decide adds to a step, in a plain loop and in frameworks.

Three trainings of one model take turns, one step each: two without an agent, one with
it. How far the two differ that are alike shows what can be told apart at all. They are
begun anew several times, another of the three first: what is told is the mean over
these, with its 95 % interval. The times are the processor's, of the whole process. The
model has a million weights and its step takes some ten milliseconds: enough to drive
the agent's own code out of the caches between two calls, so that it costs several times
what it does beside a tiny model. The agent would decide at step 500, and the trainings
end before; the norm of the gradients is looked at as seldom as then.

The live optimizer spares torch's marks for profilers, which a bare step and `zero_grad`
make: where those take longer than all that the agent does, what is added is below zero.

Forward and backward pass and torch's own SGD are nearly all of a step and the agent has
no part in them. So two figures are told, both in percent of a whole step: what is added
outside them, which can be told to a tenth of a per cent, and what is added to the whole
step, which would show what the agent does to the passes through the caches, and cannot
be told to better than a per cent on a machine that others use too.
"""

import gc
import logging
import statistics
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from time import process_time

import torch

from dux_agent.benchmarks.framework_loops import LOOPS, Run
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.taking_turns import Passes, StepTime, take_turns
from dux_agent.tasks.in_memory import Batch
from dux_graphs.intervals import half_interval
from dux_sandbox.process.keeping import kept_warm

FRESH = 6
ROUNDS = 102  # the agent does some things at every 6th, 17th or 34th step
BAR = 1.0  # percent
_WARM = 16  # rounds that fill caches and allocators
_ODD = 0.1  # of a step: by so much none is longer than usual for an agent's sake
_WIDTH = 700  # of every layer: 981,400 weights
_STEP = 0.01  # seconds: forward and backward pass and SGD
_FEW, _MANY = 32, 160  # rows that are tried to find a batch for it
_BATCHES = 4


@dataclass(frozen=True)
class Shares:
    """What came of one figure in each of the fresh trainings, in percent of a step."""

    each: Sequence[float]

    @property
    def mean(self) -> float:
        """Over the trainings."""
        return statistics.fmean(self.each)

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval of the mean."""
        return half_interval(self.each)

    @property
    def around(self) -> str:
        """The mean and how far the interval reaches from it."""
        return f"{self.mean:.2f} +- {self.half:.2f}"


@dataclass(frozen=True)
class Added:
    """What an agent adds to a step of one loop.

    Attributes:
        outside: the passes and torch's SGD.
        control: the same of a training without an agent beside another one.
        whole: to the whole step.
        step: seconds of the processor that a step without an agent takes.
    """

    outside: Shares
    control: Shares
    whole: Shares
    step: float

    @property
    def most(self) -> float:
        """The upper end of the interval, in percent."""
        return self.outside.mean + self.outside.half

    def row(self, name: str) -> str:
        """A line of the table."""
        micro = f"({1e4 * self.step * self.outside.mean:.0f} us)"
        return (
            f"  {name:<13}{self.outside.around:>13}{micro:>10}"
            f"{self.control.around:>16}{1e3 * self.step:>9.1f} ms"
            f"{self.whole.around:>16}"
        )


def measure(fresh: int = FRESH, rounds: int = ROUNDS) -> Measurement:
    """What it surely adds no more than, in the loop where that is most.

    Args:
        fresh: how often the trainings are begun anew, at least twice.
        rounds: steps of each that count.
    """
    rows = _rows_of_a_batch()
    drawn = torch.Generator().manual_seed(0)
    inputs = [torch.randn(rows, _WIDTH, generator=drawn) for _ in range(_BATCHES)]
    data: list[Batch] = [(each, each.roll(1, 1)) for each in inputs]
    table = [
        f"  {'in percent':<13}{'added':>13}{'':>10}{'bare beside bare':>16}"
        f"{'of a step':>12}{'whole steps':>16}"
    ]
    worst = -100.0
    with _quiet():
        for name, loop in LOOPS.items():
            if name != "plain" and find_spec(name) is None:
                table.append(f"  {name}: not installed")
                continue
            added = added_by(loop, data, fresh, rounds)
            worst = max(worst, added.most)
            table.append(added.row(name))
    return Measurement(
        name="an agent that does not decide, at most, by its 95 % interval",
        value=worst,
        bar=BAR,
        unit="%",
        detail=f"981,400 weights, {rows} rows, the mean of {fresh} fresh trainings of "
        f"{rounds} steps, outside passes and torch's SGD\n" + "\n".join(table),
    )


def added_by(loop: Run, data: Sequence[Batch], fresh: int, rounds: int) -> Added:
    """What an agent adds to a step of a loop on these batches; see `measure`."""
    outside, control, whole, steps = [], [], [], []
    for index in range(fresh):
        three = _three(loop, data, _WARM + rounds + 1, index % 3)
        step = statistics.median(each.whole for each in three[0] + three[1])
        kept = _usual(three, _ODD * step)
        steps.append(step)
        outside.append(
            statistics.fmean(
                c.outside - (a.outside + b.outside) / 2 for a, b, c in kept
            )
        )
        control.append(statistics.fmean(b.outside - a.outside for a, b, _ in kept))
        whole.append(
            statistics.fmean(c.whole - (a.whole + b.whole) / 2 for a, b, c in kept)
        )
    step = statistics.fmean(steps)

    def share(seconds: list[float]) -> Shares:
        return Shares([100 * each / step for each in seconds])

    return Added(share(outside), share(control), share(whole), step)


def _three(
    loop: Run, data: Sequence[Batch], steps: int, first: int
) -> list[list[StepTime]]:
    """The times of two trainings without an agent and of one with it."""
    model = _model()

    def train(attached: bool, passes: Passes, batches: Iterator[Batch]) -> None:
        loop(model, passes, batches, steps, attached)

    trainings = [partial(train, attached) for attached in (False, False, True)]
    times = take_turns(trainings, data, steps, first=first)
    return [each[_WARM : steps - 1] for each in times]


def _usual(three: list[list[StepTime]], odd: float) -> list[tuple[StepTime, ...]]:
    """The rounds without a step that took so much longer than usual outside its passes.

    Something else ran in it. What an agent does now and then is not odd: the norm of
    the gradients takes a third of a millisecond.
    """
    usual = [statistics.median(each.outside for each in one) for one in three]
    return [
        round_
        for round_ in zip(*three, strict=True)
        if all(s.outside < u + odd for s, u in zip(round_, usual, strict=True))
    ] or list(zip(*three, strict=True))


def _model() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(_WIDTH, _WIDTH),
        torch.nn.Tanh(),
        torch.nn.Linear(_WIDTH, _WIDTH),
    )


def _rows_of_a_batch() -> int:
    """So many that a step of the plain loop takes ten milliseconds of this processor.

    A longer one would make the agent's share of it smaller.
    """
    few, many = _seconds_of_a_step(_FEW), _seconds_of_a_step(_MANY)
    a_row = max(many - few, 1e-9) / (_MANY - _FEW)
    return min(max(_FEW, round(_FEW + (_STEP - few) / a_row)), 16 * _MANY)


def _seconds_of_a_step(rows: int, steps: int = 12) -> float:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    passes, inputs = Passes(), torch.ones(rows, _WIDTH)
    times = []
    for _ in range(steps):
        began = process_time()
        optimizer.zero_grad()
        passes(model, (inputs, inputs)).backward()
        optimizer.step()
        times.append(process_time() - began)
    return statistics.median(times)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of the frameworks', and no long search for garbage meanwhile.

    One takes a tenth of a second with their modules loaded, and would fall into any
    one of the trainings.
    """
    known = logging.getLogger("lightning.pytorch")
    level = known.level
    gc.collect()
    gc.freeze()
    try:
        with kept_warm(), warnings.catch_warnings():
            yield
    finally:
        gc.unfreeze()
        known.setLevel(level)

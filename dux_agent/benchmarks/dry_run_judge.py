"""`dux bench judge`: how well a dry run foretells what a proposal does live.

At two moments of a training many proposals are tried as a dry run tries them, over
several horizons, on the newest training batches and on held-back ones; and then each is
trained for the next interval, and to the end of the run.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dux_agent import tasks
from dux_agent.benchmarks.code_digest import code_digest
from dux_agent.benchmarks.kept_rows import KeptRows
from dux_agent.benchmarks.paired import geometric_mean
from dux_agent.benchmarks.table1.course import Training
from dux_agent.benchmarks.table1.plain_rows import recipe
from dux_agent.runs.training import torch_threads
from dux_agent.tasks.protocol import Task
from dux_graphs.intervals import half_interval
from dux_sandbox.random_state import seed_all

HORIZONS = (5, 10, 20, 50)
AFTER = (1, 3)
"""Epochs that are over when proposals are tried."""
TRUTHS = ("next", "end")
SPLITS = ("training", "held back")
_LAST = 3  # losses that a dry run is judged by
_WARM = 50  # steps

Step = Callable[[], None]
Propose = Callable[[nn.Module, int], Step]


def _plain(made: Any, rate: float, model: nn.Module, steps: int) -> Step:
    step: Step = made(model.parameters(), lr=rate).step
    return step


def _shaped(
    shape: Callable[[int, int], float], rate: float, model: nn.Module, steps: int
) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda taken: shape(taken, steps)
    )

    def step() -> None:
        optimizer.step()
        scheduler.step()

    return step


def _warmed(taken: int, steps: int) -> float:
    return min(1.0, (taken + 1) / _WARM)


def _cooled(taken: int, steps: int) -> float:
    return max(0.0, 1 - taken / steps)


_SGD = partial(torch.optim.SGD, momentum=0.9)
PROPOSALS: Mapping[str, Propose] = {
    **{f"SGD {rate:g}": partial(_plain, _SGD, rate) for rate in (1e-3, 1e-2, 0.1, 1)},
    **{
        f"AdamW {rate:g}": partial(_plain, torch.optim.AdamW, rate)
        for rate in (1e-4, 1e-3, 1e-2, 0.1)
    },
    **{
        f"AdamW {rate:g} {name}": partial(_shaped, shape, rate)
        for name, shape in (("warmed up", _warmed), ("cooled down", _cooled))
        for rate in (1e-3, 1e-2, 0.1)
    },
}
"""What is tried: rates a factor of ten apart, some with a warm-up or a cool-down."""


@dataclass(frozen=True)
class Tried:
    """A proposal at one moment of a training.

    Attributes:
        seen: (split, horizon) -> the loss that the dry run is judged by.
        live: validation loss after the next interval, and at the end of the run.
    """

    seen: Mapping[tuple[str, int], float]
    live: Mapping[str, float]


Decision = Mapping[str, Tried]
"""Proposal -> how it did."""


def judge(
    names: Sequence[str],
    seeds: Sequence[int],
    folder: Path | None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Decision]:
    """Try every proposal at every moment of every training.

    Args:
        names: of tasks.
        folder: where what was found is kept; None: nowhere.
        say: is told of each training as it is over.

    Raises:
        DuxError: there is no such task, or the folder cannot be written.
    """
    rows, code = KeptRows(folder), _code()
    found: list[Decision] = []
    with torch_threads(1):
        for seed in seeds:
            for name in names:
                key = {"task": name, "seed": seed, "code": code}
                row = rows.row(f"judge-{name}-{seed}", key, partial(_row, name, seed))
                found += map(_decision, row)
                say(f"{name} {seed}")
    return found


def _code() -> str:
    return code_digest(("dux_agent.tasks", __name__, Training.__module__), ("torch",))


def _row(name: str, seed: int) -> list[dict[str, list[float | None]]]:
    """What JSON holds of one training: all losses of each proposal in one list."""
    return [
        {
            proposal: [
                loss if math.isfinite(loss) else None
                for loss in (*tried.seen.values(), *tried.live.values())
            ]
            for proposal, tried in decision.items()
        }
        for decision in _decisions(name, seed)
    ]


def _decision(row: Mapping[str, Sequence[float | None]]) -> Decision:
    places = [(split, horizon) for split in SPLITS for horizon in HORIZONS]

    def tried(losses: Sequence[float | None]) -> Tried:
        read = [math.inf if loss is None else loss for loss in losses]
        seen = dict(zip(places, read, strict=False))
        return Tried(seen, dict(zip(TRUTHS, read[len(places) :], strict=True)))

    return {proposal: tried(losses) for proposal, losses in row.items()}


def _decisions(name: str, seed: int) -> Iterator[Decision]:
    task = tasks.build(name, seed)
    training = Training(task, recipe(task))
    for over in AFTER:
        training.run(over)
        newest: list[Any] = []
        for epoch in range(over):
            newest = [*newest, *task.train_batches(epoch)][-max(HORIZONS) :]
        yield {
            proposal: _tried(task, propose, over, newest)
            for proposal, propose in PROPOSALS.items()
        }


def _tried(task: Task, propose: Propose, over: int, newest: Sequence[Any]) -> Tried:
    left = (task.epochs - over) * task.steps_per_epoch
    seen = {}
    for horizon in HORIZONS:
        model = copy.deepcopy(task.model)
        seed_all(over)
        batches = newest[-horizon:]
        step = propose(model, left)
        losses = [
            _stepped(task, model, batches[at % len(batches)], step)
            for at in range(horizon)
        ]
        with torch.no_grad():
            losses.append(float(task.objective(model, batches[horizon % len(batches)])))
        seen["training", horizon] = statistics.fmean(losses[-_LAST:])
        seen["held back", horizon] = task.evaluate("val", model)
    model = copy.deepcopy(task.model)
    step = propose(model, left)
    live: dict[str, float] = {}
    for epoch in range(over, task.epochs):
        for batch in task.train_batches(epoch):
            _stepped(task, model, batch, step)
        live.setdefault("next", task.evaluate("val", model))
    live["end"] = task.evaluate("val", model)
    ordered = {(split, n): seen[split, n] for split in SPLITS for n in HORIZONS}
    return Tried(ordered, live)


def _stepped(task: Task, model: nn.Module, batch: Any, step: Step) -> float:
    model.zero_grad()
    loss = task.objective(model, batch)
    loss.backward()
    step()
    return float(loss.detach())


@dataclass(frozen=True)
class Foretold:
    """How well a verdict foretells, over decisions.

    Attributes:
        correlation: mean rank correlation of the verdict with what came, and half of
            its 95 % interval.
        chosen: geometric mean of the loss that came of the verdict's first choice to
            the lowest that came of any proposal.
    """

    correlation: tuple[float, float]
    chosen: float


def foretold(
    decisions: Sequence[Decision], split: str, horizon: int, truth: str
) -> Foretold:
    """Of one horizon on one split; a loss that is none ranks last."""
    correlations, ratios = [], []
    for decision in decisions:
        seen = [tried.seen[split, horizon] for tried in decision.values()]
        came = [tried.live[truth] for tried in decision.values()]
        correlations.append(rank_correlation(seen, came))
        ratios.append(came[seen.index(min(seen))] / min(came))
    half = half_interval(correlations) if len(correlations) > 1 else math.nan
    return Foretold((statistics.fmean(correlations), half), geometric_mean(ratios))


def mean_ranks(
    decisions: Sequence[Decision], value: Callable[[Tried], float]
) -> dict[str, float]:
    """The mean rank of each proposal over decisions, 1 for the lowest value."""
    ranked = [
        ranks([value(tried) for tried in decision.values()]) for decision in decisions
    ]
    columns = zip(*ranked, strict=True)
    return dict(zip(decisions[0], map(statistics.fmean, columns), strict=True))


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; 0 where all values of one are alike.

    >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
    0.5
    """
    first, second = ranks(one), ranks(other)
    if min(len(set(first)), len(set(second))) < 2:
        return 0.0
    return statistics.correlation(first, second)


def ranks(values: Sequence[float]) -> list[float]:
    """From 1; those that are equal share the mean of theirs.

    >>> ranks([0.2, 0.1, 0.2])
    [2.5, 1.0, 2.5]
    """
    return [
        sum(other < value for other in values)
        + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]

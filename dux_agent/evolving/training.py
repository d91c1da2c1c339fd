"""What is found out about one source; plain data comes back."""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dux_agent import tasks
from dux_agent.tasks.protocol import Task
from dux_sandbox.closures import number_of
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.findings import CannotRunSo, RuleFailed, SourceRejected
from dux_sandbox.golden import Trajectory
from dux_sandbox.jailed_laws import (
    KEPT_BY_LIVE_OPTIMIZER,
    TrajectoryFailed,
    trajectory_of,
    try_laws,
)
from dux_sandbox.limits import Limits
from dux_sandbox.running_rule import RunningRule
from dux_sandbox.sensed_rule import SensedRule
from dux_sandbox.static_check import check

CHECK, LAWS, DRY_RUN = "static check", "laws", "dry run"
"""The stages before the trainings, in their order."""

_DIGITS = 6  # of a fingerprint: below is the order of sums


def examine(source: str, *, laws: bool, seconds: float) -> dict[str, Any]:
    """The stages before any training.

    The dry run takes fifty steps on three fixed problems, in the jail; its trajectory
    makes the fingerprint.

    Args:
        laws: those made by hand are tried; else its structure is known to keep them.
        seconds: for each law, and for the dry run.

    Returns:
        `{"stage", "why"}` of the stage that it did not pass; or `{"fingerprint",
        "straightness", "end"}`, see `straightness`; the end is the mean logarithm of
        the losses on the fixed problems after the last step.
    """
    report = check(source)
    if not report.ok:
        return {"stage": CHECK, "why": str(report.findings[0])}
    limits = Limits(seconds=seconds, step_seconds=seconds)
    if laws:
        tried = try_laws(
            source,
            examples=0,
            quick=True,
            skip=KEPT_BY_LIVE_OPTIMIZER,
            seconds=seconds,
            limits=limits,
        )
        broken = next((each for each in tried if not each.ok), None)
        if broken is not None:
            return {"stage": LAWS, "why": f"{broken.name}: {broken.message}"}
    try:
        steps = trajectory_of(source, seconds=seconds, limits=limits)
    except (TrajectoryFailed, SourceRejected) as error:
        return {"stage": DRY_RUN, "why": str(error)}
    rounded = repr([[f"{x:.{_DIGITS}g}" for x in r] for s in steps.values() for r in s])
    fingerprint = hashlib.sha256(rounded.encode()).hexdigest()
    return {
        "fingerprint": fingerprint,
        "straightness": straightness(steps),
        "end": _end(steps),
    }


def _end(steps: Trajectory) -> float | None:
    """Mean logarithm of the last losses; None where one is no number."""
    ends = [float(rows[-1][0]) for rows in steps.values()]
    if not all(map(math.isfinite, ends)):
        return None
    return math.fsum(math.log(max(each, 1e-12)) for each in ends) / len(ends)


def straightness(steps: Trajectory) -> float:
    """How straight the weights went: distance over length of the way, 0 to 1.

    The mean over the problems; 0 for those that were not finite.
    """
    shares = []
    for rows in steps.values():
        places = [row[1:] for row in rows]
        pairs = zip(places, places[1:], strict=False)
        way = math.fsum(math.dist(*pair) for pair in pairs)
        far = math.dist(places[0], places[-1])
        shares.append(far / way if way > 0 and math.isfinite(way) else 0.0)
    return math.fsum(shares) / len(shares)


def train(
    source: str,
    trainings: Sequence[Mapping[str, Any]],
    *,
    execution: str,
    seconds: float = math.inf,
) -> dict[str, Any]:
    """Train on one task after the other, until one fails.

    Args:
        trainings: `{"task", "seed", "share", "split"}` each: share of its steps, and
            the split whose loss counts.
        execution: where the source runs, as of `dux_agent.attach`.
        seconds: that each may take, looked at after each step; whoever can end this
            process needs no such limit.

    Returns:
        `{"losses", "seconds", "bytes", "steps"}`: of all steps of the rule, seconds;
        what it keeps, in bytes a byte of the weights; gradients a step. Or `{"why"}`.
    """
    losses, spent, kept, steps = [], 0.0, 0.0, 0.0
    for each in trainings:
        try:
            one = _trained(source, execution=execution, limit=seconds, **each)
        except (RuleFailed, SourceRejected, CannotRunSo) as error:
            return {"why": f"{each['task']}, seed {each['seed']}: {error}"}
        if one["seconds"] > seconds:
            why = (
                f"{each['task']}, seed {each['seed']}: it took more than {seconds:g} s"
            )
            return {"why": why}
        if not math.isfinite(one["loss"]):
            return {
                "why": f"{each['task']}, seed {each['seed']}: its loss is no number"
            }
        losses.append(one["loss"])
        spent += one["seconds"]
        kept, steps = max(kept, one["bytes"]), max(steps, one["steps"])
    return {"losses": losses, "seconds": spent, "bytes": kept, "steps": steps}


def _trained(
    source: str,
    *,
    task: str,
    seed: int,
    share: float,
    split: str,
    execution: str,
    limit: float,
) -> dict[str, float]:
    built = tasks.build(task, seed)
    weights = [each for each in built.model.parameters() if each.requires_grad]
    group: dict[str, Any] = {"params": weights}
    rule = EXECUTIONS[execution].build(source, [group], limits=Limits(), seed=seed)
    try:
        group |= rule.options[0]
        rule.bind([group], [set(rule.options[0])])
        most = max(1, round(share * built.epochs * built.steps_per_epoch))
        if isinstance(rule, SensedRule):
            rule.sensing.total = most
        counted = _Counted(rule, built)
        began = time.monotonic()
        for epoch in range(built.epochs):
            for batch in built.train_batches(epoch):
                late = time.monotonic() - began > limit
                if counted.steps == most or not counted.finite or late:
                    break
                counted.step(batch)
        seconds = time.monotonic() - began
        kept = _bytes_in(rule.snapshot().state)
    finally:
        rule.close()
    loss = float(built.evaluate(split)) if counted.finite else math.nan
    whole = sum(each.numel() * each.element_size() for each in weights)
    steps = counted.gradients / max(1, counted.steps)
    return {"loss": loss, "seconds": seconds, "bytes": kept / whole, "steps": steps}


class _Counted:
    """Steps of a rule on a task, and the gradients that they took."""

    def __init__(self, rule: RunningRule, task: Task) -> None:
        self._rule, self._task = rule, task
        self.steps = self.gradients = 0
        self.finite = True

    def step(self, batch: Any) -> None:
        def loss_of() -> torch.Tensor:
            self._rule.zero_grad()
            with torch.enable_grad():
                loss = self._task.objective(self._task.model, batch)
                loss.backward()
            self.gradients += 1
            return loss

        if self._rule.requires_closure:
            loss = self._rule.step(loss_of)
        else:
            loss = loss_of()
            self._rule.step()
        self.steps += 1
        value = None if loss is None else number_of(loss)
        self.finite = value is None or math.isfinite(value)
        if isinstance(self._rule, SensedRule) and value is not None:
            self._rule.hear(value)


def _bytes_in(kept: Any) -> int:
    """Of every tensor in what a rule keeps."""
    if isinstance(kept, torch.Tensor):
        return kept.numel() * kept.element_size()
    if isinstance(kept, Mapping):
        return sum(map(_bytes_in, kept.values()))
    return sum(map(_bytes_in, kept)) if isinstance(kept, list | tuple) else 0

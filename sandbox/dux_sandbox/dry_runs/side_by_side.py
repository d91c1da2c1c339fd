"""The dry run: a proposal and the incumbent on copies of the model, side by side.

Forward and backward run here, on a copy; only the rule's own step runs in a jailed
child, on a mirror of the copy. So no user code or data is pickled, and a rule
that hangs, crashes or eats memory harms nothing.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from dux_sandbox.dry_runs.acceptance import ACCEPT, WHERE_NOT_FINITE, judge
from dux_sandbox.dry_runs.bystanders import Bystanders
from dux_sandbox.dry_runs.incumbent import Clone, running_of
from dux_sandbox.dry_runs.lockstep import ByItself, Lockstep
from dux_sandbox.dry_runs.looking_ahead import Weights, look_ahead
from dux_sandbox.dry_runs.passes import Objective
from dux_sandbox.dry_runs.resting import Resting
from dux_sandbox.dry_runs.scratch import frozen_weights, gradients_aside
from dux_sandbox.dry_runs.slices import UNLIKE, Slices, at_once, within
from dux_sandbox.dry_runs.twin_training import TwinTraining
from dux_sandbox.findings import DryRunReport, Finding, RuleFailed, SourceRejected
from dux_sandbox.group_shares import share_out, shares_of
from dux_sandbox.limits import Limits
from dux_sandbox.process.ahead import nothing_lingers
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running_rule import StepCost, parameters_of
from dux_sandbox.sensed_rule import sensed
from dux_sandbox.sharded_rule import over_parts
from dux_sandbox.shards import own_part

Options = list[dict[str, Any]]

log = logging.getLogger(__name__)


def in_slices(
    source: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    batches: Sequence[Any],
    steps: int = 10,
    limits: Limits | None = None,
    *,
    accept: str = "harmless",
    incumbent_losses: Sequence[float] | None = None,
    incumbent_moved: float = 0.0,
    closure: bool = False,
    accumulate: int = 1,
    weight: float = 1.0,
    clone: Clone | None = None,
    seed: int = 0,
    settle: Callable[[Options], Options] | None = None,
    also: Sequence[Any] = (),
    resting: Resting | None = None,
    proposal_steps: int | None = None,
    ahead: int = 0,
    sliced: bool = False,
    progress: tuple[int, int | None] = (0, None),
    together: Lockstep | None = None,
) -> Slices[DryRunReport]:
    """Try a source for a few steps on a copy of the model; the model is untouched.

    Parameters, buffers, gradients, optimizer state, random numbers and modes of the
    live model are bit-identical afterwards, and so are the other modules that the
    objective reaches: see `dux_sandbox.dry_runs.bystanders`.

    Args:
        source: the text of the proposal.
        model: the live model.
        optimizer: the live optimizer (the incumbent) over the model's parameters.
        objective: `(model, batch) -> loss`, a scalar tensor that depends on the
            model it is handed.
        batches: at least one; used in turn.
        steps: steps to take.
        limits: bounds on the rule's time and memory.
        accept: "finite", "harmless" or "not_worse".
        incumbent_losses: the incumbent's losses from an earlier dry run of the same
            state, batches and seed; spares running it again.
        incumbent_moved: what that dry run's report says of the same.
        closure: the training loop passes a closure to `step`.
        accumulate: batches whose gradients the loop adds up for one step.
        weight: by what it multiplies each of their losses before its backward pass;
            1 / accumulate for their mean.
        clone: makes the copy of the model instead of `copy.deepcopy`.
        seed: seeds the random numbers of both runs.
        settle: makes of the option values of each group, as the rule was built, those
            that it would have live. None: each group gets its share of the rule's
            rate and weight decay; see `dux_sandbox.group_shares`.
        also: modules, or what holds some, that the objective reaches in a way that
            cannot be seen from its closure, globals and attributes.
        resting: what knows which frozen weights do not move; the copy shares those.
            None: it shares none.
        proposal_steps: that the proposal takes, where they are fewer than `steps`;
            a whole dry run follows then, of this proposal or of another, or
            `nothing_lingers` does.
        ahead: steps that a proposal takes after them without passes of the model, on
            the gradients of the last; see `dux_sandbox.dry_runs.looking_ahead`. None
            are taken where a closure computes those, nor in a shorter run.
        sliced: stop after each step and each copy, so that training can go on before
            the next; both runs begin with the model as it was at the first.
        progress: steps of the run that are over, and of the whole run if that is
            known, for rules with sensors.
        together: the processes that hold parts of the model and make this dry run too;
            None: all of it is here. No closure is passed to `step` there.

    Returns:
        What happened; `report.ok` when nothing speaks against the proposal.

    Raises:
        ValueError: no batches, an objective that returns no scalar or ignores the
            model it is handed, an unknown `accept`.
        CannotClone: the model cannot be copied.
    """
    limits = limits or Limits()
    if accept not in ACCEPT:
        raise ValueError(
            f"accept is {accept!r}; it must be one of {', '.join(ACCEPT)}."
        )
    if not batches:
        raise ValueError("a dry run needs at least one batch; batches is empty.")
    running = running_of(optimizer)
    live = parameters_of(optimizer.param_groups)
    bystanders = Bystanders(model, [objective], also)
    frozen = [*frozen_weights(model, live), *bystanders.others]
    still = set() if resting is None else resting.look(frozen)
    trial = TwinTraining(
        model,
        optimizer,
        objective,
        batches,
        steps,
        closure,
        clone,
        seed,
        accumulate=accumulate,
        weight=weight,
        bystanders=bystanders,
        resting=still,
        sliced=sliced,
        incumbent_moved=incumbent_moved,
        progress=progress,
        together=together or ByItself(),
    )
    settled = settle or partial(share_out, shares=shares_of(optimizer.param_groups))
    followed = proposal_steps is not None and proposal_steps < steps

    def both() -> Slices[DryRunReport]:
        known = incumbent_losses
        if known is None:
            known = yield from trial.incumbent(running, limits)
        trial.steps = min(steps, proposal_steps or steps)
        further = 0 if closure or followed else ahead
        given = (trial, limits, accept, list(known), settled, followed)
        return (yield from _try_proposal(source, *given, further))

    with _no_process_left(followed=followed):
        report = yield from within(lambda: _gradients_of_its_own(live), both())
    if resting is not None and still - resting.look(frozen):
        log.warning(
            "the objective wrote into frozen weights in a dry run, and had not done so "
            "in the steps before; the live model shares them with the copy, so they "
            "have moved; pass clone= to copy all of the model."
        )
    return report


dry_run = at_once(in_slices)


@contextmanager
def _gradients_of_its_own(live: list[torch.Tensor]) -> Iterator[None]:
    with gradients_aside(live), torch.enable_grad():
        yield


@contextmanager
def _no_process_left(*, followed: bool) -> Iterator[None]:
    """Unless it is followed by another dry run, which goes on with what there is."""
    try:
        yield
    except BaseException:
        nothing_lingers()
        raise
    if not followed:
        nothing_lingers()


def _try_proposal(
    source: str,
    trial: TwinTraining,
    limits: Limits,
    accept: str,
    incumbent_losses: list[float],
    settle: Callable[[Options], Options],
    followed: bool,
    ahead: int,
) -> Slices[DryRunReport]:
    twin, groups, _ = trial.copies()
    losses: list[float] = []
    findings: list[Finding] = []
    rule: IsolatedRule | None = None
    cost, peak, moved, later = StepCost(), 0, 0.0, 0.0
    if trial.sliced:
        yield UNLIKE
    try:
        seed = trial.seed
        rule = trial.together.alike(
            lambda: _built(source, groups, limits, seed, followed)
        )
        _require_no_closure(rule, trial)
        for group, options in zip(groups, settle(rule.options), strict=True):
            group.update(options)
        rule.bind(groups)
        began = rule.cost.bytes
        weights = Weights(parameters_of(groups))
        begin = weights.now()
        if trial.sliced:
            yield UNLIKE
        yield from trial.run(twin, rule, losses, limits.seconds)
        peak = max(0, rule.cost.bytes - began)
        rule.require_saveable()
        findings = _not_finite(parameters_of(groups))
        moved = weights.moved_from(begin)
        if not findings and all(map(math.isfinite, losses)):
            had, limit = (begin, trial.steps), limits.seconds
            findings, longest = yield from look_ahead(rule, weights, ahead, had, limit)
            later = trial.steps * longest
    except SourceRejected as error:
        findings = list(error.report.findings)
    except RuleFailed as error:
        findings = [error.finding]
    finally:
        if rule is not None:
            cost = rule.cost
            rule.close(wait=not followed)
    findings = judge(losses, incumbent_losses[: trial.steps + 1], accept) or findings
    return DryRunReport(
        not findings,
        tuple(losses),
        tuple(incumbent_losses),
        cost.total,
        peak,
        tuple(findings),
        max(cost.first, cost.longest),
        *(moved, trial.incumbent_moved, later, trial.period),
    )


def _built(
    source: str, groups: Options, limits: Limits, seed: int, followed: bool
) -> IsolatedRule:
    """The proposal over a copy, told its sensors where it declares any."""
    rule = over_parts(
        lambda here: IsolatedRule.build(
            source, here, limits=limits, seed=seed, ahead=followed
        ),
        groups,
    )
    return cast(IsolatedRule, sensed(rule, groups))


def _require_no_closure(rule: IsolatedRule, trial: TwinTraining) -> None:
    """Raise RuleFailed where the rule wants one that the loop does not pass."""
    if rule.requires_closure and not trial.closure:
        said = "the rule requires a closure; this training loop passes none"
        wanted = "a rule that works from p.grad alone, with "
        instead = f"{wanted}def step(self, closure=None):"
        raise RuleFailed(Finding("closure", None, said, instead))


def _not_finite(parameters: list[torch.Tensor]) -> list[Finding]:
    for index, parameter in enumerate(parameters):
        if not bool(torch.isfinite(own_part(parameter.detach())).all()):
            which = f"parameter {index} of shape {tuple(parameter.shape)}"
            said = f"{which} holds NaN or infinity after the dry run"
            return [Finding("nonfinite", None, said, WHERE_NOT_FINITE)]
    return []

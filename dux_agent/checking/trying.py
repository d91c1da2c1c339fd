"""The dry run of `dux check`: on a small built-in model, or on the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dux_agent.checking.rates import at_share_of_its_rate
from dux_sandbox.findings import DryRunReport, Finding

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


# Of its rate, at which a rule is tried again where it is too much for the small model.
_SHARES = (0.1, 0.01, 0.001, 0.0001)


@dataclass(frozen=True)
class Trial:
    """What a rule is tried on.

    Attributes:
        model: the live model; a copy of it is trained.
        optimizer: the incumbent, whose losses the rule's are compared with.
        objective: `(model, batch) -> loss`.
        batches: used in turn.
        built_in: whether it is the small model, for which no rate was ever chosen.
    """

    model: nn.Module
    optimizer: Optimizer
    objective: Callable[[Any, Any], Tensor]
    batches: Sequence[Any]
    built_in: bool = False

    def of_matrices(self) -> Trial | None:
        """The same with plain SGD over the matrices alone.

        None where there are none, or nothing else.
        """
        import torch

        every = [
            each for group in self.optimizer.param_groups for each in group["params"]
        ]
        matrices = [each for each in every if each.ndim == 2]
        if not matrices or len(matrices) == len(every):
            return None
        return replace(self, optimizer=torch.optim.SGD(matrices, lr=0.01))


@dataclass(frozen=True)
class Tried:
    """What came of trying a rule.

    Attributes:
        report: of its last dry run.
        notes: what it was given that not every loop would give it.
        recorded: whether it would run as a program with `execution="recorded"`; None
            where that was not looked at.
        unrecorded: what stands in the way of that.
    """

    report: DryRunReport
    notes: tuple[Finding, ...] = ()
    recorded: bool | None = None
    unrecorded: Finding | None = None


def built_in() -> Trial:
    """A small classifier, trained by plain SGD."""
    import torch
    from torch import nn
    from torch.nn import functional

    from dux_sandbox.random_state import same_random_numbers

    with same_random_numbers(0):
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        inputs = torch.randn(10, 32, 8)
        targets = (inputs @ torch.randn(8, 4)).argmax(-1)

    def objective(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    batches = list(zip(inputs, targets, strict=True))
    incumbent = torch.optim.SGD(model.parameters(), lr=0.01)
    return Trial(model, incumbent, objective, batches, built_in=True)


def try_out(source: str, trial: Trial) -> Tried:
    """Ten steps of the rule beside the incumbent, as a decision would take them.

    Whether one that passes could be recorded is asked as well.
    """
    tried = _tried(source, trial)
    return _recorded(source, trial, tried) if tried.report.ok else tried


def _recorded(source: str, trial: Trial, tried: Tried) -> Tried:
    from dux_sandbox.findings import CannotRunSo
    from dux_sandbox.replaying.foreseen import foresee

    fewer = trial.of_matrices() if tried.notes else None
    groups = (fewer or trial).optimizer.param_groups
    try:
        found = foresee(source, [{"params": group["params"]} for group in groups])
    except CannotRunSo:
        return tried
    return replace(tried, recorded=found.why is None, unrecorded=found.why)


def _tried(source: str, trial: Trial) -> Tried:
    """What the dry run says.

    A rule that needs a closure is tried as in a loop that passes one. One that raises
    on the parameters of a model is tried on the matrices among them: some rules, Muon
    for one, are for those alone. One whose rate makes the loss of the small model rise
    is told so in a note: it was made for another.
    """
    report = _in_its_loop(source, trial)
    rules = [each.rule for each in report.findings]
    if rules == ["harm"] and trial.built_in:
        return _steep(source, trial, report)
    if rules != ["raised"]:
        return Tried(report)
    fewer = trial.of_matrices()
    again = None if fewer is None else _in_its_loop(source, fewer)
    if again is None or not again.ok:
        return Tried(report)
    raised = report.findings[0]
    note = Finding(
        "matrices only",
        raised.line,
        f"it was tried on the matrices of the model alone: with the others among its "
        f"parameters it raised {raised.message}",
        "give it the matrices, and the other parameters to another optimizer",
    )
    return Tried(again, (note,))


def _steep(source: str, trial: Trial, report: DryRunReport) -> Tried:
    """A rule whose rate is too much for the small model: that is no fault of it.

    It goes down there at some lesser rate, the first at which it does no harm.
    """
    for share in _SHARES:
        slower = at_share_of_its_rate(source, share)
        if slower is None:
            break
        at_less = _in_its_loop(slower, trial)
        if at_less.ok:
            again = _in_its_loop(source, trial, accept="finite")
            if not (_ends_lower(at_less) and again.ok):
                break
            cure = f"{share:g} times its rate trains that one; try --model with yours"
            return Tried(
                again, (replace(report.findings[0], rule="steep", instead=cure),)
            )
    return Tried(report)


def _ends_lower(report: DryRunReport) -> bool:
    """Whether a rule was below the incumbent in the later half of its steps."""
    half = len(report.losses) // 2
    return sum(report.losses[half:]) < sum(report.incumbent_losses[half:])


def _in_its_loop(source: str, trial: Trial, accept: str = "harmless") -> DryRunReport:
    from dux_sandbox import dry_run

    def run(closure: bool) -> DryRunReport:
        return dry_run(
            source,
            trial.model,
            trial.optimizer,
            trial.objective,
            trial.batches,
            closure=closure,
            accept=accept,
        )

    report = run(closure=False)
    if any(finding.rule == "closure" for finding in report.findings):
        report = run(closure=True)
    return report

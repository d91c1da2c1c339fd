"""The dry run of `dux check`: on a small built-in model, or on the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dux_sandbox.findings import DryRunReport

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Trial:
    """What a rule is tried on.

    Attributes:
        model: the live model; a copy of it is trained.
        optimizer: the incumbent, whose losses the rule's are compared with.
        objective: `(model, batch) -> loss`.
        batches: used in turn.
    """

    model: nn.Module
    optimizer: Optimizer
    objective: Callable[[Any, Any], Tensor]
    batches: Sequence[Any]


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
    return Trial(
        model, torch.optim.SGD(model.parameters(), lr=0.01), objective, batches
    )


def try_out(source: str, trial: Trial) -> DryRunReport:
    """Ten steps of the rule beside the incumbent, as a decision would take them.

    A rule that needs a closure is tried as in a loop that passes one.
    """
    from dux_sandbox import dry_run

    def run(closure: bool) -> DryRunReport:
        return dry_run(
            source,
            trial.model,
            trial.optimizer,
            trial.objective,
            trial.batches,
            closure=closure,
        )

    report = run(closure=False)
    if any(finding.rule == "closure" for finding in report.findings):
        report = run(closure=True)
    return report

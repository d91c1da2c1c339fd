"""What a dry run of one training is asked for, and the run itself."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.settling import settle
from dux_agent.settings import Settings
from dux_agent.training.intake import Intake
from dux_agent.training.looking import CallersFunctions, Clone, Objective, Validate
from dux_agent.training.outdated import while_it_holds
from dux_sandbox.dry_runs.lockstep import Lockstep
from dux_sandbox.dry_runs.side_by_side import in_slices
from dux_sandbox.dry_runs.slices import Slices, within
from dux_sandbox.findings import DryRunReport


class Trained(Protocol):
    """A training, as far as something is tried on it; see `Training`."""

    model: nn.Module
    live: DuxOptimizer
    batches: deque[Any]
    validate: Validate | None
    clone: Clone | None
    also: tuple[Any, ...]
    settings: Settings
    functions: CallersFunctions
    intake: Intake

    @property
    def objective(self) -> Objective:
        """What is trained."""

    def validated(self, losses: Sequence[float]) -> float:
        """The mean of the validation losses of all ranks."""


@dataclass(frozen=True)
class Trial:
    """One source, and how it is tried; plain data.

    Attributes:
        source and the others: see `Training.in_slices`.
    """

    source: str
    steps: int
    seed: int
    incumbent_losses: Sequence[float] | None
    incumbent_moved: float
    proposal_steps: int | None
    ahead: int
    sliced: bool

    def refused(self, finding: Any) -> DryRunReport:
        """The report on a source of which nothing is run."""
        seen = tuple(self.incumbent_losses or ())
        return DryRunReport(False, (), seen, 0.0, 0, (finding,))

    def on(
        self,
        training: Trained,
        pair: tuple[nn.Module, Any] | None = None,
        clone: Clone | None = None,
        together: Lockstep | None = None,
    ) -> Slices[DryRunReport]:
        """The dry run, on copies of the model.

        Args:
            pair: model and live optimizer that are copied in place of the training's.
            clone: makes the copies; None: the training's own.
            together: see `side_by_side.in_slices`.

        Raises:
            As `Training.in_slices`.
        """
        settings, intake = training.settings, training.intake
        live, functions = training.live, training.functions
        model, optimizer = pair or (training.model, live)
        slices = in_slices(
            self.source,
            model,
            optimizer,
            training.objective,
            _met_twice(training.batches, self.steps, intake.accumulated),
            self.steps,
            settings.limits,
            accept=settings.accept,
            incumbent_losses=self.incumbent_losses,
            incumbent_moved=self.incumbent_moved,
            ahead=self.ahead,
            closure=live.passes_closure,
            accumulate=intake.accumulated,
            weight=intake.weight,
            clone=clone or training.clone,
            seed=self.seed,
            settle=lambda options: settle(live, options, settings.lr_owner),
            also=training.also,
            resting=None if pair or together else functions.resting,
            proposal_steps=self.proposal_steps,
            sliced=self.sliced,
            progress=(live.steps, settings.total_steps),
            together=together,
        )
        slices = while_it_holds(slices, training.model, live.param_groups)
        return within(functions.called, slices)


def _met_twice(batches: Collection[Any], steps: int, accumulate: int) -> list[Any]:
    """The newest of them, as many as come again within half of the steps."""
    newest = list(batches)
    for count in range(len(newest), 1, -1):
        if count // math.gcd(count, accumulate) <= max(1, steps // 2):
            return newest[-count:]
    return newest[-1:]

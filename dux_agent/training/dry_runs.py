"""Dry runs of proposals on what one agent trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from dux_agent.decisions import Decision
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.settling import settle
from dux_agent.settings import Settings
from dux_agent.training.intake import Intake
from dux_agent.training.looking import CallersFunctions
from dux_sandbox import dry_run
from dux_sandbox.findings import DryRunReport, Finding, SourceRejected
from dux_sandbox.jailed_laws import KEPT_BY_LIVE_OPTIMIZER, findings_of, try_laws
from dux_sandbox.laws.traits import UnknownTrait


class DryRuns:
    """Tries sources on a copy of the model, with the last batches that were seen."""

    def __init__(
        self,
        settings: Settings,
        model: nn.Module,
        live: DuxOptimizer,
        batches: Sequence[Any],
        intake: Intake,
        functions: CallersFunctions,
    ) -> None:
        """For `Decider`; `batches` is the agent's own row, which goes on growing."""
        self._functions = functions
        self._settings = settings
        self._model = model
        self._live = live
        self._batches = batches
        self._intake = intake

    def run(
        self,
        decision: Decision,
        source: str,
        incumbent_losses: Sequence[float] | None,
    ) -> DryRunReport:
        """One dry run; the live model is bit for bit as before.

        Raises:
            Whatever the caller's objective or clone raise.
        """
        settings = self._settings
        unlawful = self._unlawful(source) if settings.fuzz else []
        if unlawful:
            held = tuple(incumbent_losses or ())
            return DryRunReport(False, (), held, 0.0, 0, tuple(unlawful))
        with self._functions.called(), torch.enable_grad():
            return dry_run(
                source,
                self._model,
                self._live,
                settings.objective,
                list(self._batches),
                settings.dry_run_steps,
                settings.limits,
                accept=settings.accept,
                incumbent_losses=incumbent_losses,
                closure=self._live.passes_closure,
                accumulate=self._intake.accumulated,
                weight=self._intake.weight,
                clone=settings.clone,
                seed=settings.seed + decision.number,
                settle=lambda options: settle(self._live, options, settings.lr_owner),
                also=settings.also,
                resting=self._functions.resting,
            )

    def _unlawful(self, source: str) -> list[Finding]:
        """What the laws say against a source, after a short run of them."""
        try:
            return findings_of(
                try_laws(
                    source,
                    examples=0,
                    skip=KEPT_BY_LIVE_OPTIMIZER,
                    seed=self._settings.seed,
                    seconds=self._settings.limits.seconds,
                    limits=self._settings.limits,
                    quick=True,
                )
            )
        except SourceRejected as error:
            return list(error.report.findings)
        except UnknownTrait as error:
            return [Finding("traits", None, str(error), "leave the line out")]

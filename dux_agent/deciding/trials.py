"""What a decision works with: who is asked, and trials of what they hand in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dux_agent.deciding.building import Builder
from dux_agent.deciding.burden import caught_by, tried
from dux_agent.deciding.live_ports import DecisionPorts
from dux_agent.deciding.meanwhile import Meanwhile
from dux_agent.deciding.outcome import moves_by_itself
from dux_agent.deciding.regret import Regret
from dux_agent.deciding.rules_in_force import RulesInForce
from dux_agent.deciding.searching import Searching
from dux_agent.live.swap import rehearse
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.prompt_history import PromptHistory
from dux_agent.training.training import Training
from dux_agent.training.unlawful import unlawful
from dux_graphs.budget import Budget
from dux_graphs.deadline import Deadline
from dux_graphs.paid_model import PaidModel
from dux_sandbox.dry_runs.slices import Slices, result_of
from dux_sandbox.findings import DryRunReport, Finding


class Trials:
    """Makes the ports of one decision after another.

    Attributes:
        regret: by what the run had reached a dry run is read.
        gone: why nobody is asked any more; None: they are.
    """

    def __init__(
        self,
        training: Training,
        builder: Builder,
        rules: RulesInForce,
        recorder: Recorder,
        *,
        history: PromptHistory,
        budget: Budget,
        searching: Searching,
    ) -> None:
        """Nothing was tried yet; see `dux_agent.deciding.decider.Decider`."""
        self._training, self._live = training, training.live
        self._settings = training.settings
        self._builder, self._rules = builder, rules
        self._recorder, self._history = recorder, history
        self._budget, self._searching = budget, searching
        self.regret = Regret()
        self.gone: str | None = None
        self._paid: PaidModel | None = None  # of the newest decision

    def give_up(self, because: str) -> None:
        """Nobody waits for what the language models say, from now on."""
        self.gone = because
        if self._paid is not None:
            self._paid.give_up(because)

    def ports(
        self,
        number: int,
        on_training_thread: Callable[[Slices[Any]], Any] | None = None,
    ) -> DecisionPorts:
        """Those of one decision.

        Args:
            number: of the decision.
            on_training_thread: has slices of work done there, where the decision is
                made in another thread, beside the training; None: it is made here.
        """
        settings, beside = self._settings, on_training_thread is not None
        run = on_training_thread or result_of
        paid = PaidModel(
            self._searching.models,
            budget=self._budget,
            prices=self._searching.prices,
            deadline=Deadline(settings.decision_timeout, settings.lm_timeout),
            recall=partial(self._recorder.known_reply, number),
        )
        self._paid = paid
        if self.gone is not None:  # by another thread, a moment ago
            paid.give_up(self.gone)
        how = {"seed": settings.seed + number, "sliced": beside}
        ports: DecisionPorts = DecisionPorts(
            paid=paid,
            prompt_history=self._history,
            try_out=lambda source, earlier, steps: (
                unlawful(source, settings, earlier)
                or run(self._dry_run(ports, source, earlier, steps, **how))
            ),
            rehearse=lambda source: run(
                self._rehearse(source, ports.dry_runs.get(source))
            ),
            harmful=self._rules.harmful,
            prepare=(lambda source: self._prepare(source, ports)) if beside else None,
            keep=self._recorder.keep_source,
            wait=paid.wait,
            prompts=settings.prompts,
            context_window=settings.context_window,
            meanwhile=Meanwhile(self._training) if beside else None,
        )
        return ports

    def _dry_run(
        self, ports: DecisionPorts, *what: Any, **how: Any
    ) -> Slices[DryRunReport]:
        ports.dry_runs_at.append(self._training.statistics.step)
        if ports.meanwhile is not None:
            ports.meanwhile.require_sound()
        caught = caught_by(self._rules.decisions) + ports.caught
        how |= self.regret.of_maker(caught)
        return (yield from tried(self._training, *what, **how))

    def _prepare(self, source: str, ports: DecisionPorts) -> None:
        self._builder.prepare(source, ports.dry_runs.get(source))
        moves_by_itself(source, self._training, self._recorder)

    def _rehearse(
        self, source: str, report: DryRunReport | None
    ) -> Slices[Finding | None]:
        yield from ()  # it is short
        self._live.meet_groups()
        self._builder.expect(report)
        return rehearse(self._live, source)

"""The training loop as an agent meets it: steps, losses, and the moment to decide."""

import copy
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dux_agent.deciding.decider import Decider
from dux_agent.deciding.together import Together
from dux_agent.decisions import Decision
from dux_agent.errors import BadArgument
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.intake import Told, moved_nothing
from dux_agent.training.training import Training
from dux_sandbox.running import parameters_of


@dataclass(eq=False)
class Loop:
    """Hears of every step and every loss; decides at the edge of a step when it is due.

    A decision that falls due while gradients wait for a step, as in a loop that tells
    of a loss before it steps, is made when that step is over.
    """

    training: Training
    recorder: Recorder
    decider: Decider
    together: Together
    _due: bool = False
    _waits_for_edge: bool = False
    _kind: tuple[torch.dtype, torch.device] | None = None  # of the batches
    _told: bool = False  # the guard knows that the loss that waits is not finite
    # Losses whose values are yet to come, and how often weights were put back.
    _coming: deque[tuple[Told, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Nothing of the training was heard yet."""
        self._intake, self._live = self.training.intake, self.training.live
        self._statistics = self.training.statistics

    @property
    def step(self) -> int:
        """Optimizer steps that a loss was told of, even if its value is yet to come."""
        seen, coming = self._statistics.step, self._coming
        return seen + sum(told.steps for told, _ in coming) if coming else seen

    def observe(self, loss: Any, batch: Any, scale: float | None) -> None:
        """One loss of the loop's; see `Agent.observe`."""
        if self._intake.inside_a_call:
            return  # a module that holds its agent tells of a copy's loss
        before = self.step
        told = self._intake.hear(loss, batch, scale)
        if batch is not None and self.decider.asks:
            self._remember(batch)
        self._coming.append((told, self._live.guard.put_back))
        self._take(self.training.feed.push(loss, before + told.steps))
        if told.steps:
            self._due = self._due or self._falls_due(before, before + told.steps)
            if told.at_edge:
                self._at_edge()
            else:
                self._waits_for_edge = self._due or self.decider.at_work
        self._intake.scale.forward_may_begin()

    def drain(self) -> None:
        """Wait for the values of all losses that were told of."""
        self._take(self.training.feed.drain())

    def _take(self, losses: list[tuple[int, float]]) -> None:
        """The values of losses have come, in the order in which they were told of."""
        # What the guard raises leaves none of them behind.
        heard = [self._coming.popleft() for _ in losses]
        for (_, loss), (told, put_back) in zip(losses, heard, strict=True):
            done = self._intake.take(loss, told)
            if done is not None:
                mean = self.together.mean(done.loss)
                self._statistics.see(mean, done.steps)
                self.recorder.loss(self._statistics.step, mean)
                if math.isfinite(mean) or not self._told:
                    self._judge(mean, put_back)
                self._told = False
            alone = not self.together.several
            if alone and self._intake.waits and not math.isfinite(loss):
                # GradScaler steps over what is not finite: its step might never come.
                self._told = True
                self._judge(loss, put_back)

    def _judge(self, loss: float, put_back: int) -> None:
        """Show the guard a loss, unless it is of weights that are gone by now."""
        if put_back == self._live.guard.put_back:
            self._live.guard.observed(loss)

    def _remember(self, batch: Any) -> None:
        """Keep a batch for dry runs; those of before a `model.to()` fit no longer."""
        groups = self._live.base.param_groups  # the same, without a look at schedules
        first = next((each for group in groups for each in group["params"]), None)
        kind = None if first is None else (first.dtype, first.device)
        if self._kind not in (None, kind):
            self.training.batches.clear()
        self._kind = kind
        self.training.batches.append(batch)

    def decide(self) -> Decision:
        """Decide now, or begin to where that is done in the background."""
        if self._intake.inside_a_call:
            raise BadArgument(
                "the objective asks for a decision; a function that only computes a "
                "loss was wanted; call decide() in the loop."
            )
        self.drain()
        self.decider.at_the_edge_of_a_step()
        return self._decide()

    def _decide(self) -> Decision:
        background = self.training.settings.background
        return self.decider.begin() if background else self.decider.decide()

    def _at_edge(self) -> None:
        due, self._due, self._waits_for_edge = self._due, False, False
        if due or self.decider.waits:
            self.drain()
        self.decider.at_the_edge_of_a_step()
        if due:
            self._decide()

    def _falls_due(self, before: int, now: int) -> bool:
        """Whether a decision falls into the steps after `before` up to `now`."""
        settings = self.training.settings
        every, total = settings.every, settings.total_steps
        if every is None or not self.decider.asks:
            return False
        if now // every == before // every:
            return False
        return total is None or now < total

    def step_begins(self) -> None:
        """The live optimizer is about to step.

        Raises:
            BadArgument: it is the objective that steps it, in a dry run.
        """
        if self._intake.inside_a_call:
            raise BadArgument(
                "the objective steps the live optimizer; a function that only computes "
                "a loss was wanted, since it is called on copies too; step in the loop."
            )
        self.together.step_begins()
        self._intake.scale.step_begins()

    def gradients_ready(self) -> None:
        """The gradients of the step are there."""
        if self.decider.asks and self._statistics.norm_is_due():
            parameters = parameters_of(self._live.param_groups)
            # A fused base optimizer gets them as GradScaler has multiplied them.
            scale = getattr(self._live, "grad_scale", None)
            self._statistics.see_gradients(
                parameters, 1.0 if scale is None else float(scale)
            )

    def step_ends(self) -> None:
        """The live optimizer has stepped."""
        if moved_nothing(self._live):
            return
        step = self.step
        near = self._falls_due(step, step + self._intake.steps + 1)
        self._intake.step_taken(decision_near=near or self.decider.at_work)
        if self._waits_for_edge:
            self._at_edge()

    def gradients_forgotten(self) -> None:
        """The loop has zeroed its gradients."""
        self._intake.scale.forward_may_begin()

    def try_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise what `load_state_dict` would raise; nothing is changed."""
        loop = copy.copy(self)
        loop._intake = copy.copy(self._intake)
        loop._intake.scale = copy.copy(self._intake.scale)
        loop.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"due": self._due, **self._intake.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; older checkpoints hold none."""
        self._due = self._waits_for_edge = bool(state.get("due", False))
        self._intake.load_state_dict(state)

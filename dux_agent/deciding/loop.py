"""The training loop as an agent meets it: steps, losses, and the moment to decide."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dux_agent.deciding.coming_losses import ComingLosses
from dux_agent.deciding.decider import Decider
from dux_agent.deciding.together import Together
from dux_agent.decisions import Decision
from dux_agent.errors import BadArgument
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.fitting_batches import FittingBatches
from dux_agent.training.intake import Told
from dux_agent.training.norm_looks import NormLooks
from dux_agent.training.step_clock import TICK_EVERY
from dux_agent.training.training import Training
from dux_sandbox.scalar_loss import scalar_loss

_MOST_WAITING = 16


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
    _coming: ComingLosses = field(default_factory=ComingLosses)
    # Those of whole steps that nobody waits for, and how many more may follow them.
    _waiting: list[float] = field(default_factory=list)
    _room: int = 0
    _shown: bool = False  # the last loss that was looked at came with its batch

    def __post_init__(self) -> None:
        """Nothing of the training was heard yet."""
        self._intake, self._live = self.training.intake, self.training.live
        self._statistics = self.training.statistics
        self._functions, self._asks = self.training.functions, self.decider.asks
        self._every = self.training.settings.every
        self._background = self.training.settings.background
        self._clock = self.training.step_clock
        self._norms = NormLooks(self.training)
        self._put_back = self._live.guard.put_back  # as the step began
        self._batches = FittingBatches(self.training.batches, self._live)
        self._hear_of_forgotten()

    @property
    def step(self) -> int:
        """Optimizer steps that a loss was told of, even if its value is yet to come."""
        seen, coming = self._statistics.step + len(self._waiting), self._coming
        return seen + coming.steps if coming else seen

    @property
    def newest_loss(self) -> float | None:
        """The last one, whose value has come; None: there was none."""
        newest = self._waiting[-1:] or list(self._statistics.recent)[-1:]
        return newest[0] if newest else None

    def observe(self, loss: Any, batch: Any, scale: float | None) -> None:
        """One loss of the loop's; see `Agent.observe`, also for what is raised."""
        intake, coming, guard = self._intake, self._coming, self._live.guard
        if self._functions.calling:
            return  # a module that holds its agent tells of a copy's loss
        looked_at = guard.watch is not None or guard.aftermath is not None
        shown = batch is not None
        if self._room and shown is self._shown and not looked_at:
            value = intake.of_one_step(loss, scale)
            if value is not None:
                self._room -= 1
                self._waiting.append(value)
                if shown:
                    self.training.batches.append(batch)
                return
        self._live.schedule.look()
        if not (isinstance(loss, torch.Tensor) and loss.numel() == 1):
            loss = scalar_loss(loss, error=BadArgument)
        self._see_waiting()
        before = self.step if coming else self._statistics.step
        told = intake.hear(loss, batch, scale)
        if shown and self._asks:
            self._batches.remember(batch)
        put_back, steps = guard.put_back, told.steps
        come = self.training.feed.push(loss, before + steps)
        if come and not coming:  # it has come at once, as from the CPU
            self._take_one(come[0][1], told, put_back)
        else:
            # A step may end with other weights than its loss was computed with.
            coming.append((told, self._put_back if told.at_edge else put_back))
            self._take(come)
        if steps:
            if self._asks and not self._due:
                self._due = self._falls_due(before, before + steps)
            if told.at_edge:
                self._at_edge()
            else:
                self._waits_for_edge = self._due or self.decider.at_work
        if intake.scale.value is None:
            intake.scale.forward_may_begin()
        self._hear_of_forgotten()
        self._room, self._shown = self._room_to_wait(), shown

    def _room_to_wait(self) -> int:
        """How many losses may wait: while the loop's own optimizer is live, nobody
        looks at them one by one, and none of them brings a decision."""
        guard, decider = self._live.guard, self.decider
        looked_at = guard.watch is not None or guard.aftermath is not None
        told = self.recorder.folder is not None or self.together.several
        if looked_at or told or not self._asks or decider.at_work or self._coming:
            return 0
        if self._live.schedule.followed:  # each loss is an occasion to look at it
            return 0
        if self._intake.waits or not self.training.feed.at_once:
            return 0
        every = self._every or _MOST_WAITING + 1
        return min(_MOST_WAITING, every - 1 - self._statistics.step % every)

    def settle(self) -> None:
        """See to what waits: losses, and the norm of a step's gradients."""
        self._norms.settle()
        self._see_waiting()

    def _see_waiting(self) -> None:
        self._room = 0
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for loss in waiting:
                self._statistics.see(loss)

    def drain(self, *, judge: bool = True) -> None:
        """Wait for what is on its way; judge nothing by it where weights are loaded."""
        self.settle()
        if not judge:
            self._coming.judge_nobody()
        self._take(self.training.feed.drain())
        if judge:
            self._live.guard.settle()
        self._batches.drop_others()

    def settle_to_save(self) -> None:
        """Wait for what is on its way, but not among ranks: one of them may save alone.

        There losses stay on their way, and are saved so.
        """
        if self.together.several:
            self.settle()
            self._batches.drop_others()
        else:
            self.drain()

    def _take(self, losses: list[tuple[int, float]]) -> None:
        """The values of losses have come, in the order in which they were told of."""
        # What the guard raises leaves none of them behind.
        heard = [self._coming.popleft() for _ in losses]
        for (_, loss), (told, put_back) in zip(losses, heard, strict=True):
            self._take_one(loss, told, put_back)

    def _take_one(self, loss: float, told: Told, put_back: int | None) -> None:
        several = self.together.several
        known = not (several or self._intake.finite)  # to the guard, by an earlier one
        done = self._intake.take(loss, told)
        if done is not None:
            mean = self.together.mean(done.loss) if several else done.loss
            self._statistics.see(mean, done.steps)
            if self.recorder.folder is not None:
                self.recorder.loss(self._statistics.step, mean)
            if math.isfinite(mean) or not known:
                self._judge(mean, put_back, of_one_step=done.steps == 1)
        if not several and self._intake.waits and not math.isfinite(loss):
            # GradScaler steps over what is not finite: its step might never come.
            self._judge(loss, put_back)

    def _judge(
        self, loss: float, put_back: int | None, *, of_one_step: bool = False
    ) -> None:
        """Show the guard a loss, unless it is of weights that are gone (None: so)."""
        guard = self._live.guard
        if put_back == guard.put_back:
            guard.observed(loss, of_one_step=of_one_step)

    def decide(self) -> Decision:
        """Decide now, or begin to where that is done in the background."""
        if self._functions.calling:
            raise BadArgument(
                "the objective asks for a decision; a function that only computes a "
                "loss was wanted; call decide() in the loop."
            )
        self.drain()
        self.decider.at_the_edge_of_a_step()
        return self._decide()

    def _decide(self) -> Decision:
        self.together.catch_up()
        background = self.training.settings.background
        return self.decider.begin() if background else self.decider.decide()

    def _at_edge(self) -> None:
        due, self._due, self._waits_for_edge = self._due, False, False
        if self._coming and (due or self.decider.waits):
            self.drain()
        if due or self.decider.at_work:
            self._live.guard.settle()
        if due:
            self._norms.settle()
        if due or self.decider.at_work:
            self.decider.at_the_edge_of_a_step()
        if due:
            self._decide()

    def _falls_due(self, before: int, now: int) -> bool:
        """Whether a decision falls into the steps after `before` up to `now`."""
        settings = self.training.settings
        every, total = self._every, settings.total_steps
        if every is None or not self._asks:
            return False
        if now // every == before // every:
            return False
        return total is None or now < total

    def step_begins(self, *, ready: bool) -> None:
        """The live optimizer is about to step, on gradients that may be ready.

        Raises:
            BadArgument: it is the objective that steps it, in a dry run.
        """
        if self._functions.calling:
            raise BadArgument(
                "the objective steps the live optimizer; a function that only computes "
                "a loss was wanted, since it is called on copies too; step in the loop."
            )
        if self.together.several:
            self.together.step_begins()
        self._put_back = self._live.guard.put_back
        if self._intake.scale.value is None:
            self._intake.scale.step_begins()
        if ready and self._asks:
            self._statistics.steps_to_norm -= 1
            if self._statistics.steps_to_norm <= 0:
                self._norms.look()

    def gradients_ready(self) -> None:
        """The gradients of the step are there."""
        if self._asks:
            self._statistics.steps_to_norm -= 1
            if self._statistics.steps_to_norm <= 0:
                self._norms.look()

    def step_ends(self) -> None:
        """The live optimizer has stepped."""
        intake = self._intake
        near = self._background and self.decider.at_work
        if not near and self._every is not None and self._room <= intake.steps:
            step = self.step
            near = self._falls_due(step, step + intake.steps + 1)
        if not intake.step_taken(decision_near=near):
            return
        steps = self._live.steps
        if steps % TICK_EVERY == 0:
            self._clock.tick(steps)
        if self._waits_for_edge:
            self._at_edge()

    def _hear_of_forgotten(self) -> None:
        """Of gradients that are zeroed, while it is looked for a scale of losses."""
        scale = self._intake.scale
        self._live.on_forgotten = scale.forward_may_begin if scale.watches else None

    def try_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise what `load_state_dict` would raise; nothing is changed."""
        intake = copy.copy(self._intake)
        intake.scale = copy.copy(intake.scale)
        intake.load_state_dict(state)
        ComingLosses.of(state, put_back=0)

    def state_dict(self) -> dict[str, Any]:
        """Plain data; of losses on their way those of this rank."""
        put_back = self._live.guard.put_back
        coming = self._coming.state(self.training.feed.coming(), put_back=put_back)
        return {"due": self._due, "coming": coming, **self._intake.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; older checkpoints hold none."""
        put_back = self._put_back = self._live.guard.put_back
        self._coming, losses = ComingLosses.of(state, put_back=put_back)
        self.training.feed.send(losses)
        self._due = self._waits_for_edge = bool(state.get("due", False))
        self._intake.load_state_dict(state)
        self._hear_of_forgotten()

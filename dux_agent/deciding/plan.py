"""What a decision will need: memory, base steps, seconds, calls of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from dux_agent.deciding.run_cost import RunCost
from dux_agent.decisions import Decision
from dux_agent.showing import html_table
from dux_agent.training import memory
from dux_agent.training.memory import readable
from dux_agent.training.training import Training
from dux_graphs.sound_states import are_sound_attempts
from dux_graphs.step_budget import StepBudget
from dux_sandbox.dry_runs.bystanders import Bystanders
from dux_sandbox.dry_runs.scratch import frozen_weights
from dux_sandbox.executions import EXECUTIONS, ISOLATED
from dux_sandbox.running_rule import parameters_of


@dataclass(frozen=True)
class Counted:
    """How often something is done: at least, where the first proposal passes, and at
    most, where all but the last are refused in the dry run. Trouble with the model, a
    closure that a rule calls again, and a rule that hangs come on top."""

    least: int
    most: int

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.least:,}"
        return f"{self.least:,} to {self.most:,}"


@dataclass(frozen=True, repr=False, kw_only=True)
class DecisionPlan:
    """What one decision will need beside the training itself; see `Agent.plan`.

    Memory is in bytes. Activations of the passes come on top: as many as one step of
    the training needs. Of a sharded model what this rank holds of each tensor is
    counted, as where all ranks try on parts; `whole_copy` has what the first needs.

    Attributes:
        batches: the last ones, which dry runs use; None: none was seen yet.
        incumbent_copy: in the dry run, what is live continued on a copy: weights,
            buffers, gradients, and the optimizer's state.
        clone: in the dry run, the copy that a proposal trains: weights, buffers,
            gradients. Frozen weights are shared with the live model.
        child: what the rule's process is shown, shared memory on the CPU: weights and
            gradients; in the dry run, and for good where rules are isolated.
        rule_state: what a rule keeps, if that is as much as Adam does: in its process,
            or inline beside the model.
        kept_aside: in the dry run, buffers and other modules that are put back.
        whole_copy: of a sharded model, in the dry run, on the first rank where it tries
            on all of it: weights, buffers and state made whole, and in place of the
            above what a dry run of a whole model needs beside them; else 0.
        snapshot: while a rule is live; twice from its first renewal on, when the one
            before it is kept too, and once more for some steps while it is renewed.
        snapshots: where that lives: "device", "host" or "off".
        isolated: whether a live rule has a process of its own.
        live_state: what a recorded rule that is live keeps, or will after its first
            step; None of other rules.
        guard_only: there is no language model; `snapshot` holds the optimizer's state
            too, and all else is 0.
        forwards, backwards: passes over one batch each.
            A backward pass is a gradient evaluation.
        optimizer_steps: of the incumbent's copy and of the proposals: base steps.
        decision_steps: what `decision_steps` leaves of them; None: no limit was set.
        model_calls: of the language model.
        validations: calls of `validate`.
        seconds: how long the last decision took; None: none was made yet.
        seconds_most: what the base steps take at most, at the pace of the decisions
            before, calls of the model and processes included; before the first one at
            the pace of training, without those; None: nobody knows yet.
        run: what the calls that are left of the run may cost; None: nobody knows.
        best_weights: bytes of those of the best validation, in the CPU's memory.
    """

    snapshot: int
    snapshots: str
    guard_only: bool
    batches: int | None = 0
    incumbent_copy: int = 0
    clone: int = 0
    child: int = 0
    rule_state: int = 0
    kept_aside: int = 0
    whole_copy: int = 0
    isolated: bool = False
    forwards: Counted = Counted(0, 0)
    backwards: Counted = Counted(0, 0)
    optimizer_steps: Counted = Counted(0, 0)
    model_calls: Counted = Counted(0, 0)
    validations: int = 0
    decision_steps: int | None = None
    seconds: float | None = None
    seconds_most: float | None = None
    run: RunCost | None = None
    best_weights: int = 0
    live_state: int | None = None

    @property
    def in_the_dry_run(self) -> int:
        """The most that a decision takes at a time, given back when it is over."""
        own = self.child + self.rule_state
        incumbent = self.incumbent_copy + (self.child if self.isolated else 0)
        return self.kept_aside + max(incumbent, self.clone + own)

    @property
    def while_a_rule_is_live(self) -> int:
        """What stays after it: snapshot, the rule's state, its process's memory."""
        return self.snapshot + self.rule_state + (self.child if self.isolated else 0)

    @property
    def memory(self) -> dict[str, int | None]:
        """Bytes by the name of the part."""
        return {name: size for name, size, _ in self._rows()}

    def _rows(self) -> list[tuple[str, int | None, str]]:
        where = {
            "device": "beside the model",
            "host": "in the CPU's memory",
            "off": "none is kept",
        }[self.snapshots]
        if self.guard_only:
            told = f"weights, buffers, optimizer; {where}, twice while it is renewed"
            return [("snapshot", self.snapshot, told)]
        live = "also while a rule is live" if self.isolated else "in the dry run"
        whole = "in place of these on the first rank, if it has as much"
        rows = [
            ("batches", self.batches, "the last ones, always"),
            ("incumbent copy", self.incumbent_copy, "in the dry run"),
            ("clone", self.clone, "in the dry run"),
            ("child", self.child, f"shared memory of its process, {live}"),
            ("rule's state", self.rule_state, "if it keeps as much as Adam does"),
            ("kept aside", self.kept_aside, "in the dry run"),
            ("whole copy", self.whole_copy, whole),
            ("snapshot", self.snapshot, f"while a rule is live, {where}; later two"),
        ]
        if not self.whole_copy:
            rows = [row for row in rows if row[0] != "whole copy"]
        if self.live_state is not None:
            rows.append(("live rule's state", self.live_state, "recorded, and exact"))
        if self.best_weights:
            told = "of the best validation, in the CPU's memory, always"
            rows.append(("best weights", self.best_weights, told))
        return rows

    def _sums(self) -> list[tuple[str, str]]:
        if self.guard_only:
            return [("decisions", "none: there is no language model")]
        sums = [
            ("in the dry run", readable(self.in_the_dry_run)),
            ("while a rule is live", readable(self.while_a_rule_is_live)),
            ("forward passes", str(self.forwards)),
            ("backward passes", f"{self.backwards}, gradient evaluations"),
            ("base steps", self._base_steps()),
            ("calls of the model", str(self.model_calls)),
            ("calls of validate", str(self.validations)),
        ]
        if self.run is not None:
            sums += self.run.lines()
        if self.seconds is not None:
            sums.append(("the last one took", f"{self.seconds:.3g} s"))
        if self.seconds_most is not None:
            beside = "" if self.seconds else "; calls of the model, processes on top"
            sums.append(("at most", f"about {self.seconds_most:.3g} s{beside}"))
        return sums

    def _base_steps(self) -> str:
        limit = self.decision_steps
        return f"{self.optimizer_steps}" + (f" (decision_steps={limit})" * bool(limit))

    @property
    def in_one_line(self) -> str:
        """What a decision takes at most, for a terminal."""
        steps, seconds = f"{self.optimizer_steps.most:,}", self.seconds_most
        took = f"as long as {steps} steps of training take"
        if seconds is not None:
            took = f"about {seconds:.2g} s"
        return (
            f"a decision takes at most {steps} base steps "
            f"({self.backwards.most:,} gradient evaluations), {took}; "
            f"{self.model_calls.most:,} calls of the model"
        )

    def __repr__(self) -> str:
        lines = ["A decision needs, beside the training:"]
        for name, size, told in self._rows():
            lines.append(f"  {name:<15}{readable(size):>12}  {told}")
        for name, told in self._sums():
            lines.append(f"  {name:<21} {told}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(name, readable(size), told) for name, size, told in self._rows()]
        return html_table([*rows, *((name, told, "") for name, told in self._sums())])


def plan_of(
    training: Training,
    *,
    asks: bool,
    budget: StepBudget,
    decisions: Sequence[Decision],
    run: RunCost | None,
) -> DecisionPlan:
    """The plan of the next decision, as things are now.

    Args:
        asks: whether there is a language model.
        budget: how base steps are counted, and limited.
        decisions: those of before.
        run: what the rest of the run may cost.
    """
    if not asks:
        return _plan_of_guard(training)
    settings, model, live = training.settings, training.model, training.live
    batches, accumulated = training.batches, training.intake.accumulated
    groups = live.param_groups
    bystanders = Bystanders(model, [training.objective], training.also)
    resting = {id(each) for each in frozen_weights(model, parameters_of(groups))}
    copied = memory.in_a_copy(model, resting) + memory.in_gradients(model)
    rule_state = memory.TENSORS_A_WEIGHT * memory.copied_from(parameters_of(groups))
    live_state: int | None = getattr(live.running, "state_bytes", None)
    elsewhere = rule_state if live_state is None else live_state
    isolated = EXECUTIONS[settings.execution] is ISOLATED
    passes = budget.of_a_decision(settings.candidates, settings.max_attempts)
    taken, runs = (Counted(*each) for each in passes)
    # The newest batches, looked at once beside what `validate` says.
    beside = len(batches) if training.validate is not None else 0
    return DecisionPlan(
        batches=memory.in_batches(batches, settings.dry_run_steps),
        incumbent_copy=copied + memory.of_the_live_rule(live, elsewhere),
        clone=copied,
        child=memory.in_a_block(groups),
        rule_state=rule_state,
        kept_aside=memory.kept_aside(bystanders, resting),
        whole_copy=memory.for_a_whole_copy(model, live, isolated=isolated),
        snapshot=0
        if settings.snapshots == "off"
        else memory.in_a_snapshot(groups, model),
        snapshots=settings.snapshots,
        isolated=isolated,
        guard_only=False,
        # Each dry run looks at the loss once more after its last step.
        forwards=Counted(
            (taken.least + runs.least) * accumulated + beside,
            (taken.most + runs.most) * accumulated + beside,
        ),
        backwards=Counted(taken.least * accumulated, taken.most * accumulated),
        optimizer_steps=taken,
        decision_steps=budget.most,
        model_calls=Counted(
            settings.candidates, settings.candidates * settings.max_attempts
        ),
        validations=int(training.validate is not None),
        seconds=decisions[-1].seconds if decisions else None,
        seconds_most=_seconds(training, budget, decisions, taken.most),
        run=run,
        best_weights=memory.in_all_weights(model) if settings.keep_best else 0,
        live_state=live_state,
    )


def _seconds(
    training: Training,
    budget: StepBudget,
    decisions: Sequence[Decision],
    steps: int,
) -> float | None:
    """What so many base steps take, at the pace of before."""
    # What a checkpoint holds may be older than what attempts say now.
    sound = [each for each in decisions if are_sound_attempts(each.attempts)]
    taken = [(each, budget.taken(each.attempts)) for each in sound]
    paces = [each.seconds / steps for each, steps in taken if steps]
    pace = max(paces, default=training.step_clock.seconds)
    return None if pace is None else pace * steps


def _plan_of_guard(training: Training) -> DecisionPlan:
    live = training.live
    model = memory.in_a_snapshot(live.param_groups, training.model)
    return DecisionPlan(
        snapshot=model + memory.in_the_state(live.base),
        snapshots=training.settings.snapshots,
        guard_only=True,
    )

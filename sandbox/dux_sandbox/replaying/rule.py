"""A rule that is recorded: its programs run here, and its code in another process.

Where no program can stand for it, it goes on isolated from where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from dux_sandbox.closures import Closure, ClosureUse, number_of
from dux_sandbox.findings import (
    CannotRunSo,
    Finding,
    RuleFailed,
    SourceRejected,
    digest_of,
    printable,
)
from dux_sandbox.gradients import forget
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.process.reported import NONSENSE
from dux_sandbox.process.spawning import Zygote
from dux_sandbox.process.told_groups import ToldGroups
from dux_sandbox.recorded.kernels.cuda.graphs import graphs_on
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.replaying.agreeing import CANNOT, Agree
from dux_sandbox.replaying.bounds import bounds_for
from dux_sandbox.replaying.branches import kept_after
from dux_sandbox.replaying.called_closure import CalledClosure
from dux_sandbox.replaying.child import RecordingProcess
from dux_sandbox.replaying.hindrance import FAULTS, in_the_way
from dux_sandbox.replaying.laid_as import LaidAs
from dux_sandbox.replaying.plainness import require_plain
from dux_sandbox.replaying.preparing import prepare
from dux_sandbox.replaying.proof import prove
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.replaying.telling import Telling
from dux_sandbox.running_rule import ParamGroups, RuleState, StepCost, parameters_of
from dux_sandbox.runtime.kept import KEEP
from dux_sandbox.values import Decoder, ValueRefused

log = logging.getLogger(__name__)


class RecordedRule(Telling):
    """A recorded rule; see `RunningRule`.

    Attributes:
        mode: "recorded", or "isolated" where it could not be.
        why: what stands in the way of recording it, or None.
        agree: see `Replay.agree`; also asked where a step could not be recorded.
    """

    runs_here = False
    prepare = staticmethod(prepare)

    def __init__(self, source: str, groups: ParamGroups, limits: Limits, seed: int):
        """For `build`; use that."""
        self.source: str | None = source
        self.digest: str | None = digest_of(source)
        self.closure_use = ClosureUse.UNKNOWN
        self.carry = False
        self.requires_closure = False
        self.takes_closure = True
        self.defaults: dict[str, Any] = {}
        self.options: list[dict[str, Any]] = []
        self.why: Finding | None = None
        self.agree: Agree | None = None
        self._parameters = parameters_of(groups)
        self._limits = limits
        self._seed = seed
        self._groups = ToldGroups(groups, [])
        self._steps = StepCost()
        self._seconds = 0.0
        self._process: RecordingProcess | None = None
        self._replay: Replay | None = None
        self._isolated: IsolatedRule | None = None
        self._calls, self._expected = True, 0
        self._trained: list[bool] = []
        self._dtype = torch.get_default_dtype()
        self._order = LaidAs(source, self._parameters)
        self._not_with_closure: Unrecordable | None = None

    @classmethod
    def build(
        cls,
        source: str,
        groups: ParamGroups,
        *,
        limits: Limits | None = None,
        seed: int = 0,
        warm: Zygote | None = None,
    ) -> RecordedRule:
        """Record how the rule is built and stepped; prove it beside the rule itself.

        Args:
            source: the text of the rule.
            groups: only their parameters are used here.
            limits: bounds on time and memory.
            seed: of the random numbers of its process.
            warm: the process that its own are forks of; None: the trainer's.

        Raises:
            SourceRejected: the static check refuses the source.
            RuleFailed: it could not be built, or neither be recorded nor isolated.
            CannotRunSo: these parameters can be shown to no process.
        """
        rule = cls(source, groups, limits or Limits(), seed)
        try:
            try:
                rule._begin(source, groups, warm)
            except (*FAULTS, RuleFailed) as error:
                if isinstance(error, CannotRunSo):
                    raise
                rule._fall(error, groups, None)
        except BaseException:
            rule.close()
            raise
        return rule

    def _begin(self, source: str, groups: ParamGroups, warm: Zygote | None) -> None:
        replay = self._proven(source, groups, warm)
        replay.places.options = [dict(each) for each in self.options]
        self._groups = ToldGroups(groups, self.options)
        self._replay = replay

    def _proven(self, source: str, groups: ParamGroups, warm: Zygote | None) -> Replay:
        require_plain(self._parameters)
        self._order.note()
        self._trained, self._dtype = self._trained_now(), torch.get_default_dtype()
        limits, seed = self._limits, self._seed
        process = RecordingProcess(source, groups, limits=limits, seed=seed, warm=warm)
        self._process = process
        self._say_as(process)
        bounds = bounds_for(self._parameters, self._limits)
        graphs = graphs_on(self._parameters, limits.graph_memory)
        replay = Replay(self._parameters, process, bounds, True, graphs)
        replay.build(process.program)
        replay.adopt(prove(source, groups, process, bounds, self._limits, self._seed))
        self._foresee(replay)
        replay.places.accept = self._accept
        return replay

    def _trained_now(self) -> list[bool]:
        """Which parameters are trained, where the source may ask for it."""
        if "requires_grad" not in (self.source or ""):
            return []
        return [each.requires_grad for each in self._parameters]

    def _record_again(self, before: Replay) -> Replay:
        """Go on with the same rule where what it was recorded under is otherwise.

        Parameters are trained, or are no more; torch's default dtype is another.

        Raises:
            Unrecordable, RuleFailed: as where it was built; nothing has changed.
        """
        self._let_go()
        self._replay = before
        replay = self._proven(self.source or "", self._groups.groups, None)
        replay.places.options = before.places.options
        replay.kept.take(before.kept.state())
        self._replay = replay
        return replay

    def _say_as(self, other: RecordingProcess | IsolatedRule) -> None:
        """Say of the rule what whoever has built it does."""
        self.defaults, self.options = other.defaults, other.options
        self.carry = other.carry
        self.requires_closure = other.requires_closure
        self.takes_closure = other.takes_closure

    def _foresee(self, replay: Replay) -> None:
        """Look at a first step with a closure and without, to know what it does."""
        present = [each.requires_grad for each in self._parameters]
        if not self.requires_closure:
            first = replay.known(present, None) or replay.foresee(present, None)
            self._expected = kept_after(first)
        if self.takes_closure:
            try:
                first = replay.known(present, "float32") or replay.foresee(
                    present, "float32"
                )
                self._calls = first.calls > 0
            except Unrecordable as error:
                if self.requires_closure:
                    raise
                self._not_with_closure = error

    @property
    def mode(self) -> str:
        """Where its steps are taken: "recorded" or "isolated"."""
        return "recorded" if self._isolated is None else "isolated"

    @property
    def cost(self) -> StepCost:
        """What it has cost so far."""
        if self._isolated is not None:
            return self._isolated.cost
        seconds, held = self._seconds, 0
        if self._process is not None:
            seconds += self._process.seconds
            held = self._process.resident_bytes()
        return replace(self._steps, total=seconds, bytes=held)

    @property
    def owned(self) -> list[set[str]]:
        """Per group, the names of the options that are the rule's own."""
        return (self._isolated or self._groups).owned

    def bind(
        self, param_groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """Read and write the option values of these groups from the next step on."""
        (self._isolated or self._groups).bind(param_groups, owned)

    def gradients_present(self) -> list[bool]:
        """See `RunningRule`."""
        return [each.grad is not None for each in self._parameters]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or to zero in place."""
        forget(self._parameters, set_to_none)

    def state_by_parameter(self) -> dict[torch.Tensor, dict[str, Any]]:
        """Copies of what it keeps of each parameter. Raises RuleFailed."""
        kept = self.snapshot().state
        return {self._parameters[index]: kept[index] for index in kept}

    @property
    def state_bytes(self) -> int | None:
        """What it keeps, or will after its first step; None where it is isolated."""
        kept = 0 if self._replay is None else self._replay.kept.tensor_bytes
        return None if self._replay is None else max(kept, self._expected)

    def step(
        self, closure: Closure | None = None, *, seconds: float | None = None
    ) -> Any:
        """Run the program of this step; `seconds` are for a rule that is isolated."""
        if self._isolated is not None:
            return self._isolated.step(closure, seconds=seconds)
        if closure is None:
            return self._step(None, None, None, seconds)
        if self._not_with_closure is not None:
            return self._fallen(self._not_with_closure, closure, seconds)
        if not self._calls:
            return self._step("ignored", None, None, seconds)
        called = CalledClosure(closure, self._limits.closure_calls)
        result = self._step(called.kind, called.loss, called, seconds)
        return called.given if result is called.loss else result

    def _step(
        self,
        kind: str | None,
        loss: torch.Tensor | None,
        closure: Closure | None,
        seconds: float | None,
    ) -> Any:
        replay = self._replay
        if replay is None:
            raise RuleFailed(Finding("died", None, "the rule was closed"))
        began = time.perf_counter()
        if self._order.moved is not None:
            return self._fallen(self._order.moved, closure, seconds)
        dtype = torch.get_default_dtype()
        if dtype is not self._dtype or (
            self._trained and self._trained != self._trained_now()
        ):
            try:
                replay = self._record_again(replay)
            except (*FAULTS, RuleFailed, SourceRejected) as error:
                return self._fallen(error, closure, seconds)
        for index, described in self._groups.news():
            replay.places.options[index] = Decoder(bytearray()).decode(described)
        replay.agree = self.agree
        try:
            result = replay.step(kind, loss)
        except (*FAULTS, RuleFailed) as error:
            return self._fallen(error, closure, seconds)
        spent = time.perf_counter() - began
        self._seconds += spent
        self._steps = self._steps.after(spent)
        plain = not isinstance(result, torch.Tensor) or result is loss
        return result if plain else number_of(result)

    def _accept(self, options: list[dict[str, Any]]) -> None:
        """Give the loop's groups what the rule has written to its options."""
        try:
            self._groups.write(options)
        except NONSENSE as error:
            raise RuleFailed(Finding("group", None, printable(str(error)))) from None

    # Where it cannot be recorded

    def _fallen(
        self, error: BaseException, closure: Closure | None, seconds: float | None
    ) -> Any:
        """The same step, isolated; the rule stays so."""
        if self.agree is not None:
            self.agree(CANNOT)
        learned, owned = self.snapshot(), self.owned
        self._fall(error, self._groups.groups, (learned, owned))
        assert self._isolated is not None
        return self._isolated.step(closure, seconds=seconds)

    def stay_isolated(
        self, why: str = "was isolated already when it was saved"
    ) -> None:
        """Go on isolated, as it did where what it has learned comes from.

        Args:
            why: said of the rule, "it ...".

        Raises:
            RuleFailed: it could not be built.
        """
        here = all(each.device.type == "cpu" for each in self._parameters)
        if self._isolated is None and here:
            error = Unrecordable(why, None)
            learned = self.snapshot(), self.owned
            self._fall(error, self._groups.groups, learned)

    def _fall(
        self,
        error: BaseException,
        groups: ParamGroups,
        learned: tuple[RuleState, list[set[str]]] | None,
    ) -> None:
        self.why = in_the_way(error, self.source or "")
        if any(each.device.type != "cpu" for each in self._parameters):
            raise RuleFailed(self.why)
        log.warning("rule %s runs isolated: %s", str(self.digest)[:12], self.why)
        source = self.source or ""
        rule = IsolatedRule.build(source, groups, limits=self._limits, seed=self._seed)
        if learned is not None:
            try:
                rule.restore(learned[0])
            except BaseException:
                rule.close()
                raise
            rule.bind(groups, learned[1])
        self._say_as(rule)
        self._isolated = rule
        self._let_go()

    def snapshot(self) -> RuleState:
        """Copies of what the rule has learned."""
        if self._isolated is not None:
            return self._isolated.snapshot()
        return RuleState() if self._replay is None else self._replay.kept.state()

    def restore(self, state: RuleState) -> None:
        """Keep copies of what the rule had learned, in place of all."""
        if self._isolated is not None:
            self._isolated.restore(state)
        elif self._replay is not None:
            try:
                self._replay.kept.take(state)
                self._replay.ahead.again()
                self._order.keep(state.state)
            except ValueRefused as error:
                finding = Finding("state", None, printable(str(error)), KEEP)
                raise RuleFailed(finding) from None

    def rest(self) -> None:
        """Let go of what only stepping needs."""
        if self._isolated is not None:
            self._isolated.rest()
        if self._replay is not None and self._replay.graphs is not None:
            self._replay.graphs.forget()

    def close(self) -> None:
        """End its processes, and let go of what it keeps."""
        if self._isolated is not None:
            self._isolated.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._process is not None:
            self._process.end()
        if self._replay is not None:
            self._replay.close()
        if self._process is not None:
            self._process.close()
        self._process = self._replay = None

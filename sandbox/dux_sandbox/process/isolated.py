"""A rule whose code runs in a jailed process of its own, on a mirror of the parameters.

The trainer's process never executes generated code here: a step is one message
there and one back, with values and gradients copied into the mirror before it and the
values copied out of it afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from dux_sandbox.closures import Closure, ClosureUse, CountedClosure
from dux_sandbox.findings import SourceRejected, digest_of
from dux_sandbox.gradients import forget
from dux_sandbox.limits import Limits
from dux_sandbox.process.ahead import fork_ahead, forked_ahead
from dux_sandbox.process.asked_closure import AskedClosure, loss_in
from dux_sandbox.process.child import Child
from dux_sandbox.process.conversation import Conversation
from dux_sandbox.process.memory_growth import MemoryGrowth
from dux_sandbox.process.mirror import Mirror, size_for
from dux_sandbox.process.places import CannotMirror
from dux_sandbox.process.reported import NONSENSE, built_of, report_of, state_of
from dux_sandbox.process.spawning import Zygote, forked
from dux_sandbox.process.told_groups import ToldGroups
from dux_sandbox.process.told_mirror import ToldMirror
from dux_sandbox.running_rule import ParamGroups, RuleState, StepCost, parameters_of
from dux_sandbox.values import ValueRefused, encode

_BUILD_SECONDS = 2.0
_TRANSFER_SECONDS = 60.0
_MAX_STEP_JSON = 1 << 20
_BLOB_BYTES = 64 << 20
_SNAPSHOT_SECONDS = 5.0
_BYTES_PER_SECOND = 50e6
_GROWTH_BYTES = 128 << 20


class IsolatedRule:
    """A rule in a child process; see `RunningRule` for the interface.

    Attributes:
        mirror: what the child sees of the parameters.
        step_seconds: the longest a step may take that is not told, seconds.
        state: see `Limits`.
    """

    runs_here = False

    def __init__(
        self,
        source: str,
        param_groups: ParamGroups,
        mirror: Mirror,
        child: Child,
        limits: Limits,
    ) -> None:
        """For `build`; use that."""
        self.source: str | None = source
        self.digest: str | None = digest_of(source)
        self.mirror = mirror
        self.carry = False
        self.requires_closure = False
        self.takes_closure = True
        self.closure_use = ClosureUse.UNKNOWN
        self.defaults: dict[str, Any] = {}
        self.options: list[dict[str, Any]] = []
        self.step_seconds = limits.step_seconds
        self.closure_calls = limits.closure_calls
        self.state = limits.state
        self._groups = ToldGroups(param_groups, [])
        self._talk = Conversation(child, digest_of(source))
        most = min(limits.memory, 4 * _bytes_of(mirror.parameters))
        self._growth = MemoryGrowth(max(_GROWTH_BYTES, most))
        self._steps = StepCost()
        self._closed = False
        self._shown = ToldMirror(mirror)

    @classmethod
    def build(
        cls,
        source: str,
        param_groups: ParamGroups,
        *,
        limits: Limits | None = None,
        seed: int = 0,
        warm: Zygote | None = None,
        ahead: bool = False,
    ) -> IsolatedRule:
        """Start a child with a mirror of the parameters, and build the rule there.

        Args:
            source: the text of the rule.
            param_groups: the live groups; only their parameters are used here.
            limits: bounds on time and memory.
            seed: seeds torch's generator in the child.
            warm: the process that the child is a fork of; None: the trainer's own.
            ahead: have the child of another rule forked meanwhile, which follows soon;
                see `dux_sandbox.process.ahead`.

        Raises:
            SourceRejected: the static check refuses the source.
            RuleFailed: building the rule raised, hung or broke a limit, or the
                jail lacks a layer that `limits.require` names.
            CannotMirror: a parameter that no process can be shown.
            IsolationUnavailable: this system cannot isolate.
        """
        limits = limits or Limits()
        parameters = parameters_of(param_groups)
        request = _request_for(parameters, limits)
        waiting = forked_ahead(request) if warm is None else None
        if waiting is not None:
            child, memory = waiting
            mirror = Mirror(parameters, memory)
        else:
            mirror = Mirror(parameters)
            try:
                fork = forked if warm is None else warm.fork
                child = fork(request, (mirror.descriptor,))
            except BaseException:
                mirror.close()
                raise
        rule = cls(source, param_groups, mirror, child, limits)
        try:
            rule._talk.require_layers(limits.require)
            if ahead:
                fork_ahead(request)
            rule._build(source, param_groups, parameters, seed, limits)
        except BaseException:
            rule.close()
            raise
        return rule

    @staticmethod
    def expect(param_groups: ParamGroups, limits: Limits) -> None:
        """Have the child of a rule over such groups forked ahead, which follows soon.

        See `dux_sandbox.process.ahead`.
        """
        with suppress(CannotMirror):
            fork_ahead(_request_for(parameters_of(param_groups), limits))

    def _build(
        self,
        source: str,
        param_groups: ParamGroups,
        parameters: list[torch.Tensor],
        seed: int,
        limits: Limits,
    ) -> None:
        index_of = {id(parameter): at for at, parameter in enumerate(parameters)}
        groups = [
            [index_of[id(parameter)] for parameter in group["params"]]
            for group in param_groups
        ]
        request = {
            "op": "build",
            "source": source,
            "seed": seed,
            "places": [place.as_list() for place in self.mirror.places],
            "groups": groups,
        }
        self._show(request)
        reply, _ = self._talk.ask(request, min(_BUILD_SECONDS, limits.seconds))
        self._talk.require_ok(reply)
        if "refused" in reply:
            raise SourceRejected(report_of(reply["refused"]))
        try:
            with self._talk.clock():
                self.defaults, self.options = built_of(reply, len(param_groups))
            self.carry = reply["carry"] is True
            self.requires_closure = reply["requires_closure"] is True
            self.takes_closure = reply["takes_closure"] is not False
        except NONSENSE as error:
            raise self._talk.fail("init", str(error)) from None
        self._groups = ToldGroups(param_groups, self.options)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._talk.child.pid

    @property
    def cost(self) -> StepCost:
        """What it has cost so far; its memory is looked up now."""
        talk = self._talk
        return replace(
            self._steps, total=talk.seconds, bytes=talk.child.resident_bytes()
        )

    @property
    def owned(self) -> list[set[str]]:
        """Per group, the names of the options that are the rule's own."""
        return self._groups.owned

    def bind(
        self, param_groups: ParamGroups, owned: Sequence[set[str]] | None = None
    ) -> None:
        """Read and write the option values of these groups from the next step on."""
        self._groups.bind(param_groups, owned)

    def gradients_present(self) -> list[bool]:
        """Whether each parameter has a gradient."""
        return self.mirror.present()

    def state_by_parameter(self) -> dict[torch.Tensor, dict[str, Any]]:
        """Copies of what it keeps of each parameter. Raises RuleFailed."""
        kept = self.snapshot().state
        return {self.mirror.parameters[index]: kept[index] for index in kept}

    def step(
        self, closure: Closure | None = None, *, seconds: float | None = None
    ) -> Any:
        """Take one step in the child; see `RunningRule.step`."""
        request: dict[str, Any] = {"op": "step"}
        asked: AskedClosure | None = None
        if closure is not None:
            counted = CountedClosure(closure, self.closure_calls)
            asked = AskedClosure(self._talk, counted, self._copy_out, self._tell)
            request["closure"] = True
        self._tell(request)
        before = self._talk.seconds
        try:
            reply, _ = self._talk.ask(
                request,
                self.step_seconds if seconds is None else seconds,
                closure=None if asked is None else asked.answer,
                max_json=_MAX_STEP_JSON,
            )
        finally:
            if asked is not None:
                asked.require_no_error()
        self._talk.require_ok(reply)
        self._count_step(self._talk.seconds - before)
        try:
            with self._talk.clock():
                self._groups.take(reply.get("options", ()))
        except NONSENSE as error:
            raise self._talk.fail("group", str(error)) from None
        loss = loss_in(reply, self._talk, asked)
        # Last of all: of a step that failed nothing is copied out.
        self._copy_out(reply)
        return loss

    def _copy_out(self, message: dict[str, Any]) -> None:
        """Take over what the rule did to parameters, and to gradients in place."""
        try:
            apart = message.get("apart") is True
            self._shown.take(message.get("gradients", ()), apart)
        except ValueRefused as error:
            raise self._talk.fail("channel", str(error)) from None

    def _tell(self, request: dict[str, Any]) -> None:
        """Fill the mirror; put into a request what else has changed on this side."""
        self._show(request)
        changed = self._groups.news()
        if changed:
            request["options"] = changed

    def _show(self, request: dict[str, Any]) -> None:
        self._talk.require_ours()  # the mirror's memory is the trainer's
        try:
            request |= self._shown.news()
        except ValueRefused as error:
            raise self._talk.fail("parameter", str(error)) from None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, or to zero in place."""
        forget(self.mirror.parameters, set_to_none)

    def snapshot(self) -> RuleState:
        """Fetch what the rule has learned from its process."""
        most = _BLOB_BYTES + int(self.state * self.mirror.size)
        seconds = _SNAPSHOT_SECONDS + self.mirror.size / _BYTES_PER_SECOND
        reply, blob = self._talk.ask({"op": "snapshot"}, seconds, max_blob=most)
        self._talk.require_ok(reply)
        try:
            with self._talk.clock():
                return state_of(reply, blob, len(self.mirror.parameters))
        except NONSENSE as error:
            raise self._talk.fail("state", str(error)) from None

    def require_saveable(self) -> None:
        """Raise RuleFailed unless `snapshot` would succeed; moves no tensor."""
        reply, _ = self._talk.ask({"op": "describe"}, _SNAPSHOT_SECONDS)
        self._talk.require_ok(reply)

    def restore(self, state: RuleState) -> None:
        """Send what the rule had learned to its process."""
        blobs: list[bytes | memoryview] = []
        try:
            described = encode([state.state, state.attributes], blobs)["list"]
        except ValueRefused as error:
            raise self._talk.fail("state", str(error)) from None
        request = {"op": "restore", "state": described[0], "attributes": described[1]}
        reply, _ = self._talk.ask(request, _TRANSFER_SECONDS, blobs=blobs)
        self._talk.require_ok(reply)

    def rest(self) -> None:
        """Let go of what the mirror holds; the next step fills it again."""
        self.mirror.rest()

    def close(self, *, wait: bool = True) -> None:
        """End the process and let go of the mirror; see `Child.kill`."""
        if self._closed:
            return
        self._closed = True
        self._talk.child.kill(wait=wait)
        self.mirror.close()

    def _count_step(self, seconds: float) -> None:
        self._steps = self._steps.after(seconds)
        grown = self._growth.after_step(self._talk.child.resident_bytes)
        if grown is not None:
            raise self._talk.fail(
                "memory",
                f"its memory has grown by {grown >> 20} MiB and goes on growing",
            )


def _request_for(parameters: list[torch.Tensor], limits: Limits) -> dict[str, Any]:
    """What a fork is asked for; raises CannotMirror."""
    # It may be several times the parameters (Shampoo: four matrices a weight).
    state = int(limits.state * _bytes_of(parameters))
    return {
        "purpose": "rule",
        "mirror": size_for(parameters),
        "memory": limits.memory + state,
        "threads": torch.get_num_threads(),
    }


def _bytes_of(parameters: list[torch.Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in parameters)

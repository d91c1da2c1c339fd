"""A rule whose code runs in a jailed process of its own, on shared memory.

The trainer's process never executes generated code here: a step is one message
there and one back, and the parameters change where they lie.
"""

from __future__ import annotations

from typing import Any

import torch

from dux_sandbox.findings import Finding, RuleFailed, SourceRejected, digest_of
from dux_sandbox.limits import Limits
from dux_sandbox.process.channel import ChannelBroken
from dux_sandbox.process.conversation import Conversation
from dux_sandbox.process.reported import (
    NONSENSE,
    built_of,
    options_to_send,
    report_of,
    state_of,
    take_options,
)
from dux_sandbox.process.slab import Slab
from dux_sandbox.process.spawning import Child, zygote
from dux_sandbox.running import (
    Closure,
    CountedClosure,
    ParamGroups,
    RuleState,
    number_of,
    parameters_of,
    same_options,
    without_params,
)
from dux_sandbox.values import Decoder, ValueRefused, encode

_JAIL_SECONDS = 10.0
_BUILD_SECONDS = 2.0
_TRANSFER_SECONDS = 60.0
_MAX_STEP_JSON = 1 << 20
_BLOB_BYTES = 64 << 20
_SNAPSHOT_SECONDS = 5.0
_BYTES_PER_SECOND = 50e6
# State may be several times the parameters (Shampoo: four matrices a weight).
_STATE_PER_PARAMETER_BYTE = 8
_WATCH_EVERY = 8  # steps between two looks at the child's memory
_WATCH_FROM = 16  # steps until a rule's state counts as settled
_GROWTH_BYTES = 128 << 20


class IsolatedRule:
    """A rule in a child process; see `RunningRule` for the interface.

    Attributes:
        slab: the shared memory that holds the parameters.
        step_seconds: the longest a step may take, seconds; may be narrowed.
        longest_step: the longest step after the first, seconds.
        first_step: the first step, seconds.
    """

    isolated = True

    def __init__(
        self, source: str, param_groups: ParamGroups, slab: Slab, child: Child
    ) -> None:
        """For `build`; use that."""
        self.source: str | None = source
        self.digest: str | None = digest_of(source)
        self.slab = slab
        self.carry = False
        self.requires_closure = False
        self.defaults: dict[str, Any] = {}
        self.options: list[dict[str, Any]] = []
        self.step_seconds = Limits().step_seconds
        self.closure_calls = Limits().closure_calls
        self.longest_step = 0.0
        self.first_step = 0.0
        self._groups = param_groups
        self._talk = Conversation(child, digest_of(source))
        self._closed = False
        self._steps = 0
        self._settled_bytes = 0
        self._most_bytes = 0
        self._present: list[bool] | None = None
        self._told: list[dict[str, Any]] = []
        self._owned: list[set[str]] = []

    @classmethod
    def build(
        cls,
        source: str,
        param_groups: ParamGroups,
        *,
        limits: Limits | None = None,
        slab: Slab | None = None,
        seed: int = 0,
    ) -> IsolatedRule:
        """Start a child, move the parameters into shared memory, build the rule.

        Args:
            source: the text of the rule.
            param_groups: the live groups; only their parameters are used here.
            limits: bounds on time and memory.
            slab: shared memory that already holds exactly these parameters.
            seed: seeds torch's generator in the child.

        Raises:
            SourceRejected: the static check refuses the source.
            RuleFailed: building the rule raised, hung or broke a limit, or the
                jail lacks a layer that `limits.require` names.
            CannotShare: the parameters cannot live in shared memory.
            IsolationUnavailable: this system cannot isolate.
        """
        limits = limits or Limits()
        parameters = parameters_of(param_groups)
        slab = slab or Slab(parameters)
        held = sum(each.numel() * each.element_size() for each in parameters)
        request = {
            "purpose": "rule",
            "slab": slab.size,
            "memory": limits.memory + _STATE_PER_PARAMETER_BYTE * held,
            "threads": torch.get_num_threads(),
        }
        child = zygote().fork(request, (slab.descriptor,))
        rule = cls(source, param_groups, slab, child)
        rule.step_seconds = limits.step_seconds
        rule.closure_calls = limits.closure_calls
        rule._most_bytes = max(_GROWTH_BYTES, min(limits.memory, 4 * held))
        slab.hold()
        try:
            rule._check_jail(limits)
            rule._build(source, param_groups, parameters, seed, limits)
        except BaseException:
            rule.close()
            raise
        return rule

    def _check_jail(self, limits: Limits) -> None:
        """The child reports its layers before it has read any source."""
        try:
            message, _ = self._talk.child.channel.receive(_JAIL_SECONDS)
        except ChannelBroken as error:
            raise self._talk.broken(error, _JAIL_SECONDS) from None
        try:
            held = {row[0] for row in message["layers"] if row[1] is True}
        except NONSENSE:
            raise self._talk.fail("channel", "its layers are malformed") from None
        missing = [name for name in limits.require if name not in held]
        if missing:
            raise RuleFailed(
                Finding(
                    "jail",
                    None,
                    f"required layers are missing here: {', '.join(missing)}",
                    "run `dux doctor`; this is the host's fault, not the rule's",
                )
            )

    def _build(
        self,
        source: str,
        param_groups: ParamGroups,
        parameters: list[torch.Tensor],
        seed: int,
        limits: Limits,
    ) -> None:
        self.slab.adopt()
        index_of = {id(parameter): at for at, parameter in enumerate(parameters)}
        groups = [
            [index_of[id(parameter)] for parameter in group["params"]]
            for group in param_groups
        ]
        request = {
            "op": "build",
            "source": source,
            "seed": seed,
            "places": [place.as_list() for place in self.slab.places],
            "groups": groups,
        }
        reply, _ = self._talk.ask(request, min(_BUILD_SECONDS, limits.seconds))
        self._talk.require_ok(reply)
        if "refused" in reply:
            raise SourceRejected(report_of(reply["refused"]))
        try:
            self.defaults, self.options = built_of(reply, len(param_groups))
            self.carry = reply["carry"] is True
            self.requires_closure = reply["requires_closure"] is True
        except NONSENSE as error:
            raise self._talk.fail("init", str(error)) from None
        self._told = [dict(options) for options in self.options]
        self._owned = [set(options) for options in self.options]

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._talk.child.pid

    @property
    def seconds(self) -> float:
        """Time the rule has used so far, seconds."""
        return self._talk.seconds

    @property
    def resident_bytes(self) -> int:
        """Memory the child holds now, bytes."""
        return self._talk.child.resident_bytes()

    def bind(self, param_groups: ParamGroups) -> None:
        """Read and write the option values of these groups from the next step on."""
        self._groups = param_groups

    def step(self, closure: Closure | None = None) -> Any:
        """Take one step in the child; see `RunningRule.step`."""
        request: dict[str, Any] = {"op": "step"}
        counted = None
        if closure is not None:
            counted = CountedClosure(closure, self.closure_calls)
            request["closure"] = True
        self._tell(request)
        before = self.seconds
        try:
            reply, _ = self._talk.ask(
                request,
                self.step_seconds,
                closure=counted and (lambda: self._answer_closure(counted)),
                max_json=_MAX_STEP_JSON,
            )
        finally:
            if counted is not None and counted.error is not None:
                raise counted.error from None
        self._talk.require_ok(reply)
        self._count_step(self.seconds - before)
        self.slab.scatter()
        self._take_options(reply.get("options", ()))
        return self._loss(reply, counted)

    def _tell(self, request: dict[str, Any]) -> None:
        """Put into a request what has changed on this side since the last one."""
        try:
            present = self.slab.gather_gradients()
        except ValueRefused as error:
            raise self._talk.fail("gradient", str(error)) from None
        if present != self._present:
            request["present"] = present
            self._present = present
        changed = []
        for index, group in enumerate(self._groups):
            now = without_params(group)
            if not same_options(now, self._told[index]):
                changed.append([index, options_to_send(now)])
                self._told[index] = now
        if changed:
            request["options"] = changed

    def _take_options(self, changes: Any) -> None:
        try:
            for index, described in changes:
                group, told = self._groups[index], self._told[index]
                take_options(described, group, told, self._owned[index])
        except NONSENSE as error:
            raise self._talk.fail("group", str(error)) from None

    def _loss(self, reply: dict[str, Any], counted: CountedClosure | None) -> Any:
        if "loss" not in reply:
            return None
        try:
            loss = float(Decoder(bytearray()).decode(reply["loss"]))
        except NONSENSE as error:
            raise self._talk.fail("channel", str(error)) from None
        for given in counted.losses if counted is not None else ():
            if number_of(given) == loss:
                return given
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; their memory stays where it is."""
        if set_to_none:
            self.slab.forget_gradients()
        else:
            self.slab.zero_gradients()

    def snapshot(self) -> RuleState:
        """Fetch what the rule has learned from its process."""
        most = _BLOB_BYTES + _STATE_PER_PARAMETER_BYTE * self.slab.size
        seconds = _SNAPSHOT_SECONDS + self.slab.size / _BYTES_PER_SECOND
        reply, blob = self._talk.ask({"op": "snapshot"}, seconds, max_blob=most)
        self._talk.require_ok(reply)
        try:
            return state_of(reply, blob, len(self.slab.parameters))
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

    def close(self) -> None:
        """End the process; the last one to hold the slab moves the parameters out."""
        if self._closed:
            return
        self._closed = True
        self._talk.child.kill()
        self.slab.drop()

    def _answer_closure(self, counted: CountedClosure) -> dict[str, Any]:
        """Run the caller's closure here; what it gave is the answer to the child."""
        if counted.error is not None:
            raise self._talk.fail("closure", "it asked again after the closure raised")
        self.slab.scatter()
        try:
            loss = counted()
        except RuleFailed as error:
            raise self._talk.fail_with(error.finding) from None
        except BaseException:
            # The caller's own error comes out of `step`, once the child has been
            # told to give up this step and has answered.
            return {"stop": ["closure", None, "the closure raised", ""]}
        is_double = getattr(loss, "dtype", None) == torch.float64
        answer: dict[str, Any] = {"dtype": "float64" if is_double else "float32"}
        answer["loss"] = encode(number_of(loss), [])
        self._tell(answer)
        return answer

    def _count_step(self, seconds: float) -> None:
        self._steps += 1
        if self._steps == 1:
            self.first_step = seconds
        else:
            self.longest_step = max(self.longest_step, seconds)
        if self._steps % _WATCH_EVERY == 0 and self._steps >= _WATCH_FROM:
            resident = self.resident_bytes
            if self._steps == _WATCH_FROM or not self._settled_bytes:
                self._settled_bytes = resident
            elif resident > self._settled_bytes + self._most_bytes:
                grown = (resident - self._settled_bytes) >> 20
                raise self._talk.fail(
                    "memory", f"its memory has grown by {grown} MiB and goes on growing"
                )

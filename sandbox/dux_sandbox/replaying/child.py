"""The process that records a rule, as the trainer talks to it."""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.findings import SourceRejected, digest_of, printable
from dux_sandbox.limits import Limits
from dux_sandbox.process.conversation import Conversation
from dux_sandbox.process.reported import NONSENSE, built_of, finding_of, report_of
from dux_sandbox.process.spawning import Zygote, forked
from dux_sandbox.recorded.json_form import program_of
from dux_sandbox.recorded.program import Program
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.replaying.asking import Asked
from dux_sandbox.running_rule import ParamGroups, parameters_of
from dux_sandbox.values import encode

# What a program may take as text: 22 million empty lists fit into 64 MiB of it. An
# operation takes some 60 bytes, and five steps of Newton-Schulz 45 of them.
_TEXT, _TEXT_OF_A_PARAMETER, _MOST_TEXT = 512 << 10, 64 << 10, 32 << 20
# Measured: 40 microseconds an operation; a large model's step is 10,000.
_LEAST_SECONDS, _SECONDS_OF_A_PARAMETER, _MOST_SECONDS = 4.0, 0.02, 20.0


class RecordingProcess:
    """Records one rule in a jailed process; see `replaying.replay.Records`.

    Attributes:
        defaults, options, carry, requires_closure, takes_closure: see `RunningRule`.
        program: what makes what the rule keeps at first; not verified.
    """

    def __init__(
        self,
        source: str,
        groups: ParamGroups,
        *,
        limits: Limits,
        seed: int = 0,
        warm: Zygote | None = None,
    ) -> None:
        """Start it and build the rule there.

        Raises:
            SourceRejected: the static check refuses the source.
            Unrecordable: no program can stand for how it is built.
            RuleFailed: the process is late, gone or tells nonsense.
            IsolationUnavailable: this system cannot isolate.
            KeyError: a parameter of a dtype that no program has.
        """
        parameters = parameters_of(groups)
        text = _TEXT + len(parameters) * _TEXT_OF_A_PARAMETER
        self._most_text = min(text, _MOST_TEXT)
        # The step that waits for it is one that has a limit of its own.
        seconds = max(_LEAST_SECONDS, limits.step_seconds)
        seconds += len(parameters) * _SECONDS_OF_A_PARAMETER
        self._seconds = min(seconds, _MOST_SECONDS)
        shown = [_shown(each) for each in parameters]
        request = {"purpose": "record", "memory": limits.memory}
        child = (forked if warm is None else warm.fork)(request)
        self._talk = Conversation(child, digest_of(source))
        try:
            self._talk.require_layers(limits.require)
            self._build(source, groups, parameters, shown, seed)
        except BaseException:
            self.close()
            raise

    def _build(
        self,
        source: str,
        groups: ParamGroups,
        parameters: Sequence[torch.Tensor],
        shown: list[Any],
        seed: int,
    ) -> None:
        at = {id(parameter): index for index, parameter in enumerate(parameters)}
        reply = self._ask(
            {
                "op": "build",
                "seed": seed,
                "source": source,
                "shown": shown,
                "groups": [
                    [at[id(each)] for each in group["params"]] for group in groups
                ],
                "device": str(parameters[0].device) if parameters else "cpu",
                "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
            }
        )
        if "refused" in reply:
            raise SourceRejected(report_of(reply["refused"]))
        try:
            with self._talk.clock():
                self.defaults, self.options = built_of(reply, len(groups))
            self.carry = reply["carry"] is True
            self.requires_closure = reply["requires_closure"] is True
            self.takes_closure = reply["takes_closure"] is not False
        except NONSENSE as error:
            raise self._talk.fail("init", str(error)) from None
        self.program = self._program_in(reply)

    def step(self, asked: Asked) -> tuple[Program, int]:
        """See `Records.step`."""
        reply = self._ask(
            {
                "op": "step",
                "skeleton": asked.skeleton,
                "leaves": [
                    [
                        list(place),
                        kind if isinstance(kind, str) else [kind.dtype, kind.shape],
                        encode(number, []),
                    ]
                    for place, kind, number in asked.leaves
                ],
                "present": asked.present,
                "outcomes": asked.outcomes,
                "closure": asked.closure,
                "merge": asked.merge,
            }
        )
        calls = reply.get("calls")
        if type(calls) is not int:
            raise self._talk.fail("channel", "it does not tell of the closure")
        return self._program_in(reply), calls

    def _program_in(self, reply: dict[str, Any]) -> Program:
        with self._talk.clock():
            return program_of(reply.get("program"))

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        reply, _ = self._talk.ask(request, self._seconds, max_json=self._most_text)
        told = reply.get("unrecordable")
        if told is not None:
            raise _unrecordable(told)
        if "error" in reply:
            finding = finding_of(reply["error"])
            raise Unrecordable(f"raises when recorded: {finding.message}", finding.line)
        return reply

    @property
    def seconds(self) -> float:
        """Time that it has used to answer so far."""
        return self._talk.seconds

    def resident_bytes(self) -> int:
        """Memory that the process holds now, bytes."""
        return self._talk.child.resident_bytes()

    def end(self) -> None:
        """Have it die, so that nobody waits for it; `close` must follow."""
        self._talk.child.end()

    def close(self) -> None:
        """End the process; can be called twice."""
        self._talk.child.kill()


def _shown(parameter: torch.Tensor) -> list[Any]:
    kind = type_of(parameter)
    strides = list(parameter.stride())
    return [kind.dtype, list(kind.shape), strides, parameter.requires_grad]


def _unrecordable(told: Any) -> Unrecordable:
    if type(told) is not list or len(told) != 2:
        return Unrecordable("cannot be recorded", None)
    message, line = told
    known = type(line) is int and 0 < line < 1_000_000
    return Unrecordable(printable(str(message)[:300]), line if known else None)

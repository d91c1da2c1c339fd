"""A program's step by its kernels, once they are compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.kernels.compiling import Compilation
from dux_sandbox.recorded.kernels.running import FusedProgram
from dux_sandbox.recorded.program import Place, Program
from dux_sandbox.replaying.kept import KeptTree, OptionLeaves

_log = logging.getLogger(__name__)
_PATIENCE = 60.0
"""Seconds that a step waits for its kernels; after that it never has any."""


class FastStep:
    """The kernels of one program, over the parameters of one rule.

    A program has them from its first step on, or never: a run that is repeated, or goes
    on from a checkpoint, takes the same steps by kernels however long compiling takes.
    """

    def __init__(
        self, program: Program, parameters: Sequence[torch.Tensor], compiles: bool
    ) -> None:
        """Begin to compile a program that can be one of many steps."""
        self._program = program
        self._parameters = parameters
        on_cpu = all(each.device.type == "cpu" for each in parameters)
        lasts = program.structure is None
        self._compilation = (
            Compilation(program) if compiles and lasts and on_cpu else None
        )
        self._waits = self._compilation is not None
        self._fused: FusedProgram | None = None
        places = list(enumerate(each.place for each in program.inputs))
        self._given = [(at, place) for at, place in places]
        read = {place for _, place in places}
        self._written = [
            (at, each.place)
            for at, each in enumerate(program.outputs)
            if each.place not in read and each.place[0] in ("parameter", "gradient")
        ]

    def is_ready(self) -> bool:
        """Whether it has kernels; the first to ask waits until they are compiled."""
        if self._waits and self._compilation is not None:
            self._waits = False
            self._fused = self._compilation.wait(_PATIENCE)
            if self._fused is None and self._compilation.reason is None:
                _log.warning(
                    "a recorded rule runs in plain torch: its kernels were not "
                    "compiled within %g s",
                    _PATIENCE,
                )
        return self._fused is not None

    def close(self) -> None:
        """End what is being compiled."""
        if self._compilation is not None:
            self._compilation.close()

    def run(
        self,
        kept: KeptTree,
        options: OptionLeaves,
        loss: Any,
        agree: Callable[[dict[Place, Any]], None],
    ) -> Any:
        """Take the step, all that it writes included; see `FusedProgram.run`.

        Args:
            agree: called with the options that the step changes, before it writes.

        Returns:
            What the rule's step returns.
        """
        assert self._fused is not None
        inputs: list[Any] = [None] * len(self._given)
        for at, place in self._given:
            kind = place[0]
            if kind == "parameter":
                inputs[at] = self._parameters[place[1]]  # type: ignore[index]
            elif kind == "gradient":
                inputs[at] = self._parameters[place[1]].grad  # type: ignore[index]
            elif kind == "option":
                inputs[at] = options.values[place]
            else:
                inputs[at] = loss if kind == "loss" else kept.values[place]
        targets: list[Any] = [None] * len(self._program.outputs)
        for at, place in self._written:
            parameter = self._parameters[place[1]]  # type: ignore[index]
            targets[at] = parameter if place[0] == "parameter" else parameter.grad

        def before(values: list[Any]) -> None:
            agree({p: v for p, v in self._placed(values) if p[0] == "option"})

        values = self._fused.run(inputs, targets, before)
        for place, value in self._placed(values):
            if place[0] in ("state", "attribute") and value is not kept.values[place]:
                kept.set(place, value)
        result = values[-1]
        if isinstance(result, torch.Tensor) and result is not loss:
            result = result.clone()
        return result

    def _placed(self, values: Sequence[Any]) -> list[tuple[Place, Any]]:
        outputs = self._program.outputs
        return [
            (each.place, value) for each, value in zip(outputs, values, strict=False)
        ]

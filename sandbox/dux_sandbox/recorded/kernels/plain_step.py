"""A step in plain torch, writes included, for tensors that no kernel can work on."""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.gradients import require_dense
from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.program import Program


class PlainStep:
    """One step that is taken so; nothing is written before `write`."""

    def __init__(
        self,
        program: Program,
        inputs: Sequence[Any],
        device: torch.device,
        last: Sequence[Sequence[int]],
        targets: Sequence[Any] = (),
    ) -> None:
        """Compute it.

        Args:
            last: see `lifetimes.last_uses`.
            targets: of each output, as for `FusedProgram.run`.

        Raises:
            NotDense: an input or a target is sparse, or shares memory with itself.
            GuardFailed, ArithmeticError, ValueError, RuntimeError: as `interpret`.
        """
        require_dense((*inputs, *targets))
        self._program, self._inputs, self._targets = program, inputs, targets
        values = interpret(program, inputs, device, done=last)
        made = [values[each.value] for each in program.outputs]
        self._made = [x.clone() if isinstance(x, torch.Tensor) else x for x in made]
        self._result = None if program.result is None else values[program.result]

    def given(self, wanted: Sequence[int]) -> list[Any]:
        """These outputs, by their indices, and last what the step returns."""
        return [*(self._made[at] for at in wanted), self._result]

    @torch.no_grad()
    def write(self, places: Sequence[int | None]) -> list[torch.Tensor]:
        """Write all outputs that are tensors somewhere.

        Args:
            places: of each output; that of an input, or another one.

        Returns:
            Of each parameter written, whether it is finite.
        """
        finite = []
        for index, output in enumerate(self._program.outputs):
            at = places[index]
            target = self._targets[index] if index < len(self._targets) else None
            if at is not None and at < len(self._inputs):
                target = self._inputs[at]
            if target is not None:
                target.copy_(self._made[index])
                if output.place[0] == "parameter":
                    finite.append(torch.isfinite(target).all())
                self._made[index] = target
        return finite

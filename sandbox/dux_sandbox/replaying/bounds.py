"""What any program of a rule may use up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from dux_sandbox.limits import Limits
from dux_sandbox.recorded.program import Place, Program, TensorType, ValueType
from dux_sandbox.recorded.verifying import Allowed, verify

# Of a process's memory, what a rule may keep in the trainer's beside that: 64 MiB.
_SHARE_OF_MEMORY = 16
# Multiplications that a processor does in a second, with all that it is slow at.
_WORK_PER_SECOND = 5e10


@dataclass(frozen=True)
class Bounds:
    """What any program of a rule may use up; see `recorded.verifying.Allowed`."""

    tensor_bytes: int
    kept_bytes: int
    made_bytes: int
    work: float

    def verified(
        self,
        program: Program,
        readable: Mapping[Place, TensorType | str],
        writable: Mapping[Place, TensorType | str],
    ) -> tuple[ValueType, ...]:
        """The types of its values; see `recorded.verifying.verify`."""
        return verify(program, Allowed(readable, writable, **vars(self)))


def bounds_for(parameters: Sequence[torch.Tensor], limits: Limits) -> Bounds:
    """What a program over these parameters may use up."""
    held = sum(each.numel() * each.element_size() for each in parameters)
    kept = limits.memory // _SHARE_OF_MEMORY + int(limits.state * held)
    return Bounds(kept, kept, 2 * kept, limits.step_seconds * _WORK_PER_SECOND)

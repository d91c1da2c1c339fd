"""What a recording begins with, and whoever records."""

from dataclasses import dataclass
from typing import Any, Protocol

from dux_sandbox.recorded.program import Place, Program, TensorType


@dataclass(frozen=True)
class Asked:
    """What a recording begins with; see `recorded.recorder.Recorder.step`."""

    skeleton: list[Any]
    leaves: list[tuple[Place, TensorType | str, Any]]
    present: list[bool]
    outcomes: list[bool]
    closure: str | None
    merge: bool = False


class Records(Protocol):
    """Whoever records: a process of its own."""

    def step(self, asked: Asked) -> tuple[Program, int]:
        """The program of one step, not verified, and how often it calls the closure.

        Raises:
            Unrecordable: no program can stand for the step.
            RuleFailed: the process is gone, late, or tells nonsense.
        """

"""What a rule that is recorded calls for a closure; for the rule's own process."""

from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.recorded.guarding import RecordingGuards
from dux_sandbox.recorded.tape import Tape


class RecordedClosure:
    """What a rule calls for a closure: the trainer's has run before the step.

    Attributes:
        calls: how often it was called.
    """

    def __init__(
        self,
        tape: Tape,
        guards: RecordingGuards,
        loss: str | None,
        made: Callable[[str], torch.Tensor],
    ) -> None:
        """Whose loss has the dtype `loss`; see `Recorder.step`, and `Session.loss`."""
        self.calls = 0
        self._tape = tape
        self._guards = guards
        self._loss = loss
        self._made = made

    def __call__(self) -> Any:
        tape = self._tape
        self.calls += 1
        if self.calls > 1:
            raise tape.refuse("calls the closure more than once in a step")
        if tape.read_tensor or self._guards.gradient_read:
            raise tape.refuse(
                "looks at tensors or gradients before it calls the closure"
            )
        if self._loss == "ignored":
            raise tape.refuse("calls the closure at some steps only")
        if self._loss is None or self._loss == "nothing":
            return None
        return self._made(self._loss)

"""The loop's closure in a step of a recorded rule: evaluated before its program."""

from typing import Any

import torch

from dux_sandbox.closures import Closure, CountedClosure, is_loss, number_of
from dux_sandbox.recorded.rows import DTYPES


class CalledClosure:
    """A closure that was called once; called again it first gives what it gave.

    Attributes:
        given: what it returned.
        kind: the dtype of that as a loss, or "nothing" where it is none.
        loss: the loss as a program reads it, a tensor of no dimensions, or None.
    """

    def __init__(self, closure: Closure, most: int) -> None:
        """Call it; what it raises comes out.

        Args:
            most: how often it may be called in one step.
        """
        self._counted = CountedClosure(closure, most)
        self.given = self._counted()
        self._first = True
        self.kind = "nothing"
        self.loss: torch.Tensor | None = None
        if is_loss(self.given):
            double = getattr(self.given, "dtype", None) == torch.float64
            self.kind = "float64" if double else "float32"
            number, dtype = number_of(self.given), DTYPES[self.kind]
            self.loss = torch.tensor(number, dtype=dtype, device="cpu")

    def __call__(self) -> Any:
        if self._first:
            self._first = False
            return self.given
        return self._counted()

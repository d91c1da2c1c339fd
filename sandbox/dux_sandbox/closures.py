"""The closure that a training loop passes to `step`, counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dux_sandbox.findings import Finding, RuleFailed

Closure = Callable[[], Any]

# One step of a line search needs a handful of losses; a rule that asks for more
# is training on the side (measured: the corpus's Armijo rule asks for up to 9).
CLOSURE_CALLS = 10


def number_of(loss: Any) -> float:
    """The value of a loss, a tensor of one element or a number."""
    return float(loss.detach() if isinstance(loss, torch.Tensor) else loss)


class CountedClosure:
    """The caller's closure, counted, with its own errors told apart.

    A rule may swallow an exception or dress it up; the caller still gets the one
    that the closure raised.
    """

    def __init__(self, closure: Closure, most: int = CLOSURE_CALLS) -> None:
        self._closure = closure
        self._most = most
        self.losses: list[Any] = []
        self.error: BaseException | None = None

    def __call__(self) -> Any:
        if self.error is not None:
            raise self.error
        if len(self.losses) >= self._most:
            raise RuleFailed(
                Finding(
                    "closure",
                    None,
                    f"step called its closure more than {self._most} times",
                    f"call closure() at most {self._most} times in one step",
                )
            )
        try:
            with torch.enable_grad():
                loss = self._closure()
        except BaseException as error:
            self.error = error
            raise
        self.losses.append(loss)
        return loss

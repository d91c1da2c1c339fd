"""Whether training stands between two steps: no backward pass since the last one.

A loop that accumulates gradients, or tells of a loss before it steps, calls the agent
with gradients that wait for the step to come. No rule is swapped there.
"""

from __future__ import annotations

from itertools import islice

import torch

_WITNESSES = 3


class GradientMarks:
    """The gradients that a step has used, to know new ones from them later.

    Holds on to their tensors: a new gradient may lie where an old one lay.
    """

    def __init__(self, parameters: list[torch.Tensor], *, every: bool) -> None:
        """Mark them now.

        Args:
            parameters: those of the optimizer, the smallest first.
            every: mark all gradients, for the moment before a decision; else those of
                the first few that have one, which costs nothing to speak of.
        """
        if not every:
            present = (each for each in parameters if each.grad is not None)
            parameters = list(islice(present, _WITNESSES)) or parameters
        self._marks = [
            (each, each.grad, None if each.grad is None else each.grad._version)
            for each in parameters
        ]

    def backward_since(self) -> bool:
        """Whether any of them was computed or added to since."""
        return any(
            parameter.grad is not None
            and (parameter.grad is not gradient or gradient._version != version)
            and _holds_something(parameter.grad)
            for parameter, gradient, version in self._marks
        )


def _holds_something(gradient: torch.Tensor) -> bool:
    """Whether a gradient is more than what `zero_grad(set_to_none=False)` leaves."""
    if gradient.layout is not torch.strided:
        return True
    return bool(gradient.detach().any())

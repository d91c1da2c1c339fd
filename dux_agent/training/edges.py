"""Whether training stands between two steps: no backward pass since the last one.

A loop that accumulates gradients, or tells of a loss before it steps, calls the agent
with gradients that wait for the step to come. No rule is swapped there.
"""

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
        # Plain loops here and below: both are gone through at every step.
        present = []
        for each in parameters:
            gradient = each.grad  # torch makes an object of it, each time it is asked
            if gradient is not None:
                present.append((each, gradient, gradient._version))
                if len(present) == _WITNESSES and not every:
                    break
        self._marks, self._absent = present, parameters[:0]
        if every or not present:
            self._absent = [each for each in parameters if each.grad is None]

    def backward_since(self) -> bool:
        """Whether any of them was computed or added to since."""
        for parameter, gradient, version in self._marks:
            now = parameter.grad
            if now is None or (now is gradient and gradient._version == version):
                continue
            if _holds_something(now):
                return True
        for parameter in self._absent:
            if parameter.grad is not None and _holds_something(parameter.grad):
                return True
        return False


def _holds_something(gradient: torch.Tensor) -> bool:
    """Whether a gradient is more than what `zero_grad(set_to_none=False)` leaves."""
    if gradient.layout is not torch.strided:
        return True
    return bool(gradient.detach().any())

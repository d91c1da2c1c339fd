"""Whether training stands between two steps: no backward pass since the last one.

A loop that accumulates gradients, or tells of a loss before it steps, calls the agent
with gradients that wait for the step to come. No rule is swapped there.
"""

import torch

_WITNESSES = 3

Marks = list[tuple[torch.Tensor, torch.Tensor | None, int]]
"""Parameters, their gradients and how often those were written to.

They hold on to the gradients: a new one may lie where an old one lay.
"""


def marked(parameters: list[torch.Tensor], *, every: bool) -> Marks:
    """The gradients that a step has used, to know new ones from them later.

    Args:
        parameters: those of the optimizer, the smallest first.
        every: mark all, also those without a gradient, for the moment before a
            decision; else the first few that have one, which costs nothing to speak of.
    """
    marks: Marks = []
    for each in parameters:
        gradient = each.grad  # torch makes an object of it, each time it is asked
        if gradient is not None:
            marks.append((each, gradient, gradient._version))
            if len(marks) == _WITNESSES and not every:
                break
        elif every:
            marks.append((each, None, 0))
    return marks or [(each, None, 0) for each in parameters]


def backward_since(marks: Marks) -> bool:
    """Whether any of them was computed or added to since."""
    for parameter, gradient, version in marks:
        now = parameter.grad
        if now is None or (now is gradient and now._version == version):
            continue
        if _holds_something(now):
            return True
    return False


def _holds_something(gradient: torch.Tensor) -> bool:
    """Whether a gradient is more than what `zero_grad(set_to_none=False)` leaves."""
    if gradient.layout is not torch.strided:
        return True
    return bool(gradient.detach().any())

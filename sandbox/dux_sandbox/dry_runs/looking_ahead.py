"""What a rule does after the steps of its dry run, on the gradients that it met there.

No pass of the model is made for it: the rule goes on stepping on the gradients of the
last one, so that what hangs on a count of steps comes out before it is live.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dux_sandbox.dry_runs.slices import ALIKE, Slices
from dux_sandbox.findings import Finding
from dux_sandbox.running_rule import RunningRule
from dux_sandbox.shards import own_part

# So that it never costs as much as the passes of the dry run: an element's step takes
# some 3 ns, 0.3 s in all.
_MOST_ELEMENTS = 100_000_000
_SAMPLE = 4096

# A step that is this many times longer than each before it, and moves the weights by
# a quarter of what they are, has nothing to do with the steps that were tried; but one
# that goes back towards where the rule began puts an average in the weights' place.
_LEAP = 20.0
_SHARE = 0.25
_FAR_LEAP = 1000.0  # however little that moves them
# Rules that put averages back go uphill for a step; these go on doing it.
_UPHILL = 0.3
_IN_A_ROW = 5
# Momentum makes steps on the same gradients up to some three times as long as they
# were on those of several batches; a warm-up more, and none of its steps is more than
# twice as long as all before it.
_GROWS, _AT_ONCE = 5.0, 2.0


class Weights:
    """A sample of the weights of a model, and of their gradients.

    At most 4096 elements of each parameter, evenly spaced: the same ones each time.
    Of what is sharded those that are here.
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        """A sample of these; nothing is read yet."""
        self._parameters = [each for each in parameters if own_part(each).numel()]
        self.elements = sum(own_part(each).numel() for each in parameters)

    def now(self) -> torch.Tensor:
        """Their values, float32 `(elements,)`, on the CPU."""
        return _joined([own_part(each.detach()) for each in self._parameters])

    def moved_from(self, begin: torch.Tensor) -> float:
        """How far they have come from there; infinite where one is not finite."""
        length = float((self.now() - begin).norm())
        return length if math.isfinite(length) else math.inf

    def gradients(self) -> torch.Tensor:
        """Their gradients, as `now`; zero where there is none, or it is sparse."""
        return _joined(
            [
                torch.zeros_like(own_part(each))
                if each.grad is None or each.grad.layout != torch.strided
                else own_part(each.grad.detach())
                for each in self._parameters
            ]
        )


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    if not tensors:
        return torch.zeros(0, device="cpu")
    return torch.cat([_some(each).to("cpu", torch.float32) for each in tensors])


def _some(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    flat = tensor.reshape(-1)
    return flat[:: max(1, math.ceil(flat.numel() / _SAMPLE))]


def look_ahead(
    rule: RunningRule,
    weights: Weights,
    steps: int,
    had: tuple[torch.Tensor, int],
    seconds: float,
) -> Slices[tuple[list[Finding], float]]:
    """Have a rule take more steps on the gradients that are there.

    Args:
        rule: over a copy that nothing is trained on any more.
        weights: of that copy.
        steps: to take; fewer where the model is large.
        had: the weights that it began with, and the steps that it has taken since.
        seconds: that a step may take; none is begun when all have taken that long.

    Returns:
        What speaks against it, a leap or a climb along its gradients; and how far its
        longest step has moved the weights, if its steps have grown little by little,
        or else 0.

    Raises:
        RuleFailed: a step failed.
    """
    begin, done = had
    before, gradient = weights.now(), weights.gradients()
    moved = distance = float((before - begin).norm())
    steepness = float(gradient.norm())
    first = longest = 0.0
    gradual, uphill, begun = True, 0, rule.cost.total
    for step in range(min(steps, _MOST_ELEMENTS // max(1, weights.elements))):
        if rule.cost.total - begun > seconds:
            break
        rule.step(None, seconds=seconds)
        now = weights.now()
        move = now - before
        length = float(move.norm())
        at = done + step + 1
        tried = max(moved / max(1, done), longest)
        came = weights.moved_from(begin)
        far = length > _LEAP * tried and length > _SHARE * float(before.norm())
        far = (far or length > _FAR_LEAP * tried) and came > distance
        if far or not math.isfinite(length):
            said = f"step {at} moves the weights by {length:.3g}, and each before it "
            said += f"by {tried:.3g} or less, on the same gradients"
            wanted = "a rule whose steps stay of the size of those that were tried"
            return [Finding("leap", None, said, wanted)], length
        climbs = float(move @ gradient) > _UPHILL * length * steepness > 0.0
        uphill = uphill + 1 if climbs else 0
        if uphill == _IN_A_ROW:
            said = f"its steps up to {at} go along the gradients, not against them"
            return [Finding("uphill", None, said, "steps that lower the loss")], length
        first = first if step else length
        gradual = gradual and length <= _AT_ONCE * max(longest, first)
        longest, before, distance = max(longest, length), now, came
        yield ALIKE
    return [], longest if gradual and longest > _GROWS * first else 0.0

"""Sensors: what a rule may be told of the run before each of its steps.

All that is told is of steps that are over, so that it is known without a closure, and
a device need not be waited for in the step that it computes. Needs torch alone:
exported rules carry this text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

_FAST, _SLOW = 0.9, 0.99  # decays of the two means of losses
_MOST_HEARD = 2**53

OnItsWay = Callable[[], float]


class Sensing:
    """The sensors of one rule; those that it does not declare cost nothing.

    Attributes:
        names: those that it declares.
        done: steps of the run that were over when the next step begins.
        total: steps of the whole run; None: not known.
    """

    def __init__(
        self,
        names: Sequence[str],
        parameters: Sequence[torch.Tensor],
        done: int = 0,
        total: int | None = None,
    ) -> None:
        """Begin with nothing known; all but "step_fraction" are 0."""
        self.names = tuple(names)
        self.done, self.total = done, total
        self._parameters = list(parameters)
        self._losses = [0.0, 0.0]
        self._heard = 0
        self._gradients: list[torch.Tensor | None] = [None] * len(self._parameters)
        self._before: list[torch.Tensor] = []
        self._cosine: float | OnItsWay = 0.0
        self._ratio: float | OnItsWay = 0.0

    def values(self) -> dict[str, float]:
        """What each sensor says before the next step."""
        return {name: getattr(self, f"_{name}")() for name in self.names}

    def hear(self, loss: float) -> None:
        """The loss of a step that is over; one that is no number is passed over."""
        if "loss_trend" in self.names and math.isfinite(loss):
            self._heard += 1
            for place, decay in enumerate((_FAST, _SLOW)):
                held = self._losses[place]
                self._losses[place] = decay * held + (1 - decay) * loss

    @torch.no_grad()
    def step_begins(self) -> None:
        """The rule is about to write to the weights."""
        if "update_ratio" in self.names:
            if len(self._before) != len(self._parameters):
                self._before = [each.detach().clone() for each in self._parameters]
            for held, weights in zip(self._before, self._parameters, strict=True):
                if held.shape != weights.shape or held.device != weights.device:
                    held.data = weights.detach().clone()
                held.copy_(weights)

    @torch.no_grad()
    def gradients_ready(self) -> None:
        """The gradients of the step are there; as the loop has made them."""
        if "gradient_cosine" not in self.names:
            return
        dots, squares, former = [], [], []
        for place, parameter in enumerate(self._parameters):
            gradient, before = parameter.grad, self._gradients[place]
            if gradient is not None and gradient.layout is not torch.strided:
                gradient = gradient.to_dense()
            if before is not None:
                former.append(_dot(before, before))
            if gradient is not None:
                squares.append(_dot(gradient, gradient))
                if before is not None and before.shape == gradient.shape:
                    dots.append(_dot(gradient, before.to(gradient.device)))
                    before.copy_(gradient)
                    continue
            kept = None if gradient is None else gradient.detach().clone()
            self._gradients[place] = kept
        if dots:
            lengths = (_sum(squares) * _sum(former)).sqrt()
            self._cosine = _read(_sum(dots) / lengths, -1.0, 1.0)
        else:
            self._cosine = 0.0

    def around(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure; what it computes first are the gradients of the step."""
        ready = False

        def called() -> Any:
            nonlocal ready
            loss = closure()
            if not ready:
                ready = True
                self.gradients_ready()
            return loss

        return called

    @torch.no_grad()
    def step_ends(self) -> None:
        """The rule has stepped."""
        self.done += 1
        if "update_ratio" in self.names:
            moved, held = [], []
            for before, weights in zip(self._before, self._parameters, strict=True):
                held.append(_dot(before, before))
                before.sub_(weights)
                moved.append(_dot(before, before))
            if moved:
                self._ratio = _read((_sum(moved) / _sum(held)).sqrt(), 0.0, math.inf)

    def state(self) -> dict[str, Any]:
        """All that was learned, as plain data and tensors that are copies."""
        return {
            "losses": list(self._losses),
            "heard": self._heard,
            "cosine": self._gradient_cosine(),
            "ratio": self._update_ratio(),
            "gradients": {
                str(place): each.clone()
                for place, each in enumerate(self._gradients)
                if each is not None
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; an empty one begins anew.

        Raises:
            ValueError: it is none of this rule's.
        """
        try:
            fast, slow = map(float, state.get("losses", (0.0, 0.0)))
            heard = int(state.get("heard", 0))
            finite = math.isfinite(fast) and math.isfinite(slow)
            if not finite or not 0 <= heard < _MOST_HEARD:
                raise ValueError("means of losses that are none")
            cosine = _bounded(float(state.get("cosine", 0.0)), -1.0, 1.0)
            ratio = _bounded(float(state.get("ratio", 0.0)), 0.0, math.inf)
            kept = state.get("gradients", {})
            gradients = [
                _like(kept.get(str(place)), parameter)
                for place, parameter in enumerate(self._parameters)
            ]
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"the sensors were saved as something else: {error}"
            ) from None
        self._losses, self._heard = [fast, slow], heard
        self._cosine, self._ratio = cosine, ratio
        self._gradients = gradients

    def _step_fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0

    def _loss_trend(self) -> float:
        if not self._heard:
            return 0.0
        # Each mean over what it weighs by now: the first loss counts fully.
        decays = zip(self._losses, (_FAST, _SLOW), strict=True)
        fast, slow = (held / (1 - decay**self._heard) for held, decay in decays)
        size = max(abs(fast), abs(slow))
        return max(-1.0, min(1.0, (fast - slow) / size)) if size else 0.0

    def _gradient_cosine(self) -> float:
        self._cosine = _known(self._cosine)
        return self._cosine

    def _update_ratio(self) -> float:
        self._ratio = _known(self._ratio)
        return self._ratio


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The sum of products of two tensors of one shape, at least in float32, 0-d."""
    one, other = one.detach(), other.detach()
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other.to(one.dtype))
    kind = torch.float64 if one.dtype is torch.float64 else torch.float32
    return torch.dot(one.reshape(-1).to(kind), other.reshape(-1).to(kind))


def _like(held: torch.Tensor | None, parameter: torch.Tensor) -> torch.Tensor | None:
    """A copy of a gradient that was saved; None of what can be none of this weight."""
    if held is None:
        return None
    dense = held.layout is torch.strided and not held.is_meta
    kinds = held.dtype.is_complex, held.dtype.is_floating_point
    wanted = parameter.dtype.is_complex, parameter.dtype.is_floating_point
    if not dense or kinds != wanted or held.shape != parameter.shape:
        return None
    return held.detach().to(parameter.device).clone()


def _sum(numbers: Sequence[torch.Tensor]) -> torch.Tensor:
    device = numbers[0].device
    return torch.stack([each.to(device, torch.float64) for each in numbers]).sum()


def _read(number: torch.Tensor, least: float, most: float) -> float | OnItsWay:
    """A number between bounds, 0 where it is none; from a device what waits for it."""
    if number.is_cuda:
        copied = torch.empty_like(number, device="cpu", pin_memory=True)
        copied.copy_(number, non_blocking=True)
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(number.device))

        def value() -> float:
            done.synchronize()
            return _bounded(float(copied), least, most)

        return value
    return _bounded(float(number), least, most)


def _bounded(number: float, least: float, most: float) -> float:
    return max(least, min(most, number)) if math.isfinite(number) else 0.0


def _known(number: float | OnItsWay) -> float:
    return number if isinstance(number, float) else number()

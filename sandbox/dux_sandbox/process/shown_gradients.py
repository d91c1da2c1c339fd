"""The gradients in a rule's process: in the mirror, or in memory of their own.

The trainer writes each step's gradients over those of the step before. A rule that
keeps a gradient (`self.state[p]["last"] = p.grad`) has the old numbers afterwards where
the training makes gradients anew, as `zero_grad` has it do, and the new ones where it
fills the same tensors again. So that it has what it would have in the training's own
process, such a rule is shown copies: a new one where the trainer has another gradient,
else the same one, filled again. A closure may have gradients made anew in mid-step,
whatever a rule has in its local names: where there is one, all are copies from then on.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.process.mirror import same_bits
from dux_sandbox.process.places import Place
from dux_sandbox.runtime.tensors_held import tensors_held


class ShownGradients:
    """The gradients of the parameters of one rule.

    Attributes:
        apart: whether they are copies, for good.
    """

    def __init__(self, block: torch.Tensor) -> None:
        """The mirror's memory, 1-d uint8; `add` says what lies there."""
        self._block = block
        self._parameters: list[torch.Tensor] = []
        self._places: list[Place] = []
        self._mirrored: list[torch.Tensor] = []
        self._copies: list[torch.Tensor | None] = []
        self._present: list[bool] = []
        self._renewed: list[bool] = []
        self._versions: list[int] = []
        self.apart = False

    def add(self, parameter: torch.Tensor, place: Place) -> None:
        """The next parameter, and where it and its gradient lie."""
        self._parameters.append(parameter)
        self._places.append(place)
        self._mirrored.append(place.gradient(self._block))
        self._copies.append(None)

    def move(self, index: int, place: Place) -> None:
        """A parameter, and the gradient that is shown next, lie elsewhere now."""
        self._places[index] = place
        self._mirrored[index] = place.gradient(self._block)
        self._parameters[index].data = place.values(self._block)

    def show(self, message: dict[str, Any]) -> None:
        """Set the gradients as the trainer has them.

        Args:
            message: of it, with "present" and "renewed" where they have changed.
        """
        self._present = message.get("present", self._present)
        self._renewed = message.get("renewed", self._renewed)
        shown: Sequence[torch.Tensor | None] = self._mirrored
        if self.apart:
            shown = self._copied()
        # Also where nothing is new: the rule may have let go of some here.
        for parameter, gradient, is_present in zip(
            self._parameters, shown, self._present, strict=False
        ):
            parameter.grad = gradient if is_present else None
        self._versions = [gradient._version for gradient in self._mirrored]

    def _copied(self) -> list[torch.Tensor | None]:
        """Copies of those present: the same as before, but for renewed ones."""
        for index, is_present in enumerate(self._present):
            copy, mirrored = self._copies[index], self._mirrored[index]
            if not is_present:
                continue
            if copy is None or not self._renewed or self._renewed[index]:
                self._copies[index] = mirrored.clone()
            else:
                copy.copy_(mirrored)
        return self._copies

    def told(self) -> dict[str, Any]:
        """What the trainer is to hear of them: "gradients", the indices of those that
        the rule has written to, and whether they are "apart"."""
        told: dict[str, Any] = {"apart": True} if self.apart else {}
        written = self._written()
        return told | {"gradients": written} if written else told

    def _written(self) -> list[int]:
        if not self.apart:
            return [
                index
                for index, parameter in enumerate(self._parameters)
                if parameter.grad is not None
                and parameter.grad._version != self._versions[index]
            ]
        written = []
        for index, copy in enumerate(self._copies):
            if copy is None or self._parameters[index].grad is None:
                continue
            if not same_bits(copy, self._mirrored[index]):
                self._mirrored[index].copy_(copy)
                written.append(index)
        return written

    def told_after(self, rule: torch.optim.Optimizer) -> dict[str, Any]:
        """The same after a step; what the rule keeps of them is apart from then on."""
        told = self.told()
        if not self.apart:
            self._part_from(rule)
        return told | {"apart": True} if self.apart else told

    def _part_from(self, rule: torch.optim.Optimizer) -> None:
        """Give those that the rule keeps memory of their own."""
        first = self._block.data_ptr()
        end = first + self._block.nbytes
        own = set(map(id, self._parameters))
        within = [
            tensor
            for _, tensor in tensors_held(rule)
            if id(tensor) not in own
            and tensor.layout is torch.strided
            and first <= tensor.data_ptr() < end
        ]
        if not within:
            return
        # An empty one lies where the next begins.
        places = sorted(
            (gradient.data_ptr(), gradient.nbytes, index)
            for index, gradient in enumerate(self._mirrored)
        )
        for tensor in within:
            at = bisect_right(places, (tensor.data_ptr(), math.inf)) - 1
            if at >= 0:
                begins, size, index = places[at]
                offset = tensor.data_ptr() - begins
                if offset < size:
                    self._give(tensor, index, offset)

    def _give(self, tensor: torch.Tensor, index: int, offset: int) -> None:
        """Have a tensor that lies in a gradient lie in a copy of it."""
        self.apart = True
        copy = self._copies[index]
        if copy is None:
            copy = self._copies[index] = self._mirrored[index].clone()
            self._mirrored[index] = self._places[index].gradient(self._block)
        moved = torch.empty(0, dtype=tensor.dtype).set_(
            copy.untyped_storage(),
            offset // tensor.element_size(),
            tensor.shape,
            tensor.stride(),
        )
        tensor.data = moved

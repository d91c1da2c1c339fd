"""What the inputs of a program hold: brought together at each step, at little cost."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import torch

from dux_sandbox.recorded.kernels.picking import picked
from dux_sandbox.recorded.program import Place, Program, TensorType
from dux_sandbox.replaying.kept import KeptTree
from dux_sandbox.replaying.option_leaves import OptionLeaves

KEPT = ("state", "attribute")
"""What the places begin with that a rule keeps."""


class Inputs:
    """The inputs of one program, over the parameters of one rule."""

    def __init__(self, program: Program, parameters: Sequence[torch.Tensor]) -> None:
        """Find out where each of them is."""
        places = [each.place for each in program.inputs]
        is_tensor = [isinstance(each.type, TensorType) for each in program.inputs]
        of: dict[str, list[int]] = {}
        for at, place in enumerate(places):
            kind = "kept" if place[0] in KEPT else str(place[0])
            if kind == "kept":
                kind = "tensors" if is_tensor[at] else "numbers"
            of.setdefault(kind, []).append(at)
        self._parameters = [
            parameters[int(places[at][1])] for at in of.get("parameter", [])
        ]
        self._tensors = [places[at] for at in of.get("tensors", [])]
        self._numbers = _of_mapping([places[at] for at in of.get("numbers", [])])
        self._options = _of_mapping([places[at] for at in of.get("option", [])])
        self._gradients = picked([int(places[at][1]) for at in of.get("gradient", [])])
        self._seen: tuple[OptionLeaves | None, Sequence[Any]] = (None, ())
        self._asks_loss = "loss" in of
        # In the order in which `now` brings them together.
        kinds = ("parameter", "tensors", "gradient", "numbers", "option", "loss")
        brought = {
            at: k for k, at in enumerate(at for x in kinds for at in of.get(x, []))
        }
        self._order = picked([brought[at] for at in range(len(places))])

    def now(
        self,
        kept: KeptTree,
        gradients: Sequence[torch.Tensor | None],
        options: OptionLeaves,
        loss: Any,
    ) -> list[Any]:
        """What they hold now.

        Args:
            gradients: of each parameter.
        """
        values = kept.values
        known = kept.of_tensors.get(self)
        if known is None:
            tensors = [values[place] for place in self._tensors]
            known = kept.of_tensors[self] = [*self._parameters, *tensors]
        # Nothing else is held on to: a gradient may be forgotten between two steps.
        seen, read = self._seen
        if seen is not options:
            read = self._options(options.values)
            self._seen = options, read
        brought = [
            *known,
            *self._gradients(gradients),
            *self._numbers(values),
            *read,
        ]
        if self._asks_loss:
            brought.append(loss)
        return list(self._order(brought))


def _of_mapping(places: Sequence[Place]) -> Callable[[Mapping[Place, Any]], Any]:
    """Takes what is at these places."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: [values[place] for place in places]

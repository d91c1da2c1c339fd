"""Whether parameters lie in memory as they did when a rule was recorded."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dux_sandbox.recorded.laying import asks_how_tensors_lie, lies_otherwise
from dux_sandbox.recorded.tape import Unrecordable


class LaidAs:
    """The order in memory of a rule's parameters, where that makes a difference to it.

    A loop may turn a weight in mid-training (`p.data = ...`); what the rule keeps of
    it lies as before then, and no program tells the two apart.
    """

    def __init__(self, source: str, parameters: Sequence[torch.Tensor]) -> None:
        """Of these; what they are now counts once `note` is called."""
        self._asked = list(parameters) if asks_how_tensors_lie(source) else []
        self._strides: list[tuple[int, ...]] | None = None
        self._otherwise = False

    def note(self) -> None:
        """It is recorded over the parameters as they are now."""
        self._strides = list(map(torch.Tensor.stride, self._asked))

    def keep(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        """It goes on from a state that may come from anywhere."""
        self._otherwise = bool(self._asked) and lies_otherwise(self._asked, state)

    @property
    def moved(self) -> Unrecordable | None:
        """What there is to say against a program now, or None."""
        if not self._asked:
            return None
        now = list(map(torch.Tensor.stride, self._asked))
        if now == self._strides and not self._otherwise:
            return None
        return Unrecordable(
            "asks how tensors lie in memory, or draws in that order, and a weight lies "
            "otherwise than when it was recorded, or than what is kept of it",
            None,
        )

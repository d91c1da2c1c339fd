"""What a recorded rule keeps, in the trainer: named tensors and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.recorded.program import Place, TensorType
from dux_sandbox.recorded.trees import PuttingTogether, TakenApart
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.replaying.spacing import spaced
from dux_sandbox.running import clone_value
from dux_sandbox.running_rule import RuleState

Type = TensorType | str
_NUMBERS = frozenset((int, float, bool))


@dataclass(frozen=True)
class Tree:
    """What a rule keeps, but for the values.

    Attributes:
        skeleton, key: as of `KeptTree`.
        places: of its leaves, in order.
    """

    skeleton: list[Any]
    key: str
    places: tuple[Place, ...]


class KeptTree:
    """State and attributes of a rule.

    Attributes:
        values: by place, each tensor and number.
        key: changes whenever something else does, or the type of one of them.
        stamp: changes whenever one of its tensors is another one.
        of_tensors: what others have made of its tensors; empty when `stamp` changes.
    """

    def __init__(self, parameters: Sequence[torch.Tensor] = ()) -> None:
        """A rule over these that keeps nothing."""
        self._models: dict[str | int, torch.Tensor] = dict(enumerate(parameters))
        self.values: dict[Place, Any] = {}
        self.skeleton: list[Any] = []
        self.key = ""
        self.stamp = 0
        self.of_tensors: dict[Any, Any] = {}
        self._of_types: dict[Any, list[type] | None] = {}
        self._note()

    def take(self, state: RuleState) -> None:
        """Keep copies of what a rule has learned, in place of all.

        Raises:
            ValueRefused: it holds what is no plain data.
        """
        apart = TakenApart()
        for index, entry in state.state.items():
            apart.add(("state", index), clone_value(entry))
        for name, value in state.attributes.items():
            apart.add(("attribute", name), clone_value(value))
        self.put(apart.skeleton, [value for _, value in apart.leaves])

    def put(self, skeleton: list[Any], leaves: list[Any]) -> None:
        """Keep these from now on; the leaf numbers of the skeleton are places in them.

        Raises:
            ValueRefused: the skeleton is malformed.
        """
        # Once put together and taken apart again each leaf has the place that it has.
        parts = PuttingTogether(leaves.__getitem__).parts(skeleton)
        apart = TakenApart()
        for place, part in parts:
            apart.add(place, part)
        values = {place: self._laid(place, value) for place, value in apart.leaves}
        self.values = spaced(values, self._models)
        self.skeleton = apart.skeleton
        self._renew()
        self._note()

    def _laid(self, place: Place, value: Any) -> Any:
        """A tensor of a parameter's shape as that parameter lies in memory.

        So does what a rule makes of it (`zeros_like`), and kernels go through both.
        What is in an order of its own (`linalg.eigh`) stays so: products round by it.
        """
        model = self._models.get(place[1]) if place[0] == "state" else None
        if model is None or model.is_contiguous() or not torch.is_tensor(value):
            return value
        if model.shape != value.shape or not value.is_contiguous():
            return value
        made = torch.empty_like(model, dtype=value.dtype, device=value.device)
        return value if made.is_contiguous() else made.copy_(value)

    def set(self, place: Place, value: Any) -> None:
        """Another value at a leaf that there is."""
        before = self.values[place]
        if value is before:
            return
        kind = type(value)
        if kind is type(before) and kind in _NUMBERS:
            self.values[place] = value
            return
        self.values[place] = value = self._laid(place, value)
        self._renew()
        if _type(before) != _type(value):
            self._note()

    def set_all(self, who: Any, places: Sequence[Place], values: Sequence[Any]) -> None:
        """Other values at leaves that there are.

        Args:
            who: asks for the same places each time.
        """
        kinds = self._of_types.get(who)
        if kinds is None:
            kinds = [type(self.values[place]) for place in places]
            self._of_types[who] = kinds = kinds if set(kinds) <= _NUMBERS else None
        if kinds is not None and kinds == list(map(type, values)):
            self.values.update(zip(places, values, strict=True))
            return
        for place, value in zip(places, values, strict=True):
            self.set(place, value)

    def become(self, tree: Tree, given: Mapping[Place, Any]) -> None:
        """Keep what is in a tree from now on, and nothing else.

        Args:
            given: values by their places; what is at others stays.
        """
        before, self.values = self.values, {}
        moved = tree.places != tuple(before)
        for place in tree.places:
            value = was = before.get(place)
            if place in given and given[place] is not was:
                value = self._laid(place, given[place])
                moved |= torch.is_tensor(value) or torch.is_tensor(was)
            self.values[place] = value
        self.skeleton, self.key = tree.skeleton, tree.key
        if moved:
            self._renew()

    def tree(self) -> Tree:
        """What there is now."""
        return Tree(self.skeleton, self.key, tuple(self.values))

    def types(self) -> dict[Place, Type]:
        """The type of each leaf, in the order of their numbers."""
        return {place: _type(value) for place, value in self.values.items()}

    def leaves(self) -> list[tuple[Place, Type, Any]]:
        """Of each leaf the place, the type, and what a number is."""
        return leaves_in(self.values)

    @property
    def tensor_bytes(self) -> int:
        """What its tensors take, bytes."""
        tensors = [
            each for each in self.values.values() if isinstance(each, torch.Tensor)
        ]
        return sum(each.numel() * each.element_size() for each in tensors)

    def state(self) -> RuleState:
        """Copies of all of it."""
        leaves = list(self.values.values())
        state: dict[int, dict[str, Any]] = {}
        attributes: dict[str, Any] = {}
        for place, part in PuttingTogether(leaves.__getitem__).parts(self.skeleton):
            if place[0] == "state":
                state[int(place[1])] = clone_value(part)
            else:
                attributes[str(place[1])] = clone_value(part)
        return RuleState(state, attributes)

    def _renew(self) -> None:
        self.stamp += 1
        self.of_tensors.clear()

    def _note(self) -> None:
        self._of_types.clear()
        types = [str(each) for each in self.types().values()]
        self.key = json.dumps([self.skeleton, types])


def leaves_in(values: dict[Place, Any]) -> list[tuple[Place, Type, Any]]:
    """Of each leaf the place, the type, and what a number is."""
    return [
        (place, _type(value), None if isinstance(value, torch.Tensor) else value)
        for place, value in values.items()
    ]


def _type(value: Any) -> Type:
    return type_of(value) if isinstance(value, torch.Tensor) else type(value).__name__

"""What a recorded rule keeps, in the trainer: named tensors and numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.program import Place, TensorType, ValueType
from dux_sandbox.recorded.trees import (
    PuttingTogether,
    TakenApart,
    leaves_of,
    renumbered,
)
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.replaying.spacing import spaced
from dux_sandbox.running import clone_value
from dux_sandbox.running_rule import RuleState
from dux_sandbox.values import ValueRefused

Type = TensorType | str
_MOST_GROUPS = 1 << 16
_NUMBERS = frozenset((int, float, bool))


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

    def types(self) -> dict[Place, Type]:
        """The type of each leaf, in the order of their numbers."""
        return {place: _type(value) for place, value in self.values.items()}

    def leaves(self) -> list[tuple[Place, Type, Any]]:
        """Of each leaf the place, the type, and what a number is."""
        return _leaves(self.values)

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


def _leaves(values: dict[Place, Any]) -> list[tuple[Place, Type, Any]]:
    return [
        (place, _type(value), None if isinstance(value, torch.Tensor) else value)
        for place, value in values.items()
    ]


def _type(value: Any) -> Type:
    return type_of(value) if isinstance(value, torch.Tensor) else type(value).__name__


class OptionLeaves:
    """The options of all groups, taken apart as `KeptTree` is.

    Attributes:
        values: by place, each number.
        skeleton: with leaf numbers that begin at `first`.
        key: as of `KeptTree`.
    """

    def __init__(self, options: list[dict[str, Any]], first: int) -> None:
        """Take them apart.

        Raises:
            ValueRefused: a group holds what is no plain data.
        """
        apart = TakenApart()
        for index, group in enumerate(options):
            for name, value in group.items():
                apart.add(("option", index, name), value)
        if any(isinstance(value, torch.Tensor) for _, value in apart.leaves):
            raise ValueRefused("a group holds a tensor")
        self.values = dict(apart.leaves)
        self._options = list(options)
        self._skeleton = apart.skeleton
        self.skeleton = renumbered(apart.skeleton, lambda number: number + first)
        types = [type(value).__name__ for value in self.values.values()]
        self.key = json.dumps([apart.skeleton, types])

    def leaves(self) -> list[tuple[Place, Type, Any]]:
        """As of `KeptTree`."""
        return _leaves(self.values)

    def changed(self, values: dict[Place, Any], groups: int) -> list[dict[str, Any]]:
        """The options of all groups with other numbers at some leaves."""
        if all(len(place) == 3 for place in values):
            after = [dict(each) for each in self._options]
            for (_, index, name), value in values.items():
                after[int(index)][str(name)] = value
            return after
        leaves = list((self.values | values).values())
        return options_of(self._skeleton, dict(enumerate(leaves)), groups)

    def with_values(
        self, values: dict[Place, Any], options: list[dict[str, Any]]
    ) -> OptionLeaves | None:
        """These leaves of other options, or None where more than numbers differs.

        Args:
            values: by place, what is another number.
            options: what `changed` gave for them.
        """
        for place, value in values.items():
            if type(value) is not type(self.values[place]):
                return None
        other = OptionLeaves.__new__(OptionLeaves)
        vars(other).update(vars(self))
        other.values = self.values | values
        other._options = options
        return other


def options_of(
    skeleton: list[Any], leaves: dict[int, Any], groups: int | None
) -> list[dict[str, Any]]:
    """The options of each group, put together.

    Args:
        groups: how many there are; None: as many as the skeleton has.
    """
    parts = PuttingTogether(leaves.__getitem__).parts(skeleton)
    last = max((int(place[1]) + 1 for place, _ in parts), default=0)
    options: list[dict[str, Any]] = [{} for _ in range(groups or last)]
    for place, part in parts:
        options[int(place[1])][str(place[2])] = part
    return options


def require_keepable(
    structure: Any, types: Sequence[ValueType], parameters: int, groups: int
) -> None:
    """Refuse a tree that could not be kept, before a step has written anything.

    Args:
        structure: of a program that was verified.
        types: of the program's values.
        parameters: how many there are.
        groups: how many groups of options there are; 0: it is for the tree to say.

    Raises:
        ProgramRefused: it names what is neither state, attribute nor option of this
            rule, or cannot be put together.
    """
    try:
        places = [tuple(place) for place, _ in structure]
        if len(set(places)) < len(places):
            raise ValueRefused("a place is kept twice")
        for place in places:
            if not _is_a_part(place, parameters, groups or _MOST_GROUPS):
                raise ValueRefused(f"it has no place {str(place)[:60]}")
        # A number that is no key, and a tensor that no description can stand for.
        leaves = {
            at: 0.5 if isinstance(types[at], str) else torch.empty(1)
            for at in leaves_of(structure)
        }
        options = [part for part in structure if part[0][0] == "option"]
        OptionLeaves(options_of(options, leaves, groups or None), 0)
        tree = KeptTree()
        numbered = list(leaves)
        at = {number: index for index, number in enumerate(numbered)}
        kept = [part for part in structure if part[0][0] != "option"]
        tree.put(renumbered(kept, at.__getitem__), [leaves[each] for each in numbered])
        tree.state()
    except (TypeError, LookupError, ValueError, RuntimeError, OverflowError) as error:
        raise ProgramRefused(
            f"what the rule keeps cannot be kept: {str(error)[:200]}"
        ) from None


def _is_a_part(place: Place, parameters: int, groups: int) -> bool:
    match place:
        case ("state", int(index)):
            return type(index) is int and 0 <= index < parameters
        case ("attribute", str()):
            return True
        case ("option", int(index), str()):
            return type(index) is int and 0 <= index < groups
    return False

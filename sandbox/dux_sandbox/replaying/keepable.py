"""Whether a program leaves what a rule can keep."""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.recorded.json_form import ProgramRefused
from dux_sandbox.recorded.program import Place, ValueType
from dux_sandbox.recorded.trees import leaves_of, renumbered
from dux_sandbox.replaying.kept import KeptTree
from dux_sandbox.replaying.option_leaves import OptionLeaves, options_of
from dux_sandbox.values import ValueRefused

_MOST_GROUPS = 1 << 16


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
        OptionLeaves(options_of(options, leaves, groups or None))
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

"""A step that leaves another tree than it began with: what it keeps, worked out once.

A rule that takes turns, `self.first = not self.first`, or puts something into its state
at one step and takes it out at the next, does so at every step. What its tree becomes
is known from the program: but for values, it is the same each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from dux_sandbox.recorded.program import (
    Output,
    Place,
    Program,
    TensorType,
    ValueType,
)
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.trees import in_a_row
from dux_sandbox.replaying.kept import KeptTree, Tree
from dux_sandbox.replaying.option_leaves import OptionLeaves, options_of
from dux_sandbox.replaying.places import Places

_FEW = 4
"""Entries up to which a list may be filled again and again."""


@dataclass(frozen=True)
class NewTree:
    """What a rule keeps after a step, but for the values.

    Attributes:
        tree: that.
        program: the step as one that changes nothing but values: each leaf is written
            to its place, whether or not that was there before.
        others: places that held something else before: nothing, or of another type.
        options: what else than numbers the options are then, which the numbers here
            stand for; None: what they were.
    """

    tree: Tree
    program: Program
    others: frozenset[Place]
    options: OptionLeaves | None


def new_tree(
    program: Program, types: Sequence[ValueType], places: Places
) -> NewTree | None:
    """What such a step leaves, where that may come again every few steps.

    It may not where a rule begins to keep something of a parameter or under a name, as
    in a first step, nor where a list grows: but to few entries, in a step that does
    little else. Where a truth is kept that the step finds out, it may be either tree.

    Args:
        program: was verified, and leaves what can be kept.
        types: of its values.
        places: hold what the step begins with.

    Returns:
        None also of a program that leaves the tree as it is.
    """
    if program.structure is None:
        return None
    kept, options = places.kept, places.option_leaves()
    parts = [part for part in program.structure if part[0][0] != "option"]
    there = {tuple(place) for place, _ in kept.skeleton}
    if not there.issuperset(tuple(place) for place, _ in parts):
        return None
    options_left = [part for part in program.structure if part[0][0] == "option"]
    own, theirs = _Leaves(parts, types), _Leaves(options_left, types)
    if own.truths or theirs.truths:
        return None
    tree = KeptTree()
    tree.put(own.skeleton, own.stand_ins)
    groups, stand_ins = len(places.options), dict(enumerate(theirs.stand_ins))
    after = OptionLeaves(options_of(theirs.skeleton, stand_ins, groups))
    if not options.values or not options.has_the_places_of(after):
        return None
    before, now = kept.types(), tree.types()
    others = frozenset(place for place in now if before.get(place) != now[place])
    if any(_grows(place, program) for place in others - before.keys()):
        return None
    leaves = own.values_of(tree.values) | theirs.values_of(after.values)
    flat = replace(program, outputs=_outputs(program, leaves, others), structure=None)
    turned = None if after.key == options.key else after
    return NewTree(tree.tree(), flat, others, turned)


def _grows(place: Place, program: Program) -> bool:
    """Whether this is a new entry of a list that fills up once, and not in turns."""
    entries = [key for key in place[2:] if type(key) is int]
    does_much = len(program.operations) > len(program.inputs)
    return bool(entries) and (does_much or max(entries) >= _FEW)


class _Leaves:
    """The leaves of a tree, of which each is another value that stands for it."""

    def __init__(self, parts: Sequence[Any], types: Sequence[ValueType]) -> None:
        self.skeleton, numbers = in_a_row(parts)
        self.truths = any(types[number] == "bool" for number in numbers)
        self.stand_ins = [_like(types[each], at) for at, each in enumerate(numbers)]
        self._of = {
            _name(each): number
            for each, number in zip(self.stand_ins, numbers, strict=True)
        }

    def values_of(self, found: Mapping[Place, Any]) -> dict[Place, int]:
        """The number of the value that is in each place where one of these is."""
        return {place: self._of[_name(each)] for place, each in found.items()}


def _like(kind: ValueType, number: int) -> Any:
    if isinstance(kind, TensorType):
        return torch.empty(kind.shape, dtype=DTYPES[kind.dtype], device="meta")
    return number if kind == "int" else number + 0.5


def _name(leaf: Any) -> Any:
    return ("tensor", id(leaf)) if isinstance(leaf, torch.Tensor) else leaf


def _outputs(
    program: Program, leaves: Mapping[Place, int], others: frozenset[Place]
) -> tuple[Output, ...]:
    """What it writes, and each of these where it does not lie already."""
    written = {each.place: each.value for each in program.outputs}
    read = {each.place: at for at, each in enumerate(program.inputs)}
    for place, value in leaves.items():
        if place in others or read.get(place) != value:
            written[place] = value
    return tuple(Output(place, value) for place, value in written.items())

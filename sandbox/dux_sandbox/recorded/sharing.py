"""What a rule has under two names: one list, one dict, one tensor.

All that a rule keeps comes back place by place, so what was one thing would be two. An
option's default is one list for all groups (`dict(lr=lr, seen=[])`): where a step
writes to it, it is made one again. Any other list or dict under two names must stay as
it was built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from types import FunctionType
from typing import Any

import torch

from dux_sandbox.recorded.outside import captured_by, is_helper
from dux_sandbox.recorded.tape import Tape
from dux_sandbox.runtime.inner_optimizers import inner_optimizers, own_names
from dux_sandbox.runtime.nestable import MAPPINGS, Deque

Name = tuple[Any, ...]
"""Where a thing is: ("attribute", name, ...), ("option", group, name, ...) or
("state", index, key, ...), with the keys and places inside."""
_LISTS = frozenset([list, Deque])
_MOST_DEPTH = 8


@dataclass
class Met:
    """What was seen of the defaults that all groups have, over all recordings.

    Attributes:
        joined: names of those that are written to: they are one list for all.
        apart: names of those that a step has put something else in the place of.
    """

    joined: set[Name] = field(default_factory=set)
    apart: set[Name] = field(default_factory=set)


class Sharing:
    """The lists and dicts of one recording that have two names.

    Made of a rule as it was built; `begin` once it has what it keeps, `again` after
    its step.
    """

    def __init__(self, rule: Any, tape: Tape, met: Met) -> None:
        """Look at a rule that was just built.

        Raises:
            Unrecordable: it has two names for one tensor.
        """
        self._rule, self._tape, self._met = rule, tape, met
        twice = _twice(rule)
        self._built = [names for names, _ in twice]
        for names, thing in twice:
            tensors = any(isinstance(each, torch.Tensor) for each in _inside(thing))
            if tensors and not _of_groups(names):
                raise tape.refuse(_said(names))
        self._before: list[tuple[Name, Any, list[Any]]] = []

    def begin(self) -> None:
        """Make one again what all groups write to, and note what all are."""
        for names in self._built:
            one = _at(self._rule, names[0])
            if self._met.joined.issuperset(names):
                for name in names[1:]:
                    self._rule.param_groups[name[1]][name[2]] = one
            for name in names:
                thing = _at(self._rule, name)
                self._before.append((name, thing, _inside(thing)))

    def again(self) -> bool:
        """Whether the step must be recorded anew: it writes to what is one.

        Raises:
            Unrecordable: two names for one thing would not be that afterwards.
        """
        written = {
            name
            for name, thing, inside in self._before
            if not _same(_inside(thing), inside)
        }
        moved = {
            name
            for name, thing, _ in self._before
            if _at(self._rule, name) is not thing
        }
        new = False
        for names in self._built:
            is_written = bool(written.intersection(names))
            is_moved = bool(moved.intersection(names))
            is_joined = self._met.joined.issuperset(names)
            if not _of_groups(names):
                refused = is_written
            elif is_joined:
                refused = is_moved
            else:
                if is_moved:
                    self._met.apart.update(names)
                refused = is_written and bool(self._met.apart.intersection(names))
                if is_written:
                    self._met.joined.update(names)
                    new = True
            if refused:
                raise self._tape.refuse(_said(names))
        if not new:
            known = [set(names) for names in self._built]
            for names, _ in _twice(self._rule):
                if not any(each.issuperset(names) for each in known):
                    raise self._tape.refuse(_said(names))
        return new


def _twice(rule: Any) -> list[tuple[list[Name], Any]]:
    """The names of each thing that has more than one, and the thing."""
    found: dict[int, tuple[list[Name], Any]] = {}
    for name, thing in _things(rule):
        found.setdefault(id(thing), ([], thing))[0].append(name)
    return [each for each in found.values() if len(each[0]) > 1]


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))


def _of_groups(names: list[Name]) -> bool:
    return all(name[0] == "option" and len(name) == 3 for name in names)


def _things(rule: Any) -> Iterator[tuple[Name, Any]]:
    """Each list, dict and tensor that a rule keeps, by each of its names.

    Those of the tensors that options hold are left out: groups share these, too, and
    nearly always never write to them.
    """
    inner = inner_optimizers(rule)
    groups = [group for each in (rule, *inner) for group in each.param_groups]
    seen = {id(each) for each in (*groups, *(group["params"] for group in groups))}
    seen |= {id(x) for each in (rule, *inner) for x in (each.param_groups, each.state)}
    seen |= {id(each) for group in groups for each in group["params"]}
    known = frozenset(seen)
    for name in own_names(rule):
        yield from _within(vars(rule)[name], ("attribute", name), known, seen, 0)
    for index, group in enumerate(rule.param_groups):
        for key, value in group.items():
            if not isinstance(value, torch.Tensor):
                yield from _within(value, ("option", index, key), known, seen, 0)
    for index, entry in enumerate(rule.state.values()):
        for key, value in entry.items() if type(entry) in MAPPINGS else ():
            yield from _within(value, ("state", index, key), known, seen, 0)


def _within(
    value: Any, name: Name, known: frozenset[int], seen: set[int], depth: int
) -> Iterator[tuple[Name, Any]]:
    kind, first = type(value), id(value) not in seen
    if id(value) in known or depth > _MOST_DEPTH:
        return
    inside: list[tuple[Any, Any]] = []
    if isinstance(value, torch.Tensor):
        yield name, value
    elif kind in _LISTS or kind is tuple:
        inside = list(enumerate(value))
    elif kind in MAPPINGS:
        inside = list(value.items())
    elif is_helper(value):
        inside = list(vars(value).items())
    elif kind in (FunctionType, partial):
        inside = list(enumerate(captured_by(value)))
    if kind in _LISTS or kind in MAPPINGS:
        yield name, value
    seen.add(id(value))
    for key, each in inside if first else ():
        yield from _within(each, (*name, key), known, seen, depth + 1)


def _at(rule: Any, name: Name) -> Any:
    """What is there now; None where nothing is."""
    home, *keys = name
    thing: Any = vars(rule) if home == "attribute" else rule.param_groups
    for key in keys:
        inside = thing if isinstance(thing, (list, tuple, dict, Deque)) else vars(thing)
        try:
            thing = inside[key]
        except (LookupError, TypeError):
            return None
    return thing


def _inside(thing: Any, depth: int = 0) -> list[Any]:
    """All that is in a list or dict, one after the other."""
    found: list[Any] = [thing]
    if depth > _MOST_DEPTH or type(thing) not in (*_LISTS, *MAPPINGS, tuple):
        return found
    if isinstance(thing, dict):
        found += thing
        thing = thing.values()
    for each in thing:
        found += _inside(each, depth + 1)
    return found


def _said(names: list[Name]) -> str:
    one, other = (_in_words(name) for name in names[:2])
    return f"keeps one thing under two names, {one} and {other}; .clone() or copy it"


def _in_words(name: Name) -> str:
    home, at, *keys = name
    inside = "".join(f"[{key!r:.60}]" for key in keys)
    if home == "attribute":
        return f"self.{at}{inside}"
    return f"self.state[p]{inside}" if home == "state" else f"group{inside}"

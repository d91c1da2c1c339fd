"""The tensors that a rule keeps from step to step, by its names for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from dux_sandbox.runtime.inner_optimizers import inner_optimizers, own_names
from dux_sandbox.runtime.nestable import MAPPINGS, Deque

Name = tuple[str, Any]
_ROWS: frozenset[type] = frozenset([list, tuple, set, Deque])
_PLAIN: frozenset[type] = frozenset([int, float, bool, str, type(None)])
_MOST_DEPTH = 8


def tensors_held(rule: torch.optim.Optimizer) -> Iterator[tuple[Name, torch.Tensor]]:
    """Each tensor in its state, its attributes, and those of optimizers inside of it.

    Its parameters are among them where it has a name for them; a tensor that it has two
    names for comes twice. What a function has captured is not looked at.

    Returns:
        With each tensor what `in_words` makes a name of.
    """
    for entry in rule.state.values():
        for name, value in entry.items() if type(entry) in MAPPINGS else ():
            for tensor in _inside(value, 0):
                yield ("self.state[p]", name), tensor
        if type(entry) not in MAPPINGS:
            for tensor in _inside(entry, 0):
                yield ("self.state", None), tensor
    for name in own_names(rule):
        for tensor in _inside(vars(rule)[name], 0):
            yield ("self", name), tensor
    for each in inner_optimizers(rule):
        for tensor in _inside(each.state, 0):
            yield ("the state of another", None), tensor


def in_words(name: Name) -> str:
    """As a rule writes it.

    >>> in_words(("self.state[p]", "last")), in_words(("self", "last"))
    ("self.state[p]['last']", 'self.last')
    """
    home, key = name
    if key is None:
        return home
    return f"self.{key}" if home == "self" else f"{home}[{key!r:.60}]"


def _inside(value: Any, depth: int) -> Iterator[torch.Tensor]:
    kind = type(value)
    if kind in _PLAIN:
        return
    if isinstance(value, torch.Tensor):
        yield value
        return
    within: Any = ()
    if depth < _MOST_DEPTH and kind in _ROWS:
        within = value
    elif depth < _MOST_DEPTH and kind in MAPPINGS:
        within = value.values()
    elif depth < _MOST_DEPTH and kind.__module__ == "dux_rule":
        within = vars(value).values() if hasattr(value, "__dict__") else ()
    for each in within:
        yield from _inside(each, depth + 1)

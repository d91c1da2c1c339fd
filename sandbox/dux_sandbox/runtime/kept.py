"""What a rule may keep in its groups and its state: plain data that can be saved."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any

import torch

from dux_sandbox.runtime.arithmetic import TENSORS

# What a group or a state may hold, by exact type: what can be saved, and carried
# between processes by `dux_sandbox.values`.
_VALUES: frozenset[type] = frozenset([int, float, bool, str, type(None), *TENSORS])
_MAPPINGS: frozenset[type] = frozenset([dict, defaultdict, OrderedDict])
_LISTS: frozenset[type] = frozenset([list, tuple, set, frozenset, torch.Size])
_MOST_DEPTH = 8


def check_values(rule: torch.optim.Optimizer) -> None:
    """Refuse a rule that has put into its groups or state what cannot be saved.

    Raises:
        TypeError: a value is neither a number, string, tensor nor a container of them,
            or a key of the state is a tensor that is no parameter of the rule.
    """
    for group in rule.param_groups:
        for option, value in group.items():
            if type(option) is not str:
                raise TypeError(
                    f"a group has an option named {option!r:.40}; names are strings"
                )
            if type(value) not in _VALUES and option != "params":
                _check_value(value, f"group[{option!r}]")
    own = None
    key: Any
    for key, entry in rule.state.items():
        if type(entry) is dict:
            if not _VALUES.issuperset(map(type, entry.values())):
                for name, value in entry.items():
                    _check_value(value, f"state[p][{name!r}]")
        else:
            _check_value(entry, "self.state[...]")
            if type(entry) not in _MAPPINGS and type(key) not in (int, str):
                raise TypeError(
                    f"self.state[p] is a {type(entry).__name__}; it must stay a dict; "
                    f"write self.state[p]['name'] = value"
                )
        if type(key) is not torch.nn.Parameter:
            if own is None:
                own = {id(p) for group in rule.param_groups for p in group["params"]}
            if type(key) not in (int, str) and id(key) not in own:
                raise TypeError(
                    f"self.state has a key of type {type(key).__name__} that is no "
                    f"parameter; write self.state[p] with p from group['params']"
                )


def _check_value(value: Any, where: str, depth: int = 0) -> None:
    kind = type(value)
    if kind in _VALUES:
        return
    if depth < _MOST_DEPTH and kind in _MAPPINGS:
        for key, item in value.items():
            _check_value(key, where, depth + 1)
            _check_value(item, where, depth + 1)
    elif depth < _MOST_DEPTH and kind in _LISTS:
        for item in value:
            _check_value(item, where, depth + 1)
    else:
        raise TypeError(
            f"{where} holds a {kind.__name__}; keep numbers, strings, tensors, and "
            f"lists, tuples and dicts of them there, and everything else on self"
        )

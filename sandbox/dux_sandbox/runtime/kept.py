"""What a rule may keep in its groups and its state: plain data that can be saved.

What is kept has to come back as it was: from a snapshot in this process, over the wire
from a rule's own process, and through `torch.save` and
`torch.load(weights_only=True)`. What cannot is refused while the rule is tried.
"""

from __future__ import annotations

from typing import Any

import torch

from dux_sandbox.option_values import FUNCTIONS
from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.nestable import MAPPINGS
from dux_sandbox.stock_state import is_torchs
from dux_sandbox.values import (
    MAX_BITS,
    ValueRefused,
    check_hashes,
    form_of,
    tensor_fault,
)

# By exact type. A frozenset is none of these, for torch.load does not know it.
_SCALARS: frozenset[type] = frozenset([int, float, bool, str, type(None)])
_VALUES: frozenset[type] = _SCALARS | TENSORS | {torch.dtype}
_LISTS: frozenset[type] = frozenset([list, tuple, set, torch.Size])
_KEYS: frozenset[type] = frozenset([int, str])
_MOST_DEPTH = 8
# Lists that share one list cost nothing to make, and for ever to walk through.
_MOST_ITEMS = 1_000_000

KEEP = (
    "keep numbers, strings, tensors, and lists, tuples and dicts of them in the state"
)
"""What a finding about a state says to write instead."""


def check_values(
    rule: torch.optim.Optimizer, also: frozenset[type] = frozenset()
) -> None:
    """Refuse a rule that has put into its groups or state what cannot be saved.

    Looks at types alone; `require_saveable` looks at the values too.

    Args:
        also: types that stand for numbers.

    Raises:
        TypeError: a value is neither a number, string, tensor nor a container of them,
            or a key of the state is a tensor that is no parameter of the rule.
    """
    walk = _Walk(deep=False, also=also)
    _walk_groups(rule, walk)
    own = None
    key: Any
    for key, entry in rule.state.items():
        if type(key) is not torch.nn.Parameter:
            if own is None:
                own = {id(p) for group in rule.param_groups for p in group["params"]}
            if type(key) not in _KEYS and id(key) not in own:
                raise TypeError(
                    f"self.state has a key of type {type(key).__name__} that is no "
                    f"parameter; write self.state[p] with p from group['params']"
                )
        if type(entry) is dict:
            if not _KEYS.issuperset(map(type, entry)):
                for name in entry:
                    walk.key(name, "state[p]")
            if not walk.plain.issuperset(map(type, entry.values())):
                # Without a parameter it is saved as the rule's own attributes are, and
                # those may be a little less deep.
                depth = 5 if type(key) in _KEYS else 0
                for name, value in entry.items():
                    walk.value(value, f"state[p][{name!r:.40}]", depth)
        elif type(key) in _KEYS:
            # One of torch's own that a rule wraps is never saved, wherever it is held.
            if not is_torchs(type(entry).__module__):
                walk.value(entry, f"self.state[{key!r:.40}]", 4)
        else:
            raise TypeError(
                f"self.state[p] is a {type(entry).__name__}; it must stay a dict; "
                f"write self.state[p]['name'] = value"
            )


def require_saveable(rule: torch.optim.Optimizer) -> None:
    """Refuse a rule whose groups or state hold what cannot be saved.

    Raises:
        ValueRefused: a value, or a type as in `check_values`.
    """
    walk = _Walk(deep=True)
    try:
        check_values(rule)
        _walk_groups(rule, walk)
        for entry in rule.state.values():
            if type(entry) is not dict:
                if not is_torchs(type(entry).__module__):
                    walk.value(entry, "self.state[...]")
                continue
            for name, value in entry.items():
                walk.key(name, "state[p]")
                walk.value(value, f"state[p][{name!r:.40}]")
    except TypeError as error:
        raise ValueRefused(str(error)) from None


def _walk_groups(rule: torch.optim.Optimizer, walk: _Walk) -> None:
    """Look at the options of each group; dicts may have its parameters for keys."""
    for group in rule.param_groups:
        for option, value in group.items():
            if type(option) is not str:
                raise TypeError(
                    f"a group has an option named {option!r:.40}; names are strings"
                )
            if option == "params" or (type(value) in walk.plain and not walk.deep):
                continue
            if type(value) in FUNCTIONS and value is rule.defaults.get(option):
                continue
            walk.parameters = frozenset(map(id, group["params"]))
            walk.value(value, f"group[{option!r}]")
    walk.parameters = frozenset()


class _Walk:
    """One walk through all that a rule keeps, up to a number of items.

    Attributes:
        deep: whether values are looked at, and not their types alone.
        plain: types of values that nothing is inside of.
        parameters: ids of tensors that may be keys.
    """

    def __init__(self, *, deep: bool, also: frozenset[type] = frozenset()) -> None:
        self.deep = deep
        self.plain = _VALUES | also
        self.parameters: frozenset[int] = frozenset()
        self._left = _MOST_ITEMS

    def value(self, value: Any, where: str, depth: int = 0) -> None:
        """Raise TypeError where `value` cannot be kept."""
        self._left -= 1
        kind = type(value)
        if kind in self.plain:
            if self.deep:
                self._look(value, where)
            return
        if kind in MAPPINGS:
            self._form(value, where)
        elif kind not in _LISTS:
            raise TypeError(
                f"{where} holds a {kind.__name__}; keep numbers, strings, tensors, and "
                f"lists, tuples and dicts of them there, and everything else on self"
            )
        if depth >= _MOST_DEPTH:
            raise TypeError(f"{where} is nested deeper than {_MOST_DEPTH}")
        if self._left < len(value):
            raise TypeError(f"{where} holds more than {_MOST_ITEMS} items in all")
        hashed = kind in MAPPINGS or kind is set
        if hashed:
            self._hashes([k for k in value if id(k) not in self.parameters], where)
        for each in value:
            if hashed:
                self.key(each, where, depth + 1)
            else:
                self.value(each, where, depth + 1)
        for each in value.values() if kind in MAPPINGS else ():
            self.value(each, where, depth + 1)

    def key(self, key: Any, where: str, depth: int = 0) -> None:
        """Raise TypeError where `key` cannot be a key that is kept."""
        self._left -= 1
        if id(key) in self.parameters:
            return
        if type(key) in (tuple, torch.Size) and depth < _MOST_DEPTH and self._left > 0:
            for part in key:
                self.key(part, where, depth + 1)
        elif type(key) not in _SCALARS:
            raise TypeError(
                f"{where} has a key of type {type(key).__name__}; use strings or "
                f"numbers as keys"
            )
        elif self.deep:
            self._look(key, where)

    def _form(self, mapping: dict[Any, Any], where: str) -> None:
        try:
            form_of(mapping)
        except ValueRefused as error:
            raise TypeError(f"{where}: {error}") from None

    def _hashes(self, keys: Any, where: str) -> None:
        try:
            check_hashes(keys)
        except ValueRefused as error:
            raise TypeError(f"{where}: {error}") from None

    def _look(self, value: Any, where: str) -> None:
        if isinstance(value, torch.Tensor):
            fault = tensor_fault(value)
            if fault is not None:
                raise TypeError(f"{where}: {fault}")
        elif type(value) is int and value.bit_length() > MAX_BITS:
            raise TypeError(f"{where} holds an integer of more than {MAX_BITS} bits")

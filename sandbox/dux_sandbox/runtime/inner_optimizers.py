"""Optimizers that a rule keeps on itself, as plain data: what each has learned.

`self.inner = torch.optim.SGD(self.param_groups, lr=lr)` is there again when the rule is
built anew; its averages and its numbers are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from dux_sandbox.language import torch_names
from dux_sandbox.runtime.arithmetic import TENSORS

TAG = "dux"
# What counts as one while a rule is recorded is among them.
_NUMBERS = (int, float, torch.SymInt, torch.SymFloat)
Plain = Callable[[Any], Any]
Revived = Callable[[Any, Any], Any]


def inner_optimizers(rule: Any) -> list[torch.optim.Optimizer]:
    """Those that are attributes of a rule, or in a list, tuple or dict that is one."""
    held: list[Any] = []
    for value in vars(rule).values():
        if type(value) in (list, tuple):
            held += value
        else:
            held += value.values() if type(value) is dict else [value]
    optimizers = [each for each in held if isinstance(each, torch.optim.Optimizer)]
    return [each for each in optimizers if each is not rule]


def plain_form(inner: Any, rule: Any, plain: Plain) -> dict[str, Any]:
    """What an inner optimizer has learned.

    Its groups that are the rule's are not in it.

    Args:
        plain: the plain form of a value inside; raises where there is none.
    """
    if not all(type(key) in TENSORS for key in inner.state):
        raise TypeError("an entry that belongs to no parameter")
    entries = [[plain(key), plain(dict(entry))] for key, entry in inner.state.items()]
    shared = list(map(id, rule.param_groups))
    groups = [
        {} if id(each) in shared else _numbers(each) for each in inner.param_groups
    ]
    names = [] if type(inner).__module__ != type(rule).__module__ else own_names(inner)
    fields = {name: plain(vars(inner)[name]) for name in names}
    return {
        TAG: "optimizer",
        "kind": _kind(inner),
        "state": entries,
        "groups": groups,
        "fields": fields,
    }


def own_names(rule: torch.optim.Optimizer) -> list[str]:
    """Names of attributes of an optimizer that are not torch's own."""
    return [
        name
        for name in vars(rule)
        if not name.startswith("__") and name not in torch_names.OPTIMIZER_OWN
    ]


def _numbers(group: Mapping[str, Any]) -> dict[str, Any]:
    """Its options that are numbers, or tuples of them; others no step changes."""

    def is_number(value: Any) -> bool:
        many = value if type(value) is tuple else (value,)
        return all(isinstance(x, _NUMBERS) and type(x) is not bool for x in many)

    if any(type(value) in TENSORS for value in group.values()):
        raise TypeError("an option that is a tensor")
    return {name: value for name, value in group.items() if is_number(value)}


def _kind(inner: torch.optim.Optimizer) -> str:
    return f"{type(inner).__module__}.{type(inner).__qualname__}"


def restore_inner(saved: Mapping[str, Any], current: Any, revived: Revived) -> Any:
    """Give the inner optimizer of a rule what was saved of one of its kind.

    Args:
        current: what the rule has there; changed in place.
        revived: the live form of a saved value, and what is there now.
    """
    is_one = isinstance(current, torch.optim.Optimizer) and saved[TAG] != "same"
    if not is_one or saved["kind"] != _kind(current):
        return current
    if len(saved["groups"]) != len(current.param_groups):
        return current  # carried over from a rule that was built otherwise
    entries = {
        revived(key, None): revived(entry, None) for key, entry in saved["state"]
    }
    if not all(type(each) is dict for each in entries.values()):
        raise TypeError("an entry that is no dict")
    # In place: the rule may have another name for it.
    current.state.clear()
    current.state.update(entries)
    for group, given in zip(current.param_groups, saved["groups"], strict=True):
        known = _numbers(group)
        group.update({name: each for name, each in given.items() if name in known})
    for name, value in saved["fields"].items():
        if name in own_names(current):
            vars(current)[name] = revived(value, vars(current)[name])
    return current

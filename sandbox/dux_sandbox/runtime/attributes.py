"""What a rule keeps on itself, as plain data: models keep step counts on `self`.

torch's own `state_dict` forgets it. A tagged dict stands for what plain data cannot
say: `{"dux": "parameter", ...}` a parameter of the rule, `"generator"` a random
generator, `"object"` a helper object, `"items"` a dict with odd keys, `"optimizer"` one
inside of the rule, and `"same"` a second name for what that keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import torch

from dux_sandbox.language import torch_names
from dux_sandbox.option_values import kept_tensors, stays
from dux_sandbox.runtime.arithmetic import TENSORS
from dux_sandbox.runtime.inner_optimizers import (
    TAG,
    inner_optimizers,
    own_names,
    plain_form,
)
from dux_sandbox.runtime.namespaces import NAMESPACES
from dux_sandbox.runtime.nestable import MAPPINGS, Deque
from dux_sandbox.runtime.reviving import Home, live_form
from dux_sandbox.values import (
    MAX_BITS,
    ValueRefused,
    form_of,
    tensor_fault,
    whole,
)

_SCALARS: frozenset[type] = frozenset([int, float, bool, str, type(None)])
# The name for entries of the state that belong to no parameter; no attribute of a rule
# can have it, for torch's own has.
_STATE = "state"
# The same for tensors that it keeps in its groups, one dict a group.
_GROUPS = "param_groups"
RANDOM = "__random__"
"""The name for the state of torch's own generator where the rule has drawn of it, in a
process that is the rule's; no attribute of a rule can have it."""
_KEYS: frozenset[type] = frozenset([int, str])
# Containers inside each other: what `dux_sandbox.values` carries, tags included.
_MOST_DEPTH = 5
_MOST_ITEMS = 100_000


class _Unsaved(Exception):
    """A value that no plain data can stand for."""


def _parameters(rule: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in rule.param_groups for p in group["params"]]


def attributes_of(
    rule: torch.optim.Optimizer, also: frozenset[type] = frozenset()
) -> dict[str, Any]:
    """The plain attributes of a rule that are not torch's own; tensors are cloned.

    Numbers, strings, None, tensors, generators, parameters of the rule, and lists,
    tuples, sets, dicts and helper objects of them; what an optimizer has learned that
    is an attribute. What cannot be saved (a function, an open iterator) is left out,
    and so is all beyond 100,000 items. Entries of the state that belong to no parameter
    are there as "state", and tensors in the groups as "param_groups".

    Args:
        also: types whose values stand for plain ones, and are given as they are.

    Raises:
        ValueRefused: those cannot be saved.
    """
    saver = _Saver(rule, also)
    saved: dict[str, Any] = {}
    for name in own_names(rule):
        value = vars(rule)[name]
        try:
            saved[name] = saver.plain(value)
        except (_Unsaved, TypeError):  # plain data that is no key any more
            continue
    shared = {
        key: held
        for key, held in rule.state.items()
        if type(key) in _KEYS and not isinstance(held, torch.optim.Optimizer)
    }
    if shared:
        try:
            saved[_STATE] = saver.plain(shared)
        except (_Unsaved, TypeError):
            raise ValueRefused(
                "self.state holds too much under keys that are no parameters"
            ) from None
    kept = [kept_tensors(group) for group in rule.param_groups]  # and no functions
    if any(kept):
        try:
            saved[_GROUPS] = saver.plain(kept)
        except (_Unsaved, TypeError):
            raise ValueRefused("the groups hold too many tensors") from None
    return saved


class _Saver:
    """Turns one rule's attributes into plain data, up to a number of items."""

    def __init__(self, rule: torch.optim.Optimizer, also: frozenset[type]) -> None:
        self._rule, inner = rule, inner_optimizers(rule)
        self._inner = set(map(id, inner))
        # A second name for what one keeps, as in `self.fast = self.inner.state`.
        self._same = {id(x) for each in inner for x in (each.state, each.param_groups)}
        self._scalars = _SCALARS | also
        self._places = {id(p): index for index, p in enumerate(_parameters(rule))}
        self._module = type(rule).__module__
        self._left = _MOST_ITEMS

    def plain(self, value: Any, depth: int = 0) -> Any:
        """The plain form of a value; raises _Unsaved where there is none."""
        # Lists that share one list cost nothing to make and all of it to write.
        self._left -= 1
        if depth > _MOST_DEPTH or self._left < 0:
            raise _Unsaved
        kind = type(value)
        if kind is int and value.bit_length() > MAX_BITS:
            raise _Unsaved
        if kind in self._scalars:
            return value
        if id(value) in self._same:
            return {TAG: "same"}
        if kind in TENSORS:
            if id(value) in self._places:
                return {TAG: "parameter", "index": self._places[id(value)]}
            if tensor_fault(value) is not None:
                raise _Unsaved
            return whole(value.detach()).clone()
        if kind is torch.Generator:
            device = str(value.device)
            return {TAG: "generator", "device": device, "state": value.get_state()}
        if kind is Deque or kind is list:
            return [self.plain(item, depth + 1) for item in value]
        if kind is torch.Size or kind is torch.dtype:
            return value
        if kind is tuple:
            return tuple(self.plain(item, depth + 1) for item in value)
        if kind is set or kind is frozenset:
            items = [self.plain(item, depth + 1) for item in value]
            if any(isinstance(item, torch.Tensor) for item in items):
                raise _Unsaved  # its hash is its place in memory
            return kind(items)
        if kind in MAPPINGS:
            return self._plain_dict(value, depth)
        own = kind.__module__ == self._module
        if own and not isinstance(value, torch.optim.Optimizer):
            fields = {
                name: self.plain(item, depth + 1) for name, item in vars(value).items()
            }
            return {TAG: "object", "kind": kind.__name__, "fields": fields}
        if id(value) in self._inner:
            return plain_form(value, self._rule, partial(self.plain, depth=depth + 1))
        raise _Unsaved

    def _plain_dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        items = {key: self.plain(item, depth + 1) for key, item in value.items()}
        # A lambda as factory is what the fresh rule has at the same place.
        with suppress(ValueRefused):
            form = form_of(value)
            if form != "dict":
                return {TAG: "items", "pairs": self._pairs(items, depth), "form": form}
        if all(type(key) is str for key in items) and TAG not in items:
            return items
        return {TAG: "items", "pairs": self._pairs(items, depth)}

    def _pairs(self, items: dict[Any, Any], depth: int) -> list[list[Any]]:
        pairs = []
        for key, item in items.items():
            if type(key) in TENSORS:
                if id(key) not in self._places:
                    raise _Unsaved
                place = {TAG: "parameter", "index": self._places[id(key)]}
                pairs.append([place, item])
            elif type(key) is int and key in self._places:
                # Written as d[id(p)]: the number is another one after a restart.
                pairs.append([{TAG: "id", "index": self._places[key]}, item])
            else:
                pairs.append([self.plain(key, depth + 1), item])
        return pairs


def restore_attributes(
    rule: torch.optim.Optimizer, attributes: Mapping[str, Any]
) -> None:
    """Give a rule back what `attributes_of` saved; changes the rule in place.

    Names that belong to Python or to torch's Optimizer are passed over: saved
    attributes come from checkpoints, and checkpoints are input.

    Raises:
        ValueError: an attribute is not what `attributes_of` gives.
    """
    kind = type(rule)
    home = Home(_parameters(rule), kind.__module__, NAMESPACES.get(kind, {}))
    entries = _held(attributes, _STATE, home)
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        if type(key) in _KEYS:
            rule.state[key] = entry
    groups = _held(attributes, _GROUPS, home)
    listed = groups if isinstance(groups, list) else []
    for group, kept in zip(rule.param_groups, listed, strict=False):
        for name, value in kept_tensors(kept).items() if type(kept) is dict else ():
            # What is a number in the rule as it was built stays one.
            if group.get(name) is None or stays(name, group[name]):
                group[name] = value
    for name, value in attributes.items():
        if name.startswith("__") or name in torch_names.OPTIMIZER_OWN:
            continue
        descriptor = getattr(type(rule), name, None)
        if isinstance(descriptor, property) or callable(descriptor):
            continue
        current = vars(rule).get(name)
        try:
            revived = live_form(value, current, home)
        except (LookupError, TypeError, RuntimeError, AttributeError) as error:
            raise ValueError(
                f"the saved attribute {name} is malformed ({error}); "
                f"it must come from attributes_of; leave it out"
            ) from None
        vars(rule)[name] = revived


def _held(attributes: Mapping[str, Any], name: str, home: Home) -> Any:
    """What was saved under a name that is torch's own; None where nothing was."""
    try:
        return live_form(attributes.get(name), None, home)
    except (LookupError, TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(f"the saved {name} is malformed ({error})") from None

"""The live form of what a rule kept on itself, of the plain data that was saved."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from dux_sandbox.generator_states import generator_in
from dux_sandbox.runtime.inner_optimizers import restore_inner
from dux_sandbox.runtime.nestable import Deque
from dux_sandbox.values import formed

_MAPPINGS: frozenset[type] = frozenset([dict, defaultdict, OrderedDict])
_TAG = "dux"


def live_form(
    value: Any, current: Any, parameters: list[torch.Tensor], module: str
) -> Any:
    """The live form of a saved value; `current` is what a fresh rule has there."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) is torch.Size:
        return value
    if type(value) is tuple:
        return tuple(live_form(item, None, parameters, module) for item in value)
    if type(value) in (set, frozenset):
        return type(value)(live_form(item, None, parameters, module) for item in value)
    if type(value) is list:
        items = [live_form(item, None, parameters, module) for item in value]
        return Deque(items, current.maxlen) if type(current) is Deque else items
    if not isinstance(value, dict):
        return value
    tag = value.get(_TAG)
    if tag in ("optimizer", "same"):
        again = partial(live_form, parameters=parameters, module=module)
        return restore_inner(value, current, again)
    if tag in ("parameter", "id"):
        parameter = parameters[value["index"]]
        return parameter if tag == "parameter" else id(parameter)
    if tag == "generator":
        return generator_in(value["state"].cpu(), value["device"])
    if tag == "object":
        return _filled(value["fields"], current, parameters, module)
    pairs = value["pairs"] if tag == "items" else value.items()
    kept = current if type(current) in _MAPPINGS else {}
    made = {
        live_form(key, None, parameters, module): live_form(
            item, kept.get(key) if type(key) is str else None, parameters, module
        )
        for key, item in pairs
    }
    if tag == "items" and "form" in value:
        return formed(value["form"], made)
    if type(current) is defaultdict:
        return defaultdict(current.default_factory, made)
    return OrderedDict(made) if type(current) is OrderedDict else made


def _filled(
    fields: Mapping[str, Any],
    current: Any,
    parameters: list[torch.Tensor],
    module: str,
) -> Any:
    if type(current).__module__ != module:
        return current  # the fresh rule has no such object to fill
    for name, item in fields.items():
        if not name.startswith("__"):
            before = vars(current).get(name)
            vars(current)[name] = live_form(item, before, parameters, module)
    return current

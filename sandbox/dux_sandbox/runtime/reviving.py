"""The live form of what a rule kept on itself, of the plain data that was saved."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from typing import Any

import torch

from dux_sandbox.generator_states import generator_in
from dux_sandbox.runtime.inner_optimizers import TAG, restore_inner
from dux_sandbox.runtime.nestable import MAPPINGS, Deque
from dux_sandbox.values import formed


@dataclass(frozen=True)
class Home:
    """The rule that saved values are revived for.

    Attributes:
        parameters: in the order of its groups.
        module: of the classes of its source.
        names: the globals of its source, where `load` made it.
    """

    parameters: list[torch.Tensor]
    module: str
    names: Mapping[str, Any]

    def filled(self, saved: Mapping[str, Any], current: Any) -> Any:
        """A helper object with the fields that were saved; `current` where it is one.

        One that the fresh rule has not yet, as in a list that grows, is made.
        """
        helper = current
        if type(current).__module__ != self.module:
            kind = self.names.get(saved.get("kind", ""))
            if not isinstance(kind, type) or kind.__module__ != self.module:
                return current
            helper = object.__new__(kind)
        if isinstance(helper, torch.optim.Optimizer):
            return current  # no helper: a checkpoint that says so is forged
        for name, item in saved["fields"].items():
            if not name.startswith("__"):
                before = vars(helper).get(name)
                vars(helper)[name] = live_form(item, before, self)
        return helper


def live_form(value: Any, current: Any, home: Home) -> Any:
    """The live form of a saved value; `current` is what a fresh rule has there."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) is torch.Size:
        return value
    if type(value) in (set, frozenset):
        return type(value)(live_form(item, None, home) for item in value)
    if type(value) in (list, tuple):
        before = current if type(current) in (list, tuple, Deque) else ()
        beside = zip_longest(value, islice(before, len(value)))
        items = [live_form(item, one, home) for item, one in beside]
        if type(value) is tuple:
            return tuple(items)
        return Deque(items, current.maxlen) if type(current) is Deque else items
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag in ("optimizer", "same"):
        return restore_inner(value, current, partial(live_form, home=home))
    if tag in ("parameter", "id"):
        parameter = home.parameters[value["index"]]
        return parameter if tag == "parameter" else id(parameter)
    if tag == "generator":
        return generator_in(value["state"].cpu(), value["device"])
    if tag == "object":
        return home.filled(value, current)
    pairs = value["pairs"] if tag == "items" else value.items()
    kept = current if type(current) in MAPPINGS else {}
    made = {
        live_form(key, None, home): live_form(
            item, kept.get(key) if type(key) in (str, int) else None, home
        )
        for key, item in pairs
    }
    if tag == "items" and "form" in value:
        return formed(value["form"], made)
    if type(current) is defaultdict:
        return defaultdict(current.default_factory, made)
    return OrderedDict(made) if type(current) is OrderedDict else made

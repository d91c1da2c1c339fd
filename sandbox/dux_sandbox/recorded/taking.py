"""What a rule keeps after a step, part by part, for `trees`; in the rule's process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from dux_sandbox.language import torch_names
from dux_sandbox.loading import attributes_of
from dux_sandbox.option_values import as_numbers
from dux_sandbox.recorded.symbols import SYMBOLS
from dux_sandbox.recorded.trees import TakenApart
from dux_sandbox.values import ValueRefused


def take_apart(
    rule: Any,
    parameters: Sequence[torch.Tensor],
    given: Sequence[torch.Tensor],
    after: TakenApart,
) -> None:
    """Add what a rule keeps to `after`.

    Args:
        parameters: of the rule, in order.
        given: tensors whose memory is not the rule's: parameters and gradients.

    Raises:
        ValueRefused: it keeps what no program could give it again.
    """
    _require_apart(rule, parameters, given)
    for index, parameter in enumerate(parameters):
        if parameter in rule.state:
            after.add(("state", index), dict(rule.state[parameter]))
    attributes = attributes_of(rule, SYMBOLS)
    for name in own_names(rule):
        if name not in attributes and not stays_built(vars(rule)[name]):
            raise ValueRefused(f"self.{name} is no plain data")
    for name, value in attributes.items():
        after.add(("attribute", name), value)
    for index, group in enumerate(rule.param_groups):
        for name, value in as_numbers(without_params(group)).items():
            after.add(("option", index, name), value)


def _require_apart(
    rule: Any, parameters: Sequence[torch.Tensor], given: Sequence[torch.Tensor]
) -> None:
    """Two names for one tensor would be two tensors afterwards."""
    places = {each.untyped_storage()._cdata for each in given}
    own = {id(each) for each in parameters}
    held = [vars(rule)[name] for name in own_names(rule)]
    seen: set[int] = set()
    for tensor in _tensors_in([list(rule.state.values()), held], 0):
        if id(tensor) in own or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        place = tensor.untyped_storage()._cdata
        if place in places:
            raise ValueRefused(
                "two tensors that the rule keeps share memory, with each other or "
                "with a parameter or gradient"
            )
        places.add(place)


def without_params(group: dict[str, Any]) -> dict[str, Any]:
    """The option values of one group."""
    return {name: value for name, value in group.items() if name != "params"}


def own_names(rule: Any) -> list[str]:
    """The attributes of a rule that are not torch's own."""
    return [
        name
        for name in vars(rule)
        if not name.startswith("__") and name not in torch_names.OPTIMIZER_OWN
    ]


def stays_built(value: Any) -> bool:
    """Whether a rule that is built anew has the same again: functions and classes."""
    return callable(value) and not isinstance(value, torch.Tensor)


def _tensors_in(value: Any, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth < 8 and isinstance(value, dict):
        for each in value.values():
            yield from _tensors_in(each, depth + 1)
    elif depth < 8 and isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors_in(each, depth + 1)
    elif depth < 8 and type(value).__module__ == "dux_rule":
        yield from _tensors_in(vars(value), depth + 1)

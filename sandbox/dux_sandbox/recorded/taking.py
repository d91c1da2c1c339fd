"""What a rule keeps after a step, part by part, for `trees`; in the rule's process."""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.loading import attributes_of
from dux_sandbox.option_values import as_numbers
from dux_sandbox.recorded.drawing import Drawing
from dux_sandbox.recorded.program import Place
from dux_sandbox.recorded.symbols import SYMBOLS
from dux_sandbox.recorded.trees import TakenApart
from dux_sandbox.running_rule import entries_by_index
from dux_sandbox.runtime.attributes import RANDOM
from dux_sandbox.runtime.inner_optimizers import own_names
from dux_sandbox.runtime.tensors_held import in_words, tensors_held
from dux_sandbox.values import ValueRefused


def take_apart(
    rule: Any,
    parameters: Sequence[torch.Tensor],
    given: Sequence[torch.Tensor],
    drawing: Drawing,
    after: TakenApart,
) -> None:
    """Add what a rule keeps to `after`.

    Args:
        parameters: of the rule, in order.
        given: tensors whose memory is not the rule's: parameters and gradients.
        drawing: the states of its generators.

    Raises:
        ValueRefused: it keeps what no program could give it again.
    """
    _require_apart(rule, parameters, given)
    for index, entry in entries_by_index(rule.state, parameters).items():
        _add(after, ("state", index), entry, "self.state[p]")
    attributes = attributes_of(rule, _AS_THEY_ARE)
    for name in own_names(rule):
        if name not in attributes and not stays_built(vars(rule)[name]):
            raise ValueRefused(f"keeps in self.{name} what is no plain data")
    generators: set[int] = set()
    for name, value in attributes.items():
        value = _without_generators(value, drawing, generators)
        _add(after, ("attribute", name), value, f"self.{name}")
    if drawing.drawn:
        after.add(("attribute", RANDOM), drawing.state())
    for index, group in enumerate(rule.param_groups):
        for name, value in as_numbers(without_params(group)).items():
            _add(after, ("option", index, name), value, f"group['{name}']")


def _add(after: TakenApart, place: Place, value: Any, name: str) -> None:
    try:
        after.add(place, value)
    except ValueRefused as error:
        raise ValueRefused(f"keeps in {name} what no program can: {error}") from None


def _require_apart(
    rule: Any, parameters: Sequence[torch.Tensor], given: Sequence[torch.Tensor]
) -> None:
    """Two names for one tensor would be two tensors afterwards."""
    places = {each.untyped_storage()._cdata for each in given}
    own = {id(each) for each in parameters}
    seen: set[int] = set()
    for name, tensor in tensors_held(rule):
        if id(tensor) in own or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        place = tensor.untyped_storage()._cdata
        if place in places:
            raise ValueRefused(
                f"keeps in {in_words(name)} what shares memory with a parameter, a "
                f"gradient or something else that it keeps; .clone() it"
            )
        places.add(place)


_AS_THEY_ARE = SYMBOLS | {torch.Generator}


def _without_generators(value: Any, drawing: Drawing, seen: set[int]) -> Any:
    """What `attributes_of` gives of a value, with the states of its generators."""
    if isinstance(value, torch.Generator):
        if id(value) in seen:
            raise ValueRefused("keeps one generator under two names")
        seen.add(id(value))
        state = drawing.state(value)
        return {"dux": "generator", "device": str(value.device), "state": state}
    if type(value) in (list, tuple):
        return type(value)(_without_generators(each, drawing, seen) for each in value)
    if type(value) is dict:
        return {
            key: _without_generators(each, drawing, seen) for key, each in value.items()
        }
    return value


def revived(value: Any, drawing: Drawing) -> Any:
    """The same with the generators themselves again."""
    if type(value) is dict and value.get("dux") == "generator":
        return drawing.revived(value["state"])
    if type(value) in (list, tuple):
        return type(value)(revived(each, drawing) for each in value)
    if type(value) is dict:
        return {key: revived(each, drawing) for key, each in value.items()}
    return value


def without_params(group: dict[str, Any]) -> dict[str, Any]:
    """The option values of one group."""
    return {name: value for name, value in group.items() if name != "params"}


def stays_built(value: Any) -> bool:
    """Whether a rule that is built anew has the same again: functions and classes."""
    return callable(value) and not isinstance(value, torch.Tensor)

"""A model and its optimizer as plain data, as the prompts describe them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from dux_sandbox.dry_runs.wrappers import unwrapped
from dux_sandbox.group_shares import Share

_MOST_LAYERS = 60
_DETAIL_CHARACTERS = 100
_MOST_GROUPS = 8
_MOST_KINDS = 4

Layer = dict[str, Any]


def describe_model(model: nn.Module) -> dict[str, Any]:
    """Layers, kinds, activations, shapes and parameter counts.

    Neighbours that are alike are told once with a count ("blocks.0-11", 12), so that
    a deep model stays readable; what is still over 60 layers is told as one more.

    Returns:
        `{"kind", "parameters": int, "layers": [{"name", "kind", "detail",
        "parameters": {name: shape}, "count": int}]}`

    >>> describe_model(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))["layers"][0]["kind"]
    'Linear'
    """
    model = unwrapped(model)
    signatures: dict[int, tuple[Any, ...]] = {}
    layers = list(_layers(model, "", 1, signatures, set()))
    if len(layers) > _MOST_LAYERS:
        left_out = layers[_MOST_LAYERS - 1 :]
        kinds = sorted({layer["kind"] for layer in left_out})
        more: Layer = {"name": "...", "kind": "more layers"}
        more |= {"detail": ", ".join(kinds)[:_DETAIL_CHARACTERS], "parameters": {}}
        more["count"] = sum(layer["count"] for layer in left_out)
        layers = [*layers[: _MOST_LAYERS - 1], more]
    return {
        "kind": type(model).__name__,
        "parameters": sum(each.numel() for each in model.parameters()),
        "layers": layers,
    }


def _layers(
    module: nn.Module,
    name: str,
    count: int,
    signatures: dict[int, tuple[Any, ...]],
    seen: set[int],
) -> Iterator[Layer]:
    if id(module) in seen:
        return  # a module used twice has one set of weights
    seen.add(id(module))
    children = [
        (key, child) for key, child in module._modules.items() if child is not None
    ]
    own = {
        key: [int(size) for size in parameter.shape]
        for key, parameter in module._parameters.items()
        if parameter is not None
    }
    if own or not children:
        yield {
            "name": name,
            "kind": type(module).__name__,
            "detail": _detail(module),
            "parameters": own,
            "count": count,
        }
    place = 0
    while place < len(children):
        key, child = children[place]
        end = place + 1
        signature = _signature(child, signatures)
        while end < len(children) and signature == _signature(
            children[end][1], signatures
        ):
            end += 1
        shown = key if end == place + 1 else f"{key}-{children[end - 1][0]}"
        path = f"{name}.{shown}" if name else shown
        yield from _layers(child, path, count * (end - place), signatures, seen)
        place = end


def _signature(module: nn.Module, known: dict[int, tuple[Any, ...]]) -> tuple[Any, ...]:
    """Equal for modules that a prompt would describe alike."""
    if id(module) not in known:
        known[id(module)] = ()  # a module that holds itself
        shapes = tuple(
            (key, tuple(parameter.shape))
            for key, parameter in module._parameters.items()
            if parameter is not None
        )
        inner = tuple(
            (key, _signature(child, known))
            for key, child in module._modules.items()
            if child is not None
        )
        known[id(module)] = (type(module).__name__, _detail(module), shapes, inner)
    return known[id(module)]


def _detail(module: nn.Module) -> str:
    try:
        text = module.extra_repr()
    except Exception:  # a user's module may say anything, also nothing
        return ""
    return " ".join(str(text).split())[:_DETAIL_CHARACTERS]


def describe_optimizer(
    name: str, groups: list[dict[str, Any]], defaults: dict[str, Any]
) -> dict[str, Any]:
    """An optimizer's class name and the hyperparameters of each group.

    Returns:
        `{"name": "SGD", "groups": [{"lr": 0.01, "momentum": 0.9, ...}]}`; of more than
        eight groups the first eight, and "groups_left_out" says how many are not there.
    """
    shown = [
        {
            key: _plain(value)
            for key, value in group.items()
            if key in defaults and key != "params"
        }
        for group in groups[:_MOST_GROUPS]
    ]
    left_out = len(groups) - len(shown)
    return {"name": name, "groups": shown} | (
        {"groups_left_out": left_out} if left_out else {}
    )


def describe_groups(
    groups: list[dict[str, Any]], shares: Sequence[Share]
) -> list[dict[str, Any]]:
    """How the parameters are split into groups; nothing where they are not.

    Returns:
        `[{"tensors": int, "parameters": int, "rate": 1.0, "decay": 0.0}]`: how many
        tensors and weights a group has, and its part of a rule's learning rate and
        weight decay, relative to the largest.
    """
    if len(groups) < 2:
        return []
    return [
        {
            "tensors": len(group["params"]),
            "parameters": sum(each.numel() for each in group["params"]),
            "rate": share.rate,
            "decay": share.decay,
        }
        for group, share in zip(groups, shares, strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)[:_DETAIL_CHARACTERS]


def kinds_of(parameters: Sequence[torch.Tensor]) -> list[str]:
    """Which dtypes on which devices there are, the commonest first.

    >>> kinds_of([torch.zeros(2), torch.zeros(1).double(), torch.zeros(1)])
    ['float32 on cpu', 'float64 on cpu']
    """
    kinds = Counter(
        f"{str(each.dtype).removeprefix('torch.')} on {each.device}"
        for each in parameters
    )
    return [kind for kind, _ in kinds.most_common(_MOST_KINDS)]

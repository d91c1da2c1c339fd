"""Modules of torch.nn that keep nothing, as functions: `nn.Softplus(beta)(x)`.

A module of torch's would bring hooks, parameters and its own `__dict__`. Here each is
the function of torch.nn.functional that it calls, with the options that it was given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from dux_sandbox.language import idiom_names

# Where the name of the function is not that of the class in small letters.
_FUNCTIONS = {
    "CosineSimilarity": "cosine_similarity",
    "L1Loss": "l1_loss",
    "LeakyReLU": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "MSELoss": "mse_loss",
}
# Of Hardtanh and of losses, and deprecated in torch.
_OLD = frozenset(["min_value", "max_value", "size_average", "reduce"])


def _options(name: str) -> tuple[str, ...]:
    """The options of one class of torch.nn, in the order in which it takes them."""
    asked = inspect.signature(getattr(torch.nn, name)).parameters.values()
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return tuple(
        each.name for each in asked if each.kind is named and each.name not in _OLD
    )


def _maker(
    name: str, function: Callable[..., Any], options: tuple[str, ...]
) -> Callable[..., Any]:
    tensors = 2 if name in idiom_names.LIKENESSES else 1

    def make(*given: Any, **named: Any) -> Callable[..., Any]:
        if len(given) > len(options) or not named.keys() <= set(options):
            raise TypeError(f"torch.nn.{name} takes {', '.join(options) or 'nothing'}")
        chosen = {**dict(zip(options, given, strict=False)), **named}

        def apply(*inputs: Any) -> Any:
            if len(inputs) != tensors:
                raise TypeError(f"torch.nn.{name} is called with {tensors} tensors")
            return function(*inputs, **chosen)

        return apply

    return make


def _itself(input: Any) -> Any:
    return input


def made_of(functional: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Each class, by name, as what makes its function.

    Args:
        functional: the names of torch.nn.functional as a rule gets them.
    """
    made: dict[str, Callable[..., Any]] = {}
    for name in idiom_names.STATELESS:
        function = functional.get(_FUNCTIONS.get(name, name.lower()))
        if name == "Identity":
            made[name] = lambda *given, **named: _itself
        elif function is not None:
            made[name] = _maker(name, function, _options(name))
    return made

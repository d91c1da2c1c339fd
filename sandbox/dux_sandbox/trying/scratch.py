"""A copy of a model to try things on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class CannotClone(TypeError):
    """The model cannot be copied; says why and what to pass as `clone`."""


def clone_model(
    model: nn.Module, clone: Callable[[nn.Module], nn.Module] | None = None
) -> tuple[nn.Module, dict[int, torch.Tensor]]:
    """Copy a model; parameters, buffers and modes are the copy's own.

    A compiled model is copied without its compiler: ten steps are not worth one.

    Args:
        model: any module; also with tied weights or parametrisations.
        clone: makes the copy instead of `copy.deepcopy`.

    Returns:
        The copy, and for the id of each parameter of the model the copy's own.

    Raises:
        CannotClone: the model does not copy, or `clone` returned another model.
    """
    original = getattr(model, "_orig_mod", model)
    if clone is None:
        # Old-style weight_norm keeps a non-leaf tensor as an attribute, which
        # deepcopy refuses; its next forward pass computes it anew in the copy.
        memo: dict[int, Any] = {
            id(value): value.detach().clone()
            for module in original.modules()
            for value in vars(module).values()
            if isinstance(value, torch.Tensor) and not value.is_leaf
        }
        try:
            twin = copy.deepcopy(original, memo)
        except (RuntimeError, TypeError, NotImplementedError, ValueError) as error:
            raise CannotClone(
                f"the model cannot be deep-copied ({type(error).__name__}: {error}); "
                f"pass clone=, a callable that takes the model and returns a copy."
            ) from error
    else:
        twin = clone(original)
    originals = list(original.parameters())
    twins = list(twin.parameters())
    if twin is original or len(originals) != len(twins):
        raise CannotClone(
            f"clone returned {'the model itself' if twin is original else 'a model'} "
            f"with {len(twins)} parameters; it must return a copy with "
            f"{len(originals)}."
        )
    for one, other in zip(originals, twins, strict=True):
        if one is other or one.shape != other.shape:
            raise CannotClone(
                "clone returned a model that shares or reshapes a parameter; it must "
                "return an independent copy."
            )
    return twin, {id(one): other for one, other in zip(originals, twins, strict=True)}


@contextmanager
def gradients_aside(parameters: list[torch.Tensor]) -> Iterator[None]:
    """Put the live gradients aside, so that nothing can add to them by mistake."""
    held = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, held, strict=True):
            parameter.grad = gradient

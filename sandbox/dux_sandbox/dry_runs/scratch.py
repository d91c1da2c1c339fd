"""A copy of a model to try things on."""

import copy
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dux_sandbox.dry_runs.own_functions import follow_functions
from dux_sandbox.dry_runs.reach import Reached
from dux_sandbox.dry_runs.wrappers import quieten, unwrapped
from dux_sandbox.random_state import random_numbers_kept
from dux_sandbox.shards import own_part

# Stands in a memo of `copy.deepcopy`, beside ids, where a copy for a trial is made.
_MARK = "dux_sandbox.dry_runs.scratch"
_MOST_LOOKED_AT = 500_000


class CannotClone(TypeError):
    """The model cannot be copied; says why and what to pass as `clone`."""


def clone_model(
    model: nn.Module,
    clone: Callable[[nn.Module], nn.Module] | None = None,
    *,
    shared: Collection[int] = (),
) -> tuple[nn.Module, dict[int, torch.Tensor]]:
    """Copy a model; parameters, buffers and modes are the copy's own.

    What is wrapped round the model (a compiler, DDP) is left out; so is a trainer
    that a LightningModule is attached to. An agent that a module holds stays the same.

    Args:
        model: any module; also with tied weights or parametrisations.
        clone: makes the copy instead of `copy.deepcopy`.
        shared: ids of frozen parameters whose memory the copy uses as well; each is a
            parameter of the copy's own all the same, with flags of its own.

    Returns:
        The copy, and for the id of each parameter of the model the copy's own.

    Raises:
        CannotClone: the model does not copy, or `clone` returned another model.
    """
    original = unwrapped(model)
    with random_numbers_kept():  # one that builds the model anew draws its weights
        twin = _deep_copy(original, shared) if clone is None else clone(original)
    _check(original, twin, shared)
    pairs = zip(original.parameters(), twin.parameters(), strict=True)
    return twin, {id(one): other for one, other in pairs}


def frozen_weights(
    model: nn.Module, trained: Iterable[torch.Tensor]
) -> list[torch.Tensor]:
    """The parameters of `model` that need no gradient and are not among `trained`."""
    known = {id(parameter) for parameter in trained}
    return [
        parameter
        for parameter in model.parameters()
        if not parameter.requires_grad and id(parameter) not in known
    ]


def out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory for a tensor, on a device or here."""
    return any(
        isinstance(each, MemoryError | torch.OutOfMemoryError)
        or (isinstance(each, RuntimeError) and "allocate memory" in str(each))
        for each in (error, error.__cause__)
    )


def made_for_a_trial(memo: Any) -> bool:
    """Whether it is `clone_model` that a `__deepcopy__` is called for."""
    return _MARK in memo


def _deep_copy(original: nn.Module, shared: Collection[int]) -> nn.Module:
    memo: dict[Any, Any] = {_MARK: True}
    # deepcopy refuses a tensor that is a result: old-style weight_norm keeps one as
    # an attribute, a recurrent model its last state. The copy gets the values.
    for value in Reached([original], _MOST_LOOKED_AT, code=False).tensors:
        if not value.is_leaf:
            memo[id(value)] = value.detach().clone()
    for parameter in original.parameters():
        if id(parameter) in shared:
            plain = type(parameter) is nn.Parameter
            memo[id(parameter)] = (
                nn.Parameter(parameter.detach(), requires_grad=False)
                if plain
                else parameter
            )
    try:
        twin = copy.deepcopy(original, memo)
    except Exception as error:  # whatever a module of the user's says to being copied
        raise CannotClone(
            f"the model cannot be deep-copied ({type(error).__name__}: {error}); "
            f"pass clone=, a callable that takes the model and returns a copy."
        ) from error
    _remember_parts(original, twin, memo)
    follow_functions(original, memo)
    quieten(original, twin)
    return twin


def _remember_parts(original: nn.Module, twin: nn.Module, memo: dict[Any, Any]) -> None:
    """Know the parts, too, where a `__deepcopy__` of a module's own told of none."""
    for names in (nn.Module.named_modules, nn.Module.named_parameters):
        parts = dict(names(twin))
        for name, part in names(original):
            if name in parts and parts[name] is not part:
                memo.setdefault(id(part), parts[name])


def _check(original: nn.Module, twin: Any, shared: Collection[int]) -> None:
    if not isinstance(twin, nn.Module):
        raise CannotClone(
            f"clone returned a {type(twin).__name__}; it must return a copy of the "
            f"model, a torch.nn.Module."
        )
    originals, twins = list(original.parameters()), list(twin.parameters())
    if twin is original or len(originals) != len(twins):
        raise CannotClone(
            f"clone returned {'the model itself' if twin is original else 'a model'} "
            f"with {len(twins)} parameters; it must return a copy with "
            f"{len(originals)}."
        )
    for one, other in zip(originals, twins, strict=True):
        may_share = id(one) in shared
        if one.shape != other.shape or (not may_share and _share(one, other)):
            raise CannotClone(
                "clone returned a model that shares or reshapes a parameter; it must "
                "return an independent copy."
            )


def _share(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one is other:
        return True
    if one.layout is not torch.strided or other.layout is not torch.strided:
        return False
    place = own_part(one).untyped_storage().data_ptr()
    return place != 0 and place == own_part(other).untyped_storage().data_ptr()


@contextmanager
def gradients_aside(parameters: list[torch.Tensor]) -> Iterator[None]:
    """Put the live gradients aside, so that nothing can add to them by mistake."""
    gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient

"""Calls the step of an optimizer itself, without the hooks that torch wraps it in.

A generated rule, and a base optimizer behind the live one, are no optimizers that the
loop has made: hooks fire once, at the live optimizer, and in no dry run.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch

from dux_sandbox.closures import Closure, ClosurePlace
from dux_sandbox.half_state import generator_of, narrow, widen


def unhooked(optimizer: torch.optim.Optimizer) -> Callable[..., Any]:
    """`optimizer.step` without torch's wrapper, which fires the hooks of all steps.

    A step that somebody has put on the instance stays as it is, but for that of an LR
    scheduler, which only counts.
    """
    own = vars(optimizer).get("step")
    if own is not None and not getattr(own, "_wrapped_by_lr_sched", False):
        return optimizer.step
    function: Any = type(optimizer).step
    if getattr(function, "hooked", False):
        function = function.__wrapped__
    return MethodType(function, optimizer)


def call_step(rule: Any, closure: Closure | None) -> Any:
    """The step of a loaded rule, with its closure where its class takes one.

    One that says `bfloat16_state = True` keeps its state so between steps.
    """
    if not getattr(type(rule), "bfloat16_state", False):
        return _step(rule, closure)
    widen(rule)
    result = _step(rule, closure)
    narrow(rule, generator_of(rule))
    return result


def _step(rule: Any, closure: Closure | None) -> Any:
    place = type(rule).dux_closure
    step = unhooked(rule)
    if place is ClosurePlace.NOWHERE:
        return step()
    if place is ClosurePlace.KEYWORD:
        return step(closure=closure)
    return step(closure)

"""The hooks on an optimizer: those of the base and of the live one are the same.

Whoever registers one on either, before `attach` or after it, is called once for every
step, save and load, whatever rule is live, with the live optimizer as its argument.
"""

import functools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.optimizer import _global_optimizer_post_hooks as _after_all
from torch.optim.optimizer import _global_optimizer_pre_hooks as _before_all

_TABLES = (
    *("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"),
    *("_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks"),
    *("_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks"),
)

_compiling = torch.compiler.is_dynamo_compiling
# A profiler that a daemon turns on from outside says nothing of it here.
_always = "KINETO_USE_DAEMON" in os.environ
_zero_grad = torch.optim.Optimizer.zero_grad
profiled: Callable[[], bool] = (
    (lambda: True) if _always else torch._C._autograd._profiler_enabled
)


def leaves_out(base: torch.optim.Optimizer) -> bool:
    """Whether a call of `step` or `zero_grad` is none, by the base's own account.

    Accelerate's wrapper leaves them out while gradients are accumulated.
    """
    state = vars(base).get("gradient_state")
    return state is not None and not getattr(state, "sync_gradients", True)


def eager(function: Callable[..., Any]) -> Any:
    """Leave a method to the interpreter where a loop compiles what calls it.

    What becomes of a step is decided while it runs, by whatever rule is live then.
    Where nothing is being compiled torch's own way round costs as much as all the rest.
    Inference mode is off inside: tensors that are made in it serve nothing else later.
    An interrupt that ends it leaves gradients on, also from where torch puts them back.
    """
    aside = torch.compiler.disable(function)

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        if _compiling():
            return aside(*arguments, **options)
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                return function(*arguments, **options)
        gradients = torch.is_grad_enabled()
        try:
            return function(*arguments, **options)
        except BaseException:
            torch.set_grad_enabled(gradients)
            raise

    # torch counts how often it has compiled what by code: each has one of its own.
    code = call.__code__.replace(co_name=function.__name__)  # type: ignore[attr-defined]
    call.__code__ = code  # type: ignore[attr-defined]
    return call


def hooked(step: Callable[..., Any]) -> Any:
    """An `eager` step that fires hooks and shows in the profiler, as torch wraps it.

    One that the base leaves out fires none and is none.

    torch does this to the step of every class by itself; done here, it is inside what
    `eager` leaves alone. Where no profiler is on torch's mark for it is spared: beside
    a model that fills the caches it costs as much as all the rest that an agent does.
    """
    wrapped: Any = torch.optim.Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def call(live: Any, *arguments: Any, **options: Any) -> Any:
        if _compiling():
            return aside(live, *arguments, **options)
        base = live.base
        if "gradient_state" in base.__dict__ and leaves_out(base):
            return None
        gradients = torch.is_grad_enabled()
        try:
            if profiled() or live._optimizer_step_pre_hooks or _before_all:
                return wrapped(live, *arguments, **options)
            result = step(live, *arguments, **options)
            if live._optimizer_step_post_hooks or _after_all:
                own = live._optimizer_step_post_hooks.values()
                for hook in (*own, *_after_all.values()):
                    hook(live, (live, *arguments), options)
            return result
        except BaseException:  # an interrupt, also where torch puts them back
            torch.set_grad_enabled(gradients)
            raise

    aside = torch.compiler.disable(call)
    call.hooked = True  # type: ignore[attr-defined]  # what torch looks for
    return call


def share_hooks(live: torch.optim.Optimizer, base: torch.optim.Optimizer) -> None:
    """From now on a hook that is registered on either is a hook of both."""
    tables = vars(_holder(base))
    for name in _TABLES:
        if name in tables:
            setattr(live, name, tables[name])


def has_step_hooks(base: torch.optim.Optimizer) -> bool:
    """Whether a step fires one: else there is nothing to be silenced."""
    held = vars(_holder(base))
    return any(held.get(name) for name in _TABLES[:2])


def plain_step(base: torch.optim.Optimizer) -> Callable[..., Any] | None:
    """The step of one of torch's classes, without hooks; None for any other.

    Another one may call its parent's step, hooks and all.
    """
    step: Any = type(base).step
    own = type(base).__module__.startswith("torch.optim.")
    return step.__wrapped__ if own and getattr(step, "hooked", False) else None


def forgets_plainly(base: torch.optim.Optimizer) -> bool:
    """Whether its `zero_grad` is torch's own, and no profiler is to see its mark."""
    own = type(base).zero_grad is _zero_grad and "zero_grad" not in base.__dict__
    return own and not profiled()


@contextmanager
def silenced(base: torch.optim.Optimizer) -> Iterator[None]:
    """The base's own calls fire no hooks: the live optimizer's have, or will."""
    holder = _holder(base)
    tables = {name: table for name, table in vars(holder).items() if name in _TABLES}
    for name in tables:
        setattr(holder, name, OrderedDict())
    try:
        yield
    finally:
        for name, table in tables.items():
            table.update(getattr(holder, name))  # registered by what was called
            setattr(holder, name, table)


def _holder(base: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer that hooks are registered on: inside of Accelerate's wrapper."""
    inner = vars(base).get("optimizer")
    if _TABLES[0] not in vars(base) and isinstance(inner, torch.optim.Optimizer):
        return inner
    return base

"""The hooks on an optimizer: those of the base and of the live one are the same.

Whoever registers one on either, before `attach` or after it, is called once for every
step, save and load, whatever rule is live, with the live optimizer as its argument.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_TABLES = (
    *("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"),
    *("_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks"),
    *("_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks"),
)


def leaves_out(base: torch.optim.Optimizer) -> bool:
    """Whether a call of `step` or `zero_grad` is none, by the base's own account.

    Accelerate's wrapper leaves them out while gradients are accumulated.
    """
    state = getattr(base, "gradient_state", None)
    return not getattr(state, "sync_gradients", True)


def eager(function: Callable[..., Any]) -> Any:
    """Leave a method to the interpreter where a loop compiles what calls it.

    What becomes of a step is decided while it runs, by whatever rule is live then.
    """
    return torch.compiler.disable(function)


def hooked(step: Callable[..., Any]) -> Any:
    """A step that fires hooks and shows in the profiler, as torch wraps it.

    One that the base leaves out fires none and is none.

    torch does this to the step of every class by itself; done here, it is inside what
    `eager` leaves alone.
    """
    wrapped: Any = torch.optim.Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def call(live: Any, *arguments: Any, **options: Any) -> Any:
        return None if leaves_out(live.base) else wrapped(live, *arguments, **options)

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

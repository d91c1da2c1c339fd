"""torch's own optimizers inside a rule: what their steps take on trust is looked at.

Their fused kernels trust that a state tensor is as long as its parameter: a shorter one
has them write into memory that is somebody else's. A rule gets the plain kernels, and
its state is looked at before every step.
"""

from __future__ import annotations

from typing import Any

import torch

from dux_sandbox.language import torch_names

FLAGS = torch_names.KERNEL_FLAGS
# By the names that torch's optimizers give them: of their parameter's make, or one
# number.
_LIKE_THE_PARAMETER = """
exp_avg exp_avg_sq max_exp_avg_sq exp_inf momentum_buffer sum square_avg grad_avg
acc_delta prev step_size ax
""".split()
_NUMBERS = "step eta mu mu_product".split()


def prepare(optimizer: Any) -> None:
    """Take the flags of other kernels out of a rule's optimizer, and look at its state.

    Called before torch's own step of a rule, or of an optimizer that it made; changes
    its groups and defaults in place.

    Raises:
        ValueError: a tensor of its state is not of its parameter's make.
    """
    kinds = type(optimizer).__mro__
    stock = next(kind for kind in kinds if kind.__module__.startswith("torch.optim."))
    if stock is torch.optim.Optimizer:
        return  # it has no step of its own
    for options in (*optimizer.param_groups, optimizer.defaults):
        for flag in FLAGS:
            if options.get(flag):
                options[flag] = False
    check_state(optimizer)


def check_state(optimizer: torch.optim.Optimizer) -> None:
    """Refuse a state that a step of torch's own would read beyond its end.

    Raises:
        ValueError: naming the entry, what it is and what it must be.
    """
    state = optimizer.state
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            entry = state.get(parameter) if isinstance(parameter, _TENSOR) else None
            if isinstance(entry, dict):
                _check_entry(entry, parameter)


_TENSOR = torch.Tensor


def _check_entry(entry: dict[Any, Any], parameter: torch.Tensor) -> None:
    for name in _LIKE_THE_PARAMETER:
        value = entry.get(name)
        if value is None:
            continue
        if not isinstance(value, torch.Tensor) or value.shape != parameter.shape:
            raise _unlike(name, value, tuple(parameter.shape))
        if value.is_complex() is not parameter.is_complex() or not (
            value.is_floating_point() or value.is_complex()
        ):
            raise _unlike(name, value, parameter.dtype)
    for name in _NUMBERS:
        value = entry.get(name)
        if isinstance(value, torch.Tensor) and value.numel() != 1:
            raise _unlike(name, value, "one number")


def _unlike(name: str, value: Any, wanted: object) -> ValueError:
    found: object = type(value).__name__
    if isinstance(value, torch.Tensor):
        found = f"{tuple(value.shape)} {value.dtype}"
    return ValueError(
        f"state[p][{name!r}] is {found}; torch's step wants {wanted}; keep a tensor of "
        f"another make under another name"
    )

"""torch's own optimizers inside a rule: what their steps take on trust is looked at.

Their fused kernels trust that a state tensor is as long as its parameter: a shorter one
has them write into memory that is somebody else's. A rule gets the plain kernels, and
its state is looked at before every step.
"""

from __future__ import annotations

from typing import Any

import torch

from dux_sandbox.language import torch_names
from dux_sandbox.stock_state import check_state, is_torchs

FLAGS = torch_names.KERNEL_FLAGS


def prepare(optimizer: Any) -> None:
    """Take the flags of other kernels out of a rule's optimizer, and look at its state.

    Called before torch's own step of a rule, or of an optimizer that it made; changes
    its groups and defaults in place.

    Raises:
        ValueError: a tensor of its state is not of its parameter's make.
    """
    kinds = type(optimizer).__mro__
    stock = next(kind for kind in kinds if is_torchs(kind.__module__))
    if stock is torch.optim.Optimizer:
        return  # it has no step of its own
    for options in (*optimizer.param_groups, optimizer.defaults):
        for flag in FLAGS:
            if options.get(flag):
                options[flag] = False
    check_state(optimizer)

"""Makes a process ready to trace steps before it is locked: nothing can open later."""

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

from dux_sandbox.laws import LAWS, check_laws
from dux_sandbox.loading import load, namespace_of

_MODULE = "dux_traced_rule"
# What makes the tracer import all that it imports at a first use: a count that becomes
# symbolic, powers of it, lists of tensors, matrices, a branch, closures.
_REHEARSED = """
import math
import torch


class Rehearsed(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, betas=(0.9, 0.99), weight_decay=0.1):
        defaults = dict(lr=lr, betas=betas, weight_decay=weight_decay)
        super().__init__(params, defaults)
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.count += 1
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            grads = [p.grad for p in group["params"] if p.grad is not None]
            torch._foreach_norm(grads)
            for at, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["seen"] = torch.tensor(0.0)
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                state["step"] += 1
                state["seen"] += 1
                t = state["step"]
                rate = group["lr"] * min(1.0, t / 3) * math.sqrt(1 - beta2**t)
                state["m"].lerp_(p.grad, 1 - beta1)
                state["v"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                update = state["m"] / (1 - beta1**t) / state["v"].sqrt().add_(1e-8)
                if p.ndim == 2:
                    update = update @ update.T @ update / (update.norm() + 1e-8)
                if t % 2:
                    update = update.sign()
                p.mul_(1 - rate * group["weight_decay"])
                p.add_(update, alpha=-rate / (1 + self.count))
        return loss
"""


def rehearse_optional(names: Sequence[str]) -> None:
    """Try optional laws on a rule, so that all is loaded that they import on the way.

    The warm process holds a stand-in for torch's tracer, which saves it two seconds and
    200 MB; only a process that is to trace takes the real one in. Where this torch has
    none, the law that needs it says so.
    """
    if not names:
        return
    if "compiled" in names:
        _take_tracer_in()
    rule: Any = load(_REHEARSED)
    make_known(rule)
    others = [law.name for law in LAWS]
    check_laws(lambda ps: rule(ps), examples=0, skip=others, also=names, traits=())


def _take_tracer_in() -> None:
    if not hasattr(sys.modules.get("torch._dynamo"), "optimize"):
        sys.modules.pop("torch._dynamo", None)
        vars(torch).pop("_dynamo", None)
    with suppress(ImportError, RuntimeError):
        import_module("torch._dynamo")
    # It tells of what it cannot trace, and looks things up in files for that.
    logging.getLogger("torch").setLevel(logging.CRITICAL)


def make_known(rule: type[torch.optim.Optimizer]) -> None:
    """Let the tracer find the globals of a loaded source, as those of a module.

    The module has a name of its own: a pickle looks for classes of the source under
    theirs, and is not to find them here and nowhere else.
    """
    names = namespace_of(rule)
    names["__name__"] = _MODULE
    # The tracer keeps the module that it found first under a name.
    vars(sys.modules.setdefault(_MODULE, ModuleType(_MODULE))).update(names)

"""What is wrapped round a model, and what a copy of one must not take along.

A dry run wants the module itself: a compiler is not worth ten steps, and whatever
keeps ranks in step would make them wait for each other.
"""

from __future__ import annotations

from typing import Any

from torch import nn

# Whose wrappers hand on to the module inside and add nothing to what it computes. A
# wrapper of the user's own may compute anything: it is a part of the model.
_INSIDE = {
    "_orig_mod": ("torch._dynamo",),  # torch.compile
    "_fsdp_wrapped_module": ("torch.distributed",),
    "module": ("torch.nn.parallel", "torch.distributed", "deepspeed", "fairscale"),
}


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, DataParallel, DDP, FSDP and the like.

    >>> net = nn.Linear(2, 1)
    >>> unwrapped(nn.DataParallel(net)) is net
    True
    """
    inner = _inside(model)
    return model if inner is None else unwrapped(inner)


def _inside(model: nn.Module) -> nn.Module | None:
    homes = [kind.__module__ for kind in type(model).__mro__]
    for name, packages in _INSIDE.items():
        inner = model._modules.get(name)
        known = any(
            f"{home}.".startswith(f"{each}.") for home in homes for each in packages
        )
        if inner is not None and known:
            return inner
    return None


class QuietTrainer:
    """Lightning's trainer as the copy of a LightningModule sees it: to read from.

    What a dry run computes is none of the training's figures, so that loggers of
    this one take everything and write nothing.
    """

    def __init__(self, trainer: Any) -> None:
        vars(self)["_trainer"] = trainer
        vars(self)["logger"] = _Nothing()
        vars(self)["loggers"] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_trainer"], name)


class _Nothing:
    """Takes every call and every look and does nothing."""

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __getitem__(self, key: Any) -> _Nothing:
        return self

    def __call__(self, *arguments: Any, **options: Any) -> _Nothing:
        return self


def quieten(model: nn.Module, twin: nn.Module) -> None:
    """Let the modules in a copy train by themselves.

    LightningModules read the trainer of `model`, and log nothing: one on its own warns
    at each `self.log`, and raises where it reads its trainer. What Fabric has set up
    takes a backward pass that is not Fabric's.
    """
    for one, other in zip(model.modules(), twin.modules(), strict=False):
        attributes = vars(one)
        if type(one) is not type(other):
            continue
        if attributes.get("_trainer") is not None:
            vars(other)["_trainer"] = QuietTrainer(attributes["_trainer"])
        if "_trainer" in attributes:
            for name in ("log", "log_dict"):
                if callable(getattr(type(other), name, None)):
                    vars(other)[name] = _Nothing()
        if "_fabric_module_initialized" in attributes:
            vars(other)["_register_backward_hook"] = _Nothing()

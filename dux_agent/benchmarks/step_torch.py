"""Torch's own AdamW, as `dux bench step` steps it beside the rules."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import torch

FUSED, RULE_OF_TORCH, _CALLS = "fused", "torch.optim.AdamW", "three calls"
TORCH: Mapping[str, Mapping[str, Any]] = {
    "for-loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    FUSED: {"fused": True},
    "compile": {"foreach": True},
    _CALLS: {"fused": True},
}
"""How AdamW is made. The last one clips gradients by their norm, takes a fused step
and averages the weights, as torch has these: three calls."""


def step_of_torch(
    shapes: Sequence[tuple[int, ...]], kind: str, device: torch.device
) -> Callable[[], Any]:
    """A step of AdamW over float32 weights of these shapes.

    Args:
        kind: one of `TORCH`.
    """
    groups = groups_of(shapes, device)
    optimizer = torch.optim.AdamW(groups, lr=1e-4, **TORCH[kind])
    if kind == _CALLS:
        parameters = groups[0]["params"]
        averages = [each.detach().clone() for each in parameters]
        return partial(_three_calls, optimizer, parameters, averages)
    if kind != "compile":
        return optimizer.step
    step: Callable[[], Any] = torch.compile(optimizer.step)
    return step


@torch.no_grad()
def _three_calls(
    optimizer: torch.optim.Optimizer,
    parameters: list[torch.Tensor],
    averages: list[torch.Tensor],
) -> None:
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    torch._foreach_lerp_(averages, parameters, 0.001)


def groups_of(
    shapes: Sequence[tuple[int, ...]], device: torch.device
) -> list[dict[str, Any]]:
    """One group of parameters of these shapes, with gradients; each time the same."""
    parameters = []
    for weights, gradient in _drawn(tuple(shapes)):
        parameter = torch.nn.Parameter(weights.to(device, copy=True))
        parameter.grad = gradient.to(device, copy=True)
        parameters.append(parameter)
    return [{"params": parameters}]


@lru_cache(maxsize=1)
def _drawn(shapes: tuple[tuple[int, ...], ...]) -> list[list[torch.Tensor]]:
    """Weights and gradients; drawing these takes longer than many a step."""
    generator = torch.Generator().manual_seed(0)
    return [
        [torch.randn(shape, generator=generator).div_(part) for part in (30, 100)]
        for shape in shapes
    ]


def forget_drawn() -> None:
    """Let go of the weights and gradients that were drawn last."""
    _drawn.cache_clear()

"""Sources for the tests of the language, and a small training to run them in."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import torch

CORPUS = Path(__file__).parent / "corpus"

_RULE = """\
import math
import torch
import torch.nn.functional as F
from collections import defaultdict, deque
{top}

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.t = 0
{methods}
    @torch.no_grad()
    def step(self, closure=None):
        group = self.param_groups[0]
        p = group["params"][0]
{step}
"""


def rule(step: str = "pass", *, top: str = "", methods: str = "") -> str:
    """A whole source around some statements of `step`, of its class, of its top."""

    def indented(text: str, by: int) -> str:
        return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * by)

    return _RULE.format(
        top=textwrap.dedent(top),
        methods=indented(methods, 4),
        step=indented(step, 8),
    )


def corpus(kind: str) -> list[Path]:
    """The files of one part of the corpus: "benign", "written" or "escapes"."""
    return sorted((CORPUS / kind).glob("*.py"))


def unguarded(source: str) -> type[torch.optim.Optimizer]:
    """The class of a trusted source as plain Python makes it."""
    namespace = {"__name__": "unguarded"}
    exec(compile(source, "<unguarded>", "exec"), namespace)
    found = [
        value
        for value in namespace.values()
        if isinstance(value, type)
        and issubclass(value, torch.optim.Optimizer)
        and value.__module__ == "unguarded"
    ]
    return found[-1]


def one_parameter(*shape: int) -> torch.nn.Parameter:
    """A parameter of ones with a gradient of ones."""
    parameter = torch.nn.Parameter(torch.ones(shape or (3, 2)))
    parameter.grad = torch.ones_like(parameter)
    return parameter


def train(
    build: Callable[..., torch.optim.Optimizer], *, closure: bool, steps: int = 20
) -> tuple[list[float], list[torch.Tensor]]:
    """Losses and final weights of a small MLP regression, float32, seed 0."""
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    inputs = torch.randn(64, 4, generator=generator)
    targets = inputs.sum(1, keepdim=True).sin()
    optimizer = build(model.parameters())
    losses: list[float] = []

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = ((model(inputs) - targets) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(steps):
        if closure:
            loss = optimizer.step(objective)
        else:
            loss = objective()
            optimizer.step()
        losses.append(float(loss.detach()))
    return losses, [p.detach().clone() for p in model.parameters()]

"""Loops as people write them, over small models; each can be run without an agent."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn

from tests import models

STEPS = 20
EVERY = 8  # steps between decisions: after 8 and after 16


@dataclass
class Parts:
    """What a loop is handed: with an agent, or bare.

    Attributes:
        model: the module that is trained.
        optimizer: what the loop steps: the agent's live optimizer, or the base.
        observe: `agent.observe`, or nothing at all.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    observe: Callable[..., Any]


@dataclass(frozen=True)
class Loop:
    """A way to train.

    Attributes:
        run: trains for `STEPS` steps.
        make: makes the model.
        base: makes the optimizer that the user would have without an agent.
        objective: `(model, batch) -> loss`.
        modes: execution modes in which a generated rule can go live in it.
    """

    run: Callable[[Parts], None]
    make: Callable[[], nn.Module] = models.mlp
    base: Callable[[nn.Module], torch.optim.Optimizer] = lambda model: torch.optim.SGD(
        model.parameters(), lr=0.02, momentum=0.9
    )
    objective: Callable[[nn.Module, Any], torch.Tensor] = models.objective


def data(steps: int = STEPS) -> list[Any]:
    """One batch a step."""
    made = models.batches(4)
    return [made[step % 4] for step in range(steps)]


def step_on(parts: Parts, batch: Any, after: Callable[[], None] | None = None) -> None:
    """The five lines, with something between the backward pass and the step."""
    parts.optimizer.zero_grad()
    loss = models.objective(parts.model, batch)
    loss.backward()
    if after is not None:
        after()
    parts.optimizer.step()
    parts.observe(loss, batch)


def plain(parts: Parts) -> None:
    for batch in data():
        step_on(parts, batch)


def clipped(parts: Parts) -> None:
    def clip() -> None:
        nn.utils.clip_grad_norm_(parts.model.parameters(), 1.0)

    for batch in data():
        step_on(parts, batch, clip)


def gradients_kept_as_zeros(parts: Parts) -> None:
    for batch in data():
        parts.optimizer.zero_grad(set_to_none=False)
        loss = models.objective(parts.model, batch)
        loss.backward()
        parts.optimizer.step()
        parts.observe(loss, batch)


def autocast(parts: Parts) -> None:
    for batch in data():
        parts.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = models.objective(parts.model, batch)
        loss.backward()
        parts.optimizer.step()
        parts.observe(loss, batch)


def scaled(parts: Parts) -> None:
    """Mixed precision's scaler, with unscaling and clipping by hand."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=5)
    for batch in data():
        parts.optimizer.zero_grad()
        loss = models.objective(parts.model, batch)
        scaler.scale(loss).backward()
        scaler.unscale_(parts.optimizer)
        nn.utils.clip_grad_norm_(parts.model.parameters(), 5.0)
        scaler.step(parts.optimizer)
        scaler.update()
        parts.observe(loss, batch)


def accumulating(parts: Parts) -> None:
    """Two micro-batches a step; told of each, in the loop's own scale."""
    for batch in data():
        parts.optimizer.zero_grad()
        for half in (slice(0, 6), slice(6, 12)):
            micro = (batch[0][half], batch[1][half])
            loss = models.objective(parts.model, micro) / 2
            loss.backward()
            if half.start == 6:
                parts.optimizer.step()
            parts.observe(loss, micro)


def frozen_in_mid_run(parts: Parts) -> None:
    for step, batch in enumerate(data()):
        if step == 12:
            parts.model[0].requires_grad_(False)
        if step == 17:
            parts.model[0].requires_grad_(True)
        step_on(parts, batch)


def average_swapped_in(parts: Parts) -> None:
    """An average of the weights, put in place for evaluation by rebinding `.data`."""
    average = [p.detach().clone() for p in parts.model.parameters()]
    for step, batch in enumerate(data()):
        step_on(parts, batch)
        for mean, p in zip(average, parts.model.parameters(), strict=True):
            mean.lerp_(p.detach(), 0.1)
        if step % 5 == 4:
            kept = [p.data.clone() for p in parts.model.parameters()]
            for mean, p in zip(average, parts.model.parameters(), strict=True):
                p.data = mean.clone()
            with torch.no_grad():
                models.objective(parts.model, batch)
            for held, p in zip(kept, parts.model.parameters(), strict=True):
                p.data = held


def sharpness_by_hand(parts: Parts) -> None:
    """Sharpness-aware minimisation as most scripts have it."""
    for batch in data():
        parts.optimizer.zero_grad()
        models.objective(parts.model, batch).backward()
        old = []
        for p in parts.model.parameters():
            old.append(p.data)
            p.data = p.data + 0.05 * p.grad / (p.grad.norm() + 1e-12)
        parts.optimizer.zero_grad()
        loss = models.objective(parts.model, batch)
        loss.backward()
        for held, p in zip(old, parts.model.parameters(), strict=True):
            p.data = held
        parts.optimizer.step()
        parts.observe(loss, batch)


def weights_clamped(parts: Parts) -> None:
    """As in Wasserstein networks, both ways to write it."""
    for step, batch in enumerate(data()):
        step_on(parts, batch)
        for p in parts.model.parameters():
            if step % 2:
                p.data = p.data.clamp(-0.5, 0.5)
            else:
                p.data.clamp_(-0.5, 0.5)


def weights_from_a_vector(parts: Parts) -> None:
    for step, batch in enumerate(data()):
        step_on(parts, batch)
        if step % 3 == 0:
            held = nn.utils.parameters_to_vector(parts.model.parameters())
            nn.utils.vector_to_parameters(0.99 * held, parts.model.parameters())


def memory_shared(parts: Parts) -> None:
    for step, batch in enumerate(data()):
        step_on(parts, batch)
        if step == 11:
            parts.model.share_memory()


def there_and_back_in_double(parts: Parts) -> None:
    for step, batch in enumerate(data()):
        step_on(parts, batch)
        if step == 11:
            parts.model.double()
            parts.model.float()


def in_a_closure(parts: Parts) -> None:
    for batch in data():
        losses = []

        def closure(batch: Any = batch, losses: list[Any] = losses) -> torch.Tensor:
            parts.optimizer.zero_grad()
            loss = models.objective(parts.model, batch)
            loss.backward()
            losses.append(loss)
            return loss

        parts.optimizer.step(closure)
        parts.observe(losses[0], batch)


class SharpnessAware(torch.optim.Optimizer):
    """Sharpness-aware minimisation by a closure, around plain gradient descent."""

    def __init__(self, params: Any, lr: float = 0.02, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        with torch.enable_grad():
            loss = closure()
        moved = []
        for group in self.param_groups:
            for p in group["params"]:
                moved.append((p, group["rho"] * p.grad / (p.grad.norm() + 1e-12)))
                p.add_(moved[-1][1])
        with torch.enable_grad():
            closure()
        for p, by in moved:
            p.sub_(by)
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
        return loss


def adversarial(parts: Parts) -> None:
    """The generator has the agent; the other half a plain optimizer of its own."""
    other = parts.model.other
    theirs = torch.optim.Adam(other[0].parameters(), lr=0.01)
    for batch in data():
        theirs.zero_grad()
        made = parts.model(batch[0]).detach()
        (other[0](made).mean() - other[0](batch[1]).mean()).backward()
        theirs.step()
        parts.optimizer.zero_grad()
        loss = parts.model.objective(batch)
        loss.backward()
        parts.optimizer.step()
        parts.observe(loss, batch)


class Generator(nn.Module):
    """Makes one number of six; the judge lies in a list, so it is no submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.net = models.mlp()
        self.other = [
            nn.Sequential(
                nn.Linear(1, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1)
            )
        ]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.net(inputs)

    def objective(self, batch: Any) -> torch.Tensor:
        return -self.other[0](self(batch[0])).mean() + models.objective(self, batch)


def noisy_objective(model: nn.Module, batch: Any) -> torch.Tensor:
    """Draws from torch, Python and NumPy, as augmentation does."""
    shift = random.gauss(0, 0.1) + float(numpy.random.normal(0, 0.1))
    noise = 0.1 * torch.randn_like(batch[0])
    return models.objective(model, (batch[0] + noise + shift, batch[1]))


def augmented(parts: Parts) -> None:
    random.seed(3)
    numpy.random.seed(3)
    for batch in data():
        parts.optimizer.zero_grad()
        loss = noisy_objective(parts.model, batch)
        loss.backward()
        parts.optimizer.step()
        parts.observe(loss, batch)
    parts.model.register_buffer(
        "drawn",
        torch.tensor([random.random(), numpy.random.random(), float(torch.rand(()))]),
    )


def compiled_step(parts: Parts) -> None:
    @torch.compile(backend="eager")
    def train_step(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = models.objective(parts.model, (inputs, targets))
        loss.backward()
        parts.optimizer.step()
        parts.optimizer.zero_grad()
        return loss.detach()

    for batch in data():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Dynamo's own, while it compiles
            loss = train_step(*batch)
        parts.observe(loss, batch)


def warmed_up(parts: Parts) -> None:
    """A schedule that overwrites the rate at every step."""
    schedule = torch.optim.lr_scheduler.LambdaLR(
        parts.optimizer, lambda step: min(1.0, (step + 1) / 5)
    )
    for batch in data():
        step_on(parts, batch)
        schedule.step()


def two_groups(model: nn.Module) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": 0.1, "name": "matrices"},
            {"params": others, "weight_decay": 0.0, "lr": 1e-3, "name": "others"},
        ],
        lr=1e-2,
    )


def _compiled() -> nn.Module:
    made = torch.compile(models.mlp(), backend="eager")
    assert isinstance(made, nn.Module)
    return made


def _tied_by_data() -> nn.Module:
    """Two weights over one memory, which torch does not know of."""
    model = nn.Sequential(
        nn.Linear(6, 6, bias=False), nn.Tanh(), nn.Linear(6, 6, bias=False),
        nn.Linear(6, 1),
    )  # fmt: skip
    model[2].weight.data = model[0].weight.data
    return model


def _in_one_buffer() -> nn.Module:
    """Parameters that view one flat tensor."""
    model = models.mlp()
    flat = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    nn.utils.vector_to_parameters(flat, model.parameters())
    return model


LOOPS: dict[str, Loop] = {
    "plain": Loop(plain),
    "batch norm": Loop(plain, lambda: models.KINDS["batch norm"]()),
    "dropout": Loop(plain, models.dropout),
    "gru": Loop(plain, models.Recurrent),
    "tied": Loop(plain, models.Tied),
    "tied by data": Loop(plain, _tied_by_data),
    "one buffer": Loop(plain, _in_one_buffer),
    "weight norm": Loop(plain, models.parametrised),
    "old weight norm": Loop(plain, models.old_weight_norm),
    "clipped": Loop(clipped),
    "zeros": Loop(gradients_kept_as_zeros),
    "autocast": Loop(autocast),
    "scaler": Loop(scaled),
    "accumulation": Loop(accumulating),
    "two groups": Loop(plain, base=two_groups),
    "schedule": Loop(warmed_up),
    "frozen": Loop(frozen_in_mid_run),
    "average": Loop(average_swapped_in),
    "sharpness by hand": Loop(sharpness_by_hand),
    "sharpness by closure": Loop(
        in_a_closure, base=lambda model: SharpnessAware(model.parameters())
    ),
    "closure": Loop(in_a_closure),
    "lbfgs": Loop(
        in_a_closure,
        base=lambda model: torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3),
    ),
    "clamped": Loop(weights_clamped),
    "vector": Loop(weights_from_a_vector),
    "shared memory": Loop(memory_shared),
    "double and back": Loop(there_and_back_in_double),
    "adversarial": Loop(
        adversarial, Generator, objective=lambda model, batch: model.objective(batch)
    ),
    "augmented": Loop(augmented, objective=noisy_objective),
    "compiled model": Loop(plain, _compiled),
    "compiled step": Loop(compiled_step),
}

"""An image model trained as timm's `train.py` trains: its optimizer, schedule, EMA.

    pip install timm
    python examples/timm_run.py

`create_optimizer_v2` spares biases and norms the weight decay, timm's scheduler writes
each rate as a number of updates goes by, and an average of the weights is kept. All of
them work on the live optimizer as they do on any other.
"""

from __future__ import annotations

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter, ModelEmaV3, dispatch_clip_grad
from torch import nn

import dux_agent

EPOCHS, UPDATES = 4, 30


def objective(model, batch):
    """What is trained on, and what a proposal is tried on."""
    images, targets = batch
    return nn.functional.cross_entropy(model(images), targets)


def loader():
    """Images of 8 by 8 in which one of four corners is bright."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(UPDATES):
        targets = torch.randint(4, (32,), generator=generator)
        images = torch.randn(32, 1, 8, 8, generator=generator)
        for image, corner in zip(images, targets.tolist(), strict=True):
            down, right = divmod(corner, 2)
            image[:, 4 * down : 4 * down + 4, 4 * right : 4 * right + 4] += 1.0
        yield images, targets


def main() -> None:
    """Train, and say what was decided."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    base = create_optimizer_v2(model, opt="sgd", lr=0.01, weight_decay=0.05)
    average = ModelEmaV3(model, decay=0.95)
    with dux_agent.attach(
        model, base, objective, lm="offline", every=40, total_steps=EPOCHS * UPDATES
    ) as agent:
        optimizer = agent.optimizer
        scheduler = CosineLRScheduler(
            optimizer, t_initial=EPOCHS * UPDATES, warmup_t=10, t_in_epochs=False
        )
        updates, meter = 0, AverageMeter()
        for _ in range(EPOCHS):
            for batch in loader():
                loss = objective(model, batch)
                loss.backward()
                dispatch_clip_grad(model.parameters(), 1.0)
                optimizer.step()
                agent.observe(loss, batch)
                optimizer.zero_grad()
                average.update(model)
                meter.update(loss.item(), len(batch[0]))
                updates += 1
                scheduler.step_update(num_updates=updates)
        for each in agent.decisions:
            print(f"step {each.step}: {each.verdict}. {each.reason}")
        with torch.no_grad():
            print(f"loss {objective(average.module.eval(), batch):.4f}")


if __name__ == "__main__":
    main()

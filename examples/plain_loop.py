"""An ordinary training script, with the three lines that put an agent behind it.

    python examples/plain_loop.py

It needs no network: lm="offline" is a set of written rules, not a language model.
"""

from __future__ import annotations

import torch
from torch import nn

import dux_agent

EPOCHS, STEPS, BATCH = 5, 40, 64


def objective(
    model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Mean squared error on one batch of inputs (64, 8) and targets (64, 1)."""
    inputs, targets = batch
    return nn.functional.mse_loss(model(inputs), targets)


def batches(epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of a small regression, the same in every run."""
    generator = torch.Generator().manual_seed(epoch)
    inputs = torch.randn(STEPS, BATCH, 8, generator=generator)
    targets = torch.sin(inputs.sum(dim=2, keepdim=True))
    return list(zip(inputs, targets, strict=True))


def main() -> None:
    """Train for five epochs; ask for another optimizer before each but the first."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    # Line 1: attach. From here on agent.optimizer stands where optimizer stood.
    agent = dux_agent.attach(
        model,
        optimizer,
        objective,
        lm="offline",  # or "openai:gpt-4o", "ollama:qwen3", any LangChain chat model
        total_steps=EPOCHS * STEPS,
        steps_per_epoch=STEPS,
    )
    with agent:
        for epoch in range(EPOCHS):
            if epoch > 0:
                # Line 2: ask. A proposal goes live only if it passes the static check
                # and a dry run on a copy of the model; else all stays as it was.
                decision = agent.decide()
                print(f"  {decision.verdict}: {decision.reason}")
            total = 0.0
            for batch in batches(epoch):
                agent.optimizer.zero_grad()
                loss = objective(model, batch)
                loss.backward()
                agent.optimizer.step()
                # Line 3: tell the agent how the step went.
                agent.observe(loss, batch)
                total += loss.item()
            print(f"epoch {epoch + 1}: mean loss {total / STEPS:.4f}")


if __name__ == "__main__":
    main()

"""A training of PyTorch Ignite's with an agent behind its optimizer.

    pip install pytorch-ignite
    python examples/ignite_run.py

The engine's process function is the loop of the README: the live optimizer steps, and
the agent is told of each loss with its batch.
"""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

import dux_agent


def objective(model, batch):
    """What is trained on, and what a proposal is tried on."""
    inputs, targets = batch
    return torch.nn.functional.mse_loss(model(inputs), targets)


def main() -> None:
    """Train, and say what was decided."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003)
    inputs = torch.randn(256, 6)
    batches = list(zip(inputs.split(32), inputs.sum(1, True).split(32), strict=True))

    with dux_agent.attach(
        model, optimizer, objective, lm="offline", every=20, total_steps=80
    ) as agent:

        def update(engine, batch):
            agent.optimizer.zero_grad()
            loss = objective(model, batch)
            loss.backward()
            agent.optimizer.step()
            agent.observe(loss, batch)
            return loss.item()

        trainer = Engine(update)

        @trainer.on(Events.COMPLETED)
        def report(engine):
            for each in agent.decisions:
                print(f"step {each.step}: {each.verdict}. {each.reason}")
            print(f"loss {engine.state.output:.4f}")

        trainer.run(batches, max_epochs=10)


if __name__ == "__main__":
    main()

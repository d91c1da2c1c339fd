"""Two workers of Ray Train's train one model, with an agent behind their optimizer.

    pip install 'ray[train]'
    python examples/ray_train_run.py

Each worker runs the loop of the README on its own batches; the first one asks, and all
of them step the same rule. Where a worker dies, all of them go on from the newest
checkpoint, which holds the agent too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model

import dux_agent

STEPS, EVERY, SAVED_EVERY = 80, 20, 40


def objective(model, batch):
    """What is trained on, and what a proposal is tried on."""
    inputs, targets = batch
    return torch.nn.functional.mse_loss(model(inputs), targets)


def train(config: dict) -> None:
    """One worker's part."""
    context = ray.train.get_context()
    rank, count = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(0)
    inputs = torch.randn(256, 6)
    batches = list(zip(inputs.split(32), inputs.sum(1, True).split(32), strict=True))
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)
    )
    model = prepare_model(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003)
    agent = dux_agent.attach(
        model, optimizer, objective, lm="offline", every=EVERY, total_steps=STEPS
    )
    with agent:
        newest = ray.train.get_checkpoint()
        if newest is not None:
            with newest.as_directory() as folder:
                saved = torch.load(Path(folder, "training.pt"), weights_only=True)
            network.load_state_dict(saved["model"])
            agent.load_state_dict(saved["agent"])
        while agent.step_count < STEPS:
            batch = batches[(agent.step_count * count + rank) % len(batches)]
            agent.optimizer.zero_grad()
            loss = objective(model, batch)
            loss.backward()
            agent.optimizer.step()
            agent.observe(loss, batch)
            if agent.step_count % SAVED_EVERY == 0:
                verdicts = [each.verdict for each in agent.decisions]
                told = {"loss": loss.item(), "verdicts": verdicts}
                report(told, {"model": network, "agent": agent}, first=rank == 0)


def report(told: dict, parts: dict, *, first: bool) -> None:
    """Tell Ray of the loss; the first worker saves for all."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if first:
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save(state, Path(folder, "training.pt"))
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(told, checkpoint=checkpoint)


def main() -> None:
    """Train, and say what was decided."""
    trainer = TorchTrainer(
        train,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        run_config=ray.train.RunConfig(
            failure_config=ray.train.FailureConfig(max_failures=1)
        ),
    )
    metrics = trainer.fit().metrics
    print(f"decisions: {', '.join(metrics['verdicts'])}; loss {metrics['loss']:.4f}")


if __name__ == "__main__":
    main()

"""The decision graph invoked by hand, without an agent and without a training loop.

    python examples/graph_only.py

The graph knows no tensors: what is alive reaches it as four callables, the ports.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dux_graphs.decision import Ports, build_graph
from dux_graphs.models import chat_model, writer
from dux_prompts.observation import Observation
from dux_sandbox import DryRunReport, check, dry_run, load


def objective(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """How far the model is from adding up its inputs, (32, 4)."""
    return nn.functional.mse_loss(model(batch).squeeze(1), batch.sum(dim=1))


def main() -> None:
    """One decision for a small model, and ten steps with what came of it."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    base = torch.optim.SGD(model.parameters(), lr=0.001)
    batches = [torch.randn(32, 4) for _ in range(10)]
    losses = []
    for batch in batches:
        base.zero_grad()
        loss = objective(model, batch)
        loss.backward()
        base.step()
        losses.append(loss.item())

    # What the model is told: plain data, whoever collected it.
    observation = Observation(
        model={"kind": "Linear", "parameters": 5, "layers": []},
        base_optimizer={"name": "SGD", "groups": [{"lr": 0.001}]},
        step=10,
        total_steps=50,
        interval=10,
        losses=[[step + 1, loss] for step, loss in enumerate(losses)],
        loss_fifths=[sum(losses[i : i + 2]) / 2 for i in range(0, 10, 2)],
        learning_rates=[0.001],
    )

    accepted: list[str] = []

    def try_out(source: str) -> DryRunReport:
        # The source runs in a jailed process, on a copy of the model.
        return dry_run(source, model, base, objective, batches)

    def apply(source: str) -> bool:
        accepted.append(source)
        return True

    ports = Ports(
        write=writer(chat_model("offline")), check=check, dry_run=try_out, apply=apply
    )
    graph = build_graph()
    out = graph.invoke(
        {"observation": observation.as_dict()},
        {"configurable": {"thread_id": "example:10"}},
        context=ports,
    )
    print(f"verdict: {out['verdict']} ({out['reason']})")
    for attempt in out["attempts"]:
        print(
            f"  {attempt['stage']}: losses {attempt['losses'][0]:.3f} -> "
            f"{attempt['losses'][-1]:.3f}"
        )

    # `load` gives the guarded class, which may be used like any torch optimizer.
    rule_class: Any = load(accepted[0])
    rule = rule_class(model.parameters())
    for batch in batches:
        rule.zero_grad()
        loss = objective(model, batch)
        loss.backward()
        rule.step()
    print(f"loss {losses[0]:.3f} -> {loss.item():.3f} with {type(rule).__name__}")


if __name__ == "__main__":
    main()

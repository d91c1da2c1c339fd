"""An agent inside of a trial that Optuna may prune.

    pip install 'dux-agent[optuna]'
    python examples/optuna_trial.py

`with attach(...)` ends the agent's processes however the trial ends.
"""

from __future__ import annotations

import optuna
import torch

import dux_agent


def objective(model, batch):
    """What is trained on, and what a proposal is tried on."""
    inputs, targets = batch
    return torch.nn.functional.mse_loss(model(inputs), targets)


def trained(trial: optuna.Trial) -> float:
    """The last loss of one training."""
    torch.manual_seed(0)
    width = trial.suggest_int("width", 2, 32, log=True)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003)
    inputs = torch.randn(64, 6)
    batch = (inputs, inputs.sum(1, keepdim=True))
    with dux_agent.attach(model, optimizer, objective, lm="offline", every=15) as agent:
        for step in range(40):
            loss = float(agent.step(batch))
            trial.report(loss, step)
            if trial.should_prune():
                raise optuna.TrialPruned
    return loss


def main() -> None:
    """Four trials, the first of which is never pruned."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=20)
    study = optuna.create_study(pruner=pruner)
    for width in (32, 2, 8, 16):
        study.enqueue_trial({"width": width})
    study.optimize(trained, n_trials=4)
    for each in study.trials:
        print(f"width {each.params['width']}: {each.state.name.lower()}")
    print(f"best {study.best_value:.4f}")


if __name__ == "__main__":
    main()

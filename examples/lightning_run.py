"""A Lightning training with the one line that puts an agent behind it.

    pip install 'dux-agent[lightning]'
    python examples/lightning_run.py

It needs no network: lm="offline" is a set of written rules, not a language model.
"""

from __future__ import annotations

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dux_agent.integrations.lightning import DuxCallback


class Regression(L.LightningModule):
    """A small regression, as one would write it without an agent."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Mean squared error on inputs (64, 8) and targets (64, 1)."""
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.net(inputs), targets)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """What trains until the first proposal is applied."""
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)


def main() -> None:
    """Train for five epochs; another optimizer every 40 steps."""
    L.seed_everything(0, verbose=False)
    inputs = torch.randn(40 * 64, 8)
    data = TensorDataset(inputs, torch.sin(inputs.sum(dim=1, keepdim=True)))
    callback = DuxCallback(lm="offline", every=40)
    trainer = L.Trainer(
        max_epochs=5,
        accelerator="cpu",
        callbacks=[callback],  # the line
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Regression(), DataLoader(data, batch_size=64, shuffle=True))
    for decision in callback.agent.decisions:
        print(f"  step {decision.step}: {decision.verdict}: {decision.reason}")
    print(f"mean loss {trainer.callback_metrics['loss']:.4f}")


if __name__ == "__main__":
    main()

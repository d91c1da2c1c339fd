"""The task sine: an RNN that forecasts a noisy sine of unknown phase and frequency.

One sample is a window of 30 points of sin(w t + p) + 0.15 N(0, 1), with w ~
U(0.1, 0.4) and p ~ U(0, 2 pi); the target is sqrt(2) times the noisy point that lies
12 after the last one seen, so that its noiseless part has unit variance: no model
goes below 2 * 0.15 ** 2 = 0.045, and the mean predictor scores 1.045.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dux_agent.tasks.in_memory import DATA_SEED, Batch, InMemoryTask

WINDOW = 30
HORIZON = 12
NOISE = 0.15
LOWEST, HIGHEST = 0.1, 0.4  # radians a point
HIDDEN = 32


class SineRNN(nn.Module):
    """A tanh RNN over the window, its last state through a linear layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, window, 1) float32 -> (batch,) float32."""
        states, _ = self.rnn(windows)
        forecast: Tensor = self.head(states[:, -1]).squeeze(-1)
        return forecast


def windows(count: int, salt: int) -> Batch:
    """`count` samples: windows (count, 30, 1) and targets (count,), float32."""
    generator = torch.Generator().manual_seed(DATA_SEED + salt)
    # The order of these three draws is part of the task's definition.
    phase = torch.rand(count, 1, generator=generator) * 2 * math.pi
    spread = torch.rand(count, 1, generator=generator)
    omega = LOWEST + (HIGHEST - LOWEST) * spread
    time = torch.arange(WINDOW + HORIZON).float()[None]
    series = torch.sin(omega * time + phase)
    series = series + NOISE * torch.randn(series.shape, generator=generator)
    return series[:, :WINDOW].unsqueeze(-1), math.sqrt(2) * series[:, -1]


def build(
    seed: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
) -> InMemoryTask:
    """The task with the initial weights of `seed`: 25 steps an epoch."""
    splits = {
        "train": windows(3200, salt=11),
        "val": windows(1000, salt=12),
        "test": windows(2000, salt=13),
    }
    torch.manual_seed(seed)
    model = SineRNN(HIDDEN)
    return InMemoryTask(
        name="sine",
        description="RNN over sine dataset",
        loss_name="mean squared error",
        model=model,
        loss=functional.mse_loss,
        base=lambda: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        batch_size=128,
        seed=seed,
        device=device,
        dtype=dtype,
        splits=splits,
    )

"""Members of the family on small pictures that are made here: four shapes, noisy."""

import copy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dux_agent.tasks.family.building import Recipe
from dux_agent.tasks.in_memory import Batch
from dux_sandbox.random_state import random_numbers_kept

SIDE = 10
KINDS = 6
_TRAINED_STEPS = 60


def _pictures(
    count: int, generator: torch.Generator, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Noisy pictures (count, 1, 10, 10) of smooth patterns, shifted; and their kinds.

    Args:
        first: number of the first of the six patterns.
    """
    drawing = torch.Generator().manual_seed(9_200)
    coarse = torch.randn(2 * KINDS, 1, 4, 4, generator=drawing)
    patterns = functional.interpolate(coarse, size=(14, 14), mode="bilinear")
    kinds = torch.randint(KINDS, (count,), generator=generator)
    rows, columns = torch.randint(5, (2, count), generator=generator)
    at = torch.arange(SIDE)
    pictures = patterns[first + kinds, 0]
    pictures = pictures[
        torch.arange(count)[:, None, None],
        (rows[:, None] + at)[:, :, None],
        (columns[:, None] + at)[:, None, :],
    ]
    noise = 0.4 * torch.randn(pictures.shape, generator=generator)
    return (pictures + noise).unsqueeze(1), kinds


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, width, side, side), the same."""
        added: Tensor = self.inside(maps)
        return maps + added


def _head(width: int, outputs: int = KINDS) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, outputs)]


def _convolutions(norm: bool, outputs: int = KINDS) -> nn.Module:
    parts: list[nn.Module] = []
    for width, onto in ((1, 8), (8, 16)):
        parts.append(nn.Conv2d(width, onto, 3, padding=1, bias=not norm))
        parts += [nn.BatchNorm2d(onto)] if norm else []
        parts += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, *_head(16, outputs))


def conv_net() -> Recipe:
    """Six patterns, told apart."""
    return Recipe(
        _pictures,
        lambda: _convolutions(norm=False),
        functional.cross_entropy,
        "cross entropy",
        sgd=0.03,
        adam=5e-3,
    )


def conv_norm() -> Recipe:
    """The same with BatchNorm."""
    return Recipe(
        _pictures,
        lambda: _convolutions(norm=True),
        functional.cross_entropy,
        "cross entropy",
        sgd=0.03,
        adam=5e-3,
    )


def residual() -> Recipe:
    """The same by two residual blocks."""

    def model() -> nn.Module:
        start = [nn.Conv2d(1, 8, 3, padding=1), nn.AvgPool2d(2)]
        return nn.Sequential(*start, _Residual(8), _Residual(8), *_head(8))

    return Recipe(
        _pictures,
        model,
        functional.cross_entropy,
        "cross entropy",
        sgd=0.03,
        adam=5e-3,
    )


def _same(count: int, generator: torch.Generator) -> Batch:
    pictures = _pictures(count, generator)[0].flatten(1)
    return pictures, pictures


def autoencoder() -> Recipe:
    """Pictures through eight numbers."""

    def model() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(SIDE * SIDE, 48), nn.Tanh(), nn.Linear(48, 8)),
            *(nn.Linear(8, 48), nn.Tanh(), nn.Linear(48, SIDE * SIDE)),
        )

    return Recipe(
        _same, model, functional.mse_loss, "mean squared error", sgd=0.3, adam=3e-3
    )


class _Variational(nn.Module):
    """Draws its eight numbers in training, and takes their means in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Sequential(
            nn.Linear(SIDE * SIDE, 48), nn.ReLU(), nn.Linear(48, 16)
        )
        self.back = nn.Sequential(
            nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, SIDE * SIDE)
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, 100) -> the same again, means and log variances (batch, 8)."""
        mean, spread = self.into(pictures).chunk(2, dim=1)
        code = mean
        if self.training:
            code = mean + torch.randn_like(mean) * (0.5 * spread).exp()
        return self.back(code), mean, spread


def variational() -> Recipe:
    """Pictures through eight random numbers."""

    def loss(said: tuple[Tensor, Tensor, Tensor], pictures: Tensor) -> Tensor:
        again, mean, spread = said
        apart = (mean.square() + spread.exp() - 1 - spread).sum(dim=1).mean()
        return functional.mse_loss(again, pictures) + 0.5 * 0.002 * apart

    return Recipe(
        _same,
        _Variational,
        loss,
        "mean squared error and a divergence",
        sgd=0.1,
        adam=3e-3,
    )


class _Pairs(nn.Module):
    """Both pictures of a pair through one net, onto a sphere."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _convolutions(norm=False, outputs=16)

    def forward(self, pairs: Tensor) -> Tensor:
        """(batch, 2, 10, 10) -> (batch, 2, 16)."""
        count = len(pairs)
        codes = self.net(pairs.reshape(2 * count, 1, SIDE, SIDE))
        return functional.normalize(codes.reshape(count, 2, -1), dim=2)


def contrastive() -> Recipe:
    """Which two pictures are of one pattern, among those of a batch."""

    def data(count: int, generator: torch.Generator) -> Batch:
        pictures, kinds = _pictures(count, generator)
        noise = 0.6 * torch.randn(pictures.shape, generator=generator)
        return torch.cat([pictures, pictures + noise], dim=1), kinds

    def loss(codes: Tensor, _: Tensor) -> Tensor:
        likeness = codes[:, 0] @ codes[:, 1].T / 0.2
        right = torch.arange(len(codes), device=codes.device)
        return functional.cross_entropy(likeness, right)

    return Recipe(
        data,
        _Pairs,
        loss,
        "contrastive cross entropy",
        sgd=0.1,
        adam=3e-3,
        batch=32,
        samples=1280,
    )


@lru_cache
def _trained() -> dict[str, Any]:
    """Weights of a net that tells the six other patterns apart."""
    with random_numbers_kept():
        torch.manual_seed(9_300)
        model = _convolutions(norm=False)
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        generator = torch.Generator().manual_seed(9_301)
        for _ in range(_TRAINED_STEPS):
            pictures, kinds = _pictures(32, generator, first=KINDS)
            optimizer.zero_grad()
            functional.cross_entropy(model(pictures), kinds).backward()
            optimizer.step()
    return model.state_dict()


def fine_tuning() -> Recipe:
    """A net that knows other patterns, with a new last layer."""

    def model() -> nn.Module:
        made = _convolutions(norm=False)
        fresh = copy.deepcopy(made[-1].state_dict())  # type: ignore[index]
        made.load_state_dict(_trained())
        made[-1].load_state_dict(fresh)  # type: ignore[index]
        return made

    return Recipe(
        _pictures,
        model,
        functional.cross_entropy,
        "cross entropy",
        sgd=0.01,
        adam=1e-3,
        samples=320,
    )

"""Members of the family on vectors, tables and a differential equation."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dux_agent.tasks.family.building import Recipe
from dux_agent.tasks.in_memory import Batch

_USERS, _ITEMS, _TASTES = 120, 80, 4


def _drawn(*shape: int, salt: int) -> Tensor:
    """The same normal numbers at every call, whatever was drawn before."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(9_000 + salt))


def _spirals(count: int, generator: torch.Generator) -> Batch:
    """Points of three spiral arms with noise: (count, 2) and their arms."""
    arm = torch.randint(3, (count,), generator=generator)
    radius = torch.rand(count, generator=generator)
    angle = 5 * radius + 2 * math.pi / 3 * arm
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return points + 0.04 * torch.randn(count, 2, generator=generator), arm


def _deep(act: Callable[[], nn.Module], layers: int) -> nn.Module:
    parts: list[nn.Module] = [nn.Linear(2, 32), act()]
    for _ in range(layers - 2):
        parts += [nn.Linear(32, 32), act()]
    return nn.Sequential(*parts, nn.Linear(32, 3))


def deep_tanh() -> Recipe:
    """Six layers of tanh on spirals."""
    return Recipe(
        _spirals,
        lambda: _deep(nn.Tanh, 6),
        functional.cross_entropy,
        "cross entropy",
        sgd=0.1,
        adam=5e-3,
    )


def deep_sigmoid() -> Recipe:
    """Four layers of sigmoids on spirals: a plateau that gradients hardly leave."""
    return Recipe(
        _spirals,
        lambda: _deep(nn.Sigmoid, 4),
        functional.cross_entropy,
        "cross entropy",
        sgd=0.5,
        adam=0.02,
    )


def logistic() -> Recipe:
    """Labels that a plane with noise decides, in 30 dimensions."""
    plane = _drawn(30, 1, salt=1)

    def data(count: int, generator: torch.Generator) -> Batch:
        points = torch.randn(count, 30, generator=generator)
        noise = 2 * torch.randn(count, 1, generator=generator)
        return points, (points @ plane + noise > 0).float()

    return Recipe(
        data,
        lambda: nn.Linear(30, 1),
        functional.binary_cross_entropy_with_logits,
        "binary cross entropy",
        sgd=0.05,
        adam=0.02,
    )


def badly_scaled() -> Recipe:
    """Inputs whose scales lie a factor of a thousand apart."""
    scales, plane = torch.logspace(-1.5, 1.5, 20), _drawn(20, 1, salt=2)

    def data(count: int, generator: torch.Generator) -> Batch:
        plain = torch.randn(count, 20, generator=generator)
        noise = 0.1 * torch.randn(count, 1, generator=generator)
        targets = (plain @ plane).tanh() + 0.3 * plain[:, :1] ** 2 + noise
        return plain * scales, targets

    return Recipe(
        data,
        lambda: nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1)),
        functional.mse_loss,
        "mean squared error",
        sgd=1e-3,
        adam=0.01,
    )


class _Recommender(nn.Module):
    """A rating as the product of two bags of embeddings, and what each is liked."""

    def __init__(self) -> None:
        super().__init__()
        self.users = nn.EmbeddingBag(_USERS, 8, mode="mean")
        self.items = nn.EmbeddingBag(_ITEMS, 8, mode="mean")
        self.liking = nn.Linear(16, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, 3) users and two items that go together -> (batch,) ratings."""
        user, item = self.users(ids[:, :1]), self.items(ids[:, 1:])
        alone: Tensor = self.liking(torch.cat([user, item], dim=1)).squeeze(1)
        together: Tensor = (user * item).sum(dim=1)
        return alone + together


def embedding_bag() -> Recipe:
    """Ratings of pairs of items; a batch reaches few of the rows."""
    users = _drawn(_USERS, _TASTES, salt=3)
    items = _drawn(_ITEMS, _TASTES, salt=4) / _TASTES**0.5

    def data(count: int, generator: torch.Generator) -> Batch:
        user = torch.randint(_USERS, (count, 1), generator=generator)
        pair = torch.randint(_ITEMS, (count, 2), generator=generator)
        rating = (users[user[:, 0]] * items[pair].mean(dim=1)).sum(dim=1)
        noise = 0.1 * torch.randn(count, generator=generator)
        return torch.cat([user, pair], dim=1), rating + noise

    return Recipe(
        data,
        _Recommender,
        functional.mse_loss,
        "mean squared error",
        sgd=0.05,
        adam=0.02,
        samples=1280,
        batch=32,
    )


class _Solution(nn.Module):
    """-u'' of u(x) = x (1 - x) net(x), which is 0 at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1) places -> (batch, 1)."""
        with torch.enable_grad():  # also where a loss is only evaluated
            x = x.detach().requires_grad_()
            u = x * (1 - x) * self.net(x)
            (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        return -bend


def physics() -> Recipe:
    """-u'' = f on (0, 1), as a loss over places."""

    def data(count: int, generator: torch.Generator) -> Batch:
        x = torch.rand(count, 1, generator=generator)
        return x, (math.pi * x).sin() + 2 * (3 * math.pi * x).sin()

    return Recipe(
        data,
        _Solution,
        functional.mse_loss,
        "mean squared residual of the equation",
        sgd=2e-3,
        adam=5e-3,
    )

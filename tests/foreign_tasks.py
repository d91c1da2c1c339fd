"""Tasks that know nothing of ours: a class with the members that a task must have."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from dux_sandbox.random_state import seed_all


class Line:
    """Fits a line; its batches are dicts, its data a closed form."""

    loss_name = "mean absolute error"
    epochs = 2
    steps_per_epoch = 8

    def __init__(self, seed, device="cpu", dtype=torch.float32):
        self.seed = seed
        self.place = {"device": device, "dtype": dtype}
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        self.model.to(**self.place)

    def base_optimizer(self):
        return torch.optim.SGD(self.model.parameters(), lr=0.05)

    def objective(self, model, batch):
        return (model(batch["x"])[:, 0] - batch["y"]).abs().mean()

    def train_batches(self, epoch):
        seed_all(self.seed * 1000 + epoch)
        for _ in range(self.steps_per_epoch):
            yield self._batch(torch.rand(16, 2))

    def evaluate(self, split, model=None):
        count = {"val": 50, "test": 60}[split]
        points = torch.linspace(0, 1, 2 * count).reshape(count, 2)
        with torch.no_grad():
            return float(self.objective(model or self.model, self._batch(points)))

    def _batch(self, x):
        x = x.to(**self.place)
        return {"x": x, "y": 2 * x[:, 0] - x[:, 1]}


def build(seed, *, device="cpu", dtype=torch.float32):
    return Line(seed, device, dtype)


class Loaded(Line):
    """The same from a shuffled DataLoader, with dropout and a running mean."""

    def __init__(self, seed):
        super().__init__(seed)
        middle = [nn.BatchNorm1d(3), nn.Dropout(0.2)]
        self.model = nn.Sequential(self.model[0], *middle, *self.model[1:])

    def train_batches(self, epoch):
        data = torch.rand(128, 2, generator=torch.Generator().manual_seed(9))
        seed_all(self.seed * 1000 + epoch)
        return DataLoader(data, batch_size=16, shuffle=True, collate_fn=self._collated)

    def _collated(self, points):
        return self._batch(torch.stack(points))

    def evaluate(self, split, model=None):
        model = self.model if model is None else model
        training = {module: module.training for module in model.modules()}
        model.eval()
        loss = super().evaluate(split, model)
        for module, mode in training.items():
            module.training = mode
        return loss


def of_seed_alone(seed):
    return Line(seed)


def broken(name, value):
    """A builder of lines in which something is otherwise."""

    def build_broken(seed):
        return type("Broken", (Line,), {name: value})(seed)

    return build_broken

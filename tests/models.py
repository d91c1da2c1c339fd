"""Small models of every kind that a copy or a swap could get wrong."""

import torch
from torch import nn


class Tied(nn.Module):
    """An encoder and a decoder that share one weight."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.second = nn.Linear(6, 6, bias=False)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, 1)

    def forward(self, inputs):
        return self.head(self.second(torch.tanh(self.first(inputs))))


class Recurrent(nn.Module):
    """A GRU over the features as a sequence."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 5, batch_first=True)
        self.head = nn.Linear(5, 1)

    def forward(self, inputs):
        return self.head(self.rnn(inputs.unsqueeze(-1))[0][:, -1])


class Convolutional(nn.Module):
    """Batch norm, whose buffers change in every forward pass."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(16, 1)

    def forward(self, inputs):
        return self.head(self.norm(self.conv(inputs.unsqueeze(1))).relu().flatten(1))


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


def dropout():
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def parametrised():
    model = mlp()
    nn.utils.parametrizations.weight_norm(model[0])
    nn.utils.parametrizations.spectral_norm(model[2])
    return model


def old_weight_norm():
    import warnings

    model = mlp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(model[0])
    return model


KINDS = {
    "mlp": mlp,
    "batch norm": Convolutional,
    "dropout": dropout,
    "gru": Recurrent,
    "tied": Tied,
    "parametrised": parametrised,
    "old weight norm": old_weight_norm,
}


def make(kind):
    torch.manual_seed(0)
    return KINDS[kind]()


def batches(count=3):
    generator = torch.Generator().manual_seed(7)
    inputs = [torch.randn(12, 6, generator=generator) for _ in range(count)]
    return [(each, each.sum(1, keepdim=True)) for each in inputs]


def objective(model, batch):
    inputs, targets = batch
    return (model(inputs) - targets).square().mean()

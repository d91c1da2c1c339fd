"""The sigmoid MLP of the tasks mnist and digits, which stalls under plain SGD."""

from itertools import pairwise

from torch import nn


def sigmoid_mlp(*widths: int) -> nn.Sequential:
    """Linear layers of the given widths with a sigmoid between each two.

    >>> [type(layer).__name__ for layer in sigmoid_mlp(4, 3, 2)]
    ['Linear', 'Sigmoid', 'Linear']
    """
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])

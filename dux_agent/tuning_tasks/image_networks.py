"""The networks of the image tasks: a small residual network, a small transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def build(name: str) -> nn.Module:
    """A fresh one: pictures (n, 1, 28, 28) to scores (n, 10).

    Args:
        name: "resnet" or "vit".
    """
    return ResNet() if name == "resnet" else VisionTransformer()


class _Block(nn.Module):
    def __init__(self, maps: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(maps, maps), _convolution(maps, maps)

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.relu(
            inputs + self.second(functional.relu(self.first(inputs)))
        )


def _convolution(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)
    )


class ResNet(nn.Module):
    """Two convolutions that halve the picture, each with a residual block behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.AvgPool2d(2),
            _convolution(1, 16),
            nn.ReLU(),
            _Block(16),
            _convolution(16, 32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            _Block(32),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.body(inputs)
        return scores


class VisionTransformer(nn.Module):
    """Sixteen patches of 7 x 7 as tokens, two layers, the mean of the tokens."""

    def __init__(self, width: int = 64, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, stride=7)
        self.places = nn.Parameter(0.02 * torch.randn(1, 16, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2) + self.places
        scores: Tensor = self.head(self.layers(tokens).mean(1))
        return scores

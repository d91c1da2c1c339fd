"""What a training came to, and whether two came to the same."""

from __future__ import annotations

import torch
from torch import nn


def ends(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all weights and buffers, by name; of the other half of a pair too."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for other in getattr(model, "other", ()):
        tensors |= {f"other.{name}": t for name, t in other.state_dict().items()}
    return {name: value.detach().clone() for name, value in tensors.items()}


def assert_same(
    expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]
) -> None:
    """Equal to the last bit, name by name."""
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name

"""Rates that a loop computes with NumPy, which are numbers of its types."""

import copy

import numpy
import pytest
import torch

from dux_agent.live.swap import swap
from tests import models
from tests.swapping import SGD, live_over, train


@pytest.mark.parametrize("kind", [numpy.float64, numpy.float32])
@pytest.mark.parametrize("source", [None, SGD])
def test_a_checkpoint_with_a_rate_of_numpy_is_loaded(kind, source):
    model = models.make("mlp")
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02))
    if source is not None:
        swap(live, source)
    train(live, model, 2)
    live.param_groups[0]["lr"] = kind(0.5)
    saved, weights = copy.deepcopy((live.state_dict(), model.state_dict()))
    train(live, model, 3)
    expected = copy.deepcopy(model.state_dict())

    live.load_state_dict(saved)
    model.load_state_dict(weights)
    train(live, model, 3)

    assert 0.5 == live.param_groups[0]["lr"]
    for name, value in model.state_dict().items():
        assert torch.equal(expected[name], value)

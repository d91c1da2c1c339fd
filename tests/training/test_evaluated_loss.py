"""The training loss that a validation loss can be held against."""

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.executions import both

BATCHES = models.batches()


def attached(model, objective=models.objective, **options):
    options = {"validate": lambda _: 1.0, "lm": "offline", **options}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return attach(model, optimizer, objective, **options)


@pytest.mark.parametrize("make", ["mlp", "dropout", "batch norm"])
def test_it_is_the_mean_over_the_batches_in_evaluation_mode(make):
    model = models.make(make)
    with attached(model) as agent, torch.no_grad():
        got = agent.training.functions.evaluated_loss(BATCHES)

        assert model.training
        model.eval()
        each = [float(models.objective(model, batch)) for batch in BATCHES]

    assert sum(each) / len(each) == pytest.approx(got)


@both
@pytest.mark.parametrize("make", ["dropout", "batch norm"])
def test_taking_it_leaves_the_run_as_it_is(make, execution):
    ends = []
    for validate in (None, lambda _: 1.0):
        model = models.make(make)
        torch.manual_seed(3)
        with attached(model, validate=validate, execution=execution) as agent:
            for batch in BATCHES * 2:
                agent.step(batch)
            agent.training.functions.evaluated_loss(BATCHES)
            for batch in BATCHES:
                agent.step(batch)
        ends.append(list(model.state_dict().values()))

    assert all(map(torch.equal, *ends))


class OfTwoMinds(nn.Sequential):
    """Gives a loss in training, and what it predicts in evaluation."""

    def forward(self, inputs):
        said = super().forward(inputs)
        return said if self.training else {"predicted": said}


@pytest.mark.parametrize("failing", ["raises", "no scalar", "not finite"])
def test_an_objective_without_a_loss_in_that_mode_is_nobodys_fault(failing):
    model = OfTwoMinds(*models.make("mlp"))

    def objective(net, batch):
        if net.training:
            return models.objective(net, batch)
        if failing == "raises":
            return models.objective(net, batch)  # a dict has no loss
        value = torch.zeros(3) if failing == "no scalar" else torch.tensor(torch.nan)
        return value

    with attached(model, objective) as agent:
        assert agent.training.functions.evaluated_loss(BATCHES) is None


def test_without_validation_nothing_is_computed():
    calls = []

    def objective(net, batch):
        calls.append(1)
        return models.objective(net, batch)

    with attached(models.make("mlp"), objective, validate=None) as agent:
        before = len(calls)

        assert agent.training.functions.evaluated_loss(BATCHES) is None
        assert before == len(calls)

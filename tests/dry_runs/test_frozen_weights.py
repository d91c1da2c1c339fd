"""A copy of the model shares the memory of weights that stand still, and no other."""

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_sandbox.dry_runs.resting import Resting
from dux_sandbox.dry_runs.scratch import clone_model, frozen_weights
from tests import models
from tests.swapping import SGD
from tests.talking import scripted

EXECUTIONS = ("inline", "isolated")


class Adapted(nn.Module):
    """A frozen body with buffers and a small part that is trained, as LoRA has it."""

    def __init__(self, momentum=0.0):
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 1)
        self.body.requires_grad_(False)
        self.momentum = momentum

    def forward(self, inputs):
        if self.momentum:  # a momentum encoder moves in its forward pass
            self.body.weight.data.mul_(1 - self.momentum)
        return self.head(self.norm(self.body(inputs)))


class Looking:
    """The objective; notes where the copies' frozen weights lie."""

    def __init__(self, live):
        self.live = live
        self.places = []

    def __call__(self, model, batch):
        if model is not self.live:
            self.places.append(model.body.weight.data_ptr())
        return models.objective(model, batch)


def decided(model, execution, steps=3):
    objective = Looking(model)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.02)
    lm = scripted(SGD)
    with attach(model, optimizer, objective, lm=lm, execution=execution) as agent:
        for batch in models.batches()[:steps]:
            agent.step(batch)
        objective.places.clear()  # before the first step nothing is known to rest
        before = {name: value.clone() for name, value in model.state_dict().items()}
        agent.decide()
    now = model.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in before.items())
    return objective.places, model.body.weight.data_ptr()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_frozen_body_is_shared_by_the_copies_of_a_decision(execution):
    torch.manual_seed(0)
    places, here = decided(Adapted(), execution)

    assert {here} == set(places)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_momentum_encoder_is_copied_and_keeps_its_weights(execution):
    torch.manual_seed(0)
    places, here = decided(Adapted(momentum=0.01), execution)

    assert here not in places


def test_what_was_not_seen_to_stand_still_is_copied():
    model = Adapted()
    objective = Looking(model)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.02)
    with attach(model, optimizer, objective, lm=scripted(SGD)) as agent:
        agent.observe(1.0, models.batches()[0])
        agent.decide()

    assert model.body.weight.data_ptr() not in objective.places


def test_a_shared_weight_is_a_parameter_of_the_copys_own():
    model = Adapted()
    frozen = frozen_weights(model, model.head.parameters())

    twin, twin_of = clone_model(model, shared={id(each) for each in frozen})
    twin.body.requires_grad_(True)
    twin.body.weight.data = torch.zeros(8, 6)

    assert twin.body.bias.data_ptr() == model.body.bias.data_ptr()
    assert not any(each.requires_grad for each in model.body.parameters())
    assert float(model.body.weight.abs().sum()) > 0
    assert twin.norm.running_mean.data_ptr() != model.norm.running_mean.data_ptr()
    assert twin_of[id(model.body.weight)] is twin.body.weight


def test_tied_frozen_weights_stay_tied_in_the_copy():
    model = models.make("tied").requires_grad_(False)

    twin, _ = clone_model(model, shared={id(each) for each in model.parameters()})

    assert twin.first.weight is twin.second.weight
    assert twin.first.weight is not model.first.weight


def test_a_frozen_weight_that_the_optimizer_holds_is_not_among_the_frozen():
    model = Adapted()

    assert [] == frozen_weights(model, model.parameters())


@pytest.mark.parametrize(
    "values",
    [
        torch.randn(4, 3),
        torch.randn(4, 3).t(),
        torch.randn(3, dtype=torch.float64),
        torch.randn(3, dtype=torch.bfloat16),
        torch.randn(3, dtype=torch.complex64),
        torch.arange(3, dtype=torch.uint8),
        torch.ones(3, dtype=torch.bool),
        torch.ones(()),
        torch.ones(0, 3),
        torch.full((2,), float("nan")),
    ],
)
def test_a_tensor_of_any_dtype_rests_until_it_changes(values):
    steps = 0
    resting = Resting(lambda: steps)

    assert set() == resting.look([values])
    assert set() == resting.look([values])
    steps = 1
    assert {id(values)} == resting.look([values])
    if values.numel():
        values.zero_()
        assert set() == resting.look([values])


def test_a_tensor_that_is_trained_does_not_rest():
    steps = 0
    resting = Resting(lambda: steps)
    weight = nn.Parameter(torch.ones(2), requires_grad=False)
    resting.look([weight])
    steps = 1
    weight.requires_grad_(True)

    assert set() == resting.look([weight])


def test_the_copy_that_is_tried_at_attach_shares_what_is_frozen():
    model, copied = Adapted(), []

    class Counting(nn.Parameter):
        def __deepcopy__(self, memo):
            copied.append(self)
            return super().__deepcopy__(memo)

    model.body.weight = Counting(model.body.weight.data, requires_grad=False)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.02)

    attach(model, optimizer, models.objective, lm=scripted(SGD)).close()

    assert [] == copied

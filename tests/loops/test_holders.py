"""A module that holds its live optimizer is copied; a plain loop goes on without us."""

import copy
import io

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.swapping import ADAM
from tests.talking import scripted


class Policy(nn.Module):
    """It makes its optimizer by itself and keeps it."""

    def __init__(self):
        super().__init__()
        self.net = models.mlp()
        self.optimizer = torch.optim.SGD(
            self.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01
        )

    def forward(self, inputs):
        return self.net(inputs)


def steps(policy, count, agent=None):
    for step in range(count):
        batch = models.batches()[step % 3]
        loss = models.objective(policy, batch)
        policy.optimizer.zero_grad()
        loss.backward()
        policy.optimizer.step()
        if agent is not None:
            agent.observe(loss, batch)


def weights(policy):
    return [p.detach().clone() for p in policy.parameters()]


def same(some, others):
    return all(map(torch.equal, some, others))


@pytest.fixture
def held():
    torch.manual_seed(0)
    policy = Policy()
    agent = attach(
        policy,
        policy.optimizer,
        models.objective,
        lm=scripted(ADAM),
        execution="inline",
        accept="finite",
        dry_run_steps=1,
    )
    policy.optimizer = agent.optimizer
    with agent:
        steps(policy, 4, agent)
        yield policy, agent


def twin(count):
    torch.manual_seed(0)
    policy = Policy()
    steps(policy, count)
    return policy


def test_a_copy_of_the_holder_trains_on_as_one_without_an_agent(held):
    policy, agent = held
    before = weights(policy)
    copied, expected = copy.deepcopy(policy), copy.deepcopy(twin(4))

    steps(copied, 3)
    steps(expected, 3)

    assert type(copied.optimizer) is torch.optim.SGD
    assert same(weights(copied), weights(expected))
    assert same(weights(policy), before)
    assert policy.optimizer is agent.optimizer


def test_a_copy_under_a_rule_has_the_base_optimizer_as_it_would_come_back(held):
    policy, agent = held
    assert "applied" == agent.decide().verdict
    steps(policy, 2, agent)
    before, learned = weights(policy), len(agent.optimizer.state)

    copied = copy.deepcopy(policy)
    plain = Policy()
    plain.load_state_dict(policy.state_dict())
    plain.optimizer.load_state_dict(copy.deepcopy(agent.optimizer.base_state_dict()))
    steps(copied, 3)
    steps(plain, 3)

    assert type(copied.optimizer) is torch.optim.SGD
    options = copied.optimizer.param_groups[0]
    assert (0.05, 0.9, 0.01) == tuple(
        options[name] for name in ("lr", "momentum", "weight_decay")
    )
    assert same(weights(copied), weights(plain))
    assert same(weights(policy), before)
    assert learned == len(agent.optimizer.state)
    steps(policy, 2, agent)
    assert "applied" == agent.decisions[-1].verdict


@pytest.mark.parametrize("ruled", [False, True])
def test_a_plain_loop_goes_on_from_the_base_state(held, ruled):
    policy, agent = held
    if ruled:
        agent.decide()
        steps(policy, 2, agent)
    buffer = io.BytesIO()
    torch.save(agent.optimizer.base_state_dict(), buffer)
    buffer.seek(0)

    plain = Policy()
    plain.optimizer.load_state_dict(torch.load(buffer, weights_only=True))
    steps(plain, 2)

    expected = twin(4).optimizer.state_dict()["state"]
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)["state"]
    assert expected.keys() == saved.keys()
    for index, state in expected.items():
        assert torch.equal(state["momentum_buffer"], saved[index]["momentum_buffer"])

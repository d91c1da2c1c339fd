"""Loops in which model and optimizer no longer hold what they held at `attach`."""

import copy

import pytest
import torch
from torch import nn

from dux_agent import attach
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import MOMENTUM
from tests.talking import scripted

STEPS, EVERY, CHANGES_AT = 24, 8, 12
GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
FAILS = MOMENTUM.replace(
    "def step(self, closure=None):", "def step(self, closure=None):\n        1 / 0"
)
DATA = models.batches(4)
TAKEN = "the loop took parameter groups away from the optimizer"
OTHERS = "the loop put other parameters into the optimizer's groups"


def another(model):
    torch.manual_seed(3)
    model[0] = nn.Linear(6, 8)


def layer_replaced(model, optimizer):
    another(model)


def values_assigned(model, optimizer):
    held = copy.deepcopy(dict(model[0].state_dict()))
    model[0].load_state_dict(held, assign=True)


def layer_replaced_and_given(model, optimizer):
    another(model)
    optimizer.param_groups[0]["params"] = list(model[0].parameters())


def state_moved_to_another(model, optimizer):
    """As splatting does when it adds points or drops some."""
    group = optimizer.param_groups[0]
    old = group["params"][0]
    new = nn.Parameter(0.9 * old.detach())
    entry = optimizer.state.pop(old, None)
    group["params"][0] = model[0].weight = new
    if entry is not None:
        optimizer.state[new] = entry


def groups_made_anew(model, optimizer):
    another(model)
    optimizer.param_groups.clear()
    optimizer.state.clear()
    optimizer.add_param_group({"params": list(model.parameters()), "lr": 0.01})


def first_group_taken(model, optimizer):
    optimizer.param_groups.pop(0)


def last_group_taken(model, optimizer):
    del optimizer.param_groups[1]


def last_group_taken_and_back(model, optimizer):
    group = optimizer.param_groups.pop()
    optimizer.add_param_group({"params": group["params"], "lr": 0.005})


def group_of_nobodys(model, optimizer):
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})


def model_in_bfloat16(model, optimizer):
    model.to(torch.bfloat16)


# What a live rule is told; None: it goes on.
CHANGES = {
    layer_replaced: None,
    values_assigned: None,
    layer_replaced_and_given: OTHERS,
    state_moved_to_another: OTHERS,
    groups_made_anew: TAKEN,
    first_group_taken: TAKEN,
    last_group_taken: TAKEN,
    last_group_taken_and_back: TAKEN,
    group_of_nobodys: None,
    model_in_bfloat16: "the loop changed parameter 0.weight from torch.float32",
}


def base_of(model):
    groups = [
        {"params": list(model[0].parameters()), "lr": 0.02},
        {"params": list(model[2].parameters()), "lr": 0.01},
    ]
    return torch.optim.SGD(groups, momentum=0.9)


def train(change, model, optimizer, observe):
    for step in range(STEPS):
        if step == CHANGES_AT:
            change(model, optimizer)
        inputs, targets = (each.to(model[0].weight.dtype) for each in DATA[step % 4])
        optimizer.zero_grad()
        loss = models.objective(model, (inputs, targets))
        loss.backward()
        optimizer.step()
        observe(loss, (inputs, targets))


def attached(change, execution, source):
    """What the weights and the rates came to, and the decisions."""
    torch.manual_seed(0)
    model = models.mlp()
    with attach(
        model,
        base_of(model),
        models.objective,
        lm=scripted(source),
        every=EVERY,
        total_steps=STEPS,
        max_attempts=1,
        accept="finite",
        execution=execution,
    ) as agent:
        train(change, model, agent.optimizer, agent.observe)
        return ends(model), list(agent.decisions)


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_agent_that_applies_nothing_changes_nothing(change, execution):
    torch.manual_seed(0)
    model = models.mlp()
    train(change, model, base_of(model), lambda *told: None)

    found, decisions = attached(change, execution, FAILS)

    assert ["kept", "kept"] == [each.verdict for each in decisions]
    assert_same(ends(model), found)


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_rule_goes_on_or_ends_aloud(change, execution):
    expected = CHANGES[change]

    _, decisions = attached(change, execution, GENTLE)

    first, second = decisions
    assert "applied" == second.verdict
    if expected is None:
        assert "applied" == first.verdict
    else:
        assert "rolled_back" == first.verdict
        assert first.reason.startswith(expected)


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize("taken", [0, 1])
def test_the_group_that_is_left_has_the_rate_of_its_schedule_again(taken, execution):
    def train_on(optimizer, model, steps):
        for step in steps:
            optimizer.zero_grad()
            models.objective(model, DATA[step % 4]).backward()
            optimizer.step()

    rates = []
    for source in (None, GENTLE):
        torch.manual_seed(0)
        model = models.mlp()
        with attach(
            model,
            base_of(model),
            models.objective,
            lm=scripted(GENTLE),
            batch=DATA[0],
            execution=execution,
        ) as agent:
            optimizer = agent.optimizer
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.9**n)
            train_on(optimizer, model, range(4))
            schedule.step()
            if source is not None:
                agent.observe(models.objective(model, DATA[0]), DATA[0])
                assert "applied" == agent.decide().verdict
            schedule.step()
            optimizer.param_groups.pop(taken)
            train_on(optimizer, model, range(2))
            rates.append([group["lr"] for group in optimizer.param_groups])

    assert rates[0] == rates[1]


def test_a_parameter_that_left_model_and_groups_alike_is_not_missed(caplog):
    attached(layer_replaced_and_given, "inline", FAILS)

    assert "no longer holds" not in caplog.text

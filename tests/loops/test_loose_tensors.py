"""An optimizer over other tensors than one model's parameters."""

import copy

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.errors import BadArgument
from tests import models
from tests.executions import both
from tests.swapping import ADAM
from tests.talking import run, scripted

BATCHES = models.batches()


class Prompted(nn.Module):
    """A frozen body and a soft prompt, which is all that is trained."""

    def __init__(self):
        super().__init__()
        self.body = models.make("mlp").requires_grad_(False)
        self.prompt = nn.Parameter(torch.zeros(6))

    def forward(self, inputs):
        return self.body(inputs + self.prompt)


def prompted():
    model = Prompted()
    return model, torch.optim.Adam([model.prompt], lr=0.1)


def several():
    pair = nn.ModuleList([models.make("mlp"), nn.Linear(1, 1)])
    return pair, torch.optim.SGD([*pair[0].parameters(), *pair[1].parameters()], lr=0.1)


def objective(model, batch):
    inputs, targets = batch
    if isinstance(model, Prompted):
        return (model(inputs) - targets).square().mean()
    return (model[1](model[0](inputs)) - targets).square().mean()


@both
@pytest.mark.parametrize("make", [prompted, several])
def test_one_module_that_holds_all_trains_as_without_an_agent_and_takes_rules(
    execution, make
):
    torch.manual_seed(0)
    model, optimizer = make()
    twin = copy.deepcopy(model)
    plain = type(optimizer)([p for p in twin.parameters() if p.requires_grad], lr=0.1)
    options = {"lm": scripted(ADAM), "execution": execution, "accept": "finite"}

    with attach(model, optimizer, objective, dry_run_steps=2, **options) as agent:
        run(agent, 4)
        for step in range(4):
            plain.zero_grad()
            objective(twin, BATCHES[step % len(BATCHES)]).backward()
            plain.step()
        alike = [
            torch.equal(one, other)
            for one, other in zip(model.parameters(), twin.parameters(), strict=True)
        ]
        verdict = agent.decide().verdict
        before = [p.detach().clone() for p in model.parameters()]
        run(agent, 2)

    moved = [
        not torch.equal(one, other)
        for one, other in zip(model.parameters(), before, strict=True)
    ]
    assert alike and all(alike)
    assert "applied" == verdict
    assert [p.requires_grad for p in model.parameters()] == moved


def loose(*, own=True):
    model, codes = models.make("mlp"), torch.zeros(4, 6, requires_grad=True)
    groups = [{"params": [codes], "lr": 0.1}]
    if own:
        groups.insert(0, {"params": [*model.parameters()]})
    return model, codes, torch.optim.SGD(groups, lr=0.02)


@pytest.mark.parametrize(
    ("lm", "own", "count"),
    [
        ("offline", True, "1 of 5"),
        ("offline", False, "1 of 1"),
        (None, False, "1 of 1"),
    ],
)
def test_a_loose_tensor_is_refused_and_it_is_said_what_to_do(lm, own, count):
    model, _, optimizer = loose(own=own)

    with pytest.raises(BadArgument) as raised:
        attach(model, optimizer, models.objective, lm=lm)

    for part in (
        f"{count} parameters",
        "(4, 6)",
        "wanted",
        "nn.Parameter",
        "ModuleList",
    ):
        assert part in str(raised.value)


def test_with_nobody_to_ask_a_loose_tensor_is_watched_and_put_back():
    def with_codes(net, batch):
        return (net(batch[0] + codes.mean(0)) - batch[1]).square().mean()

    torch.manual_seed(0)
    model, codes, optimizer = loose()
    twin, other = copy.deepcopy((model, codes))
    plain = torch.optim.SGD(
        [{"params": [*twin.parameters()]}, {"params": [other], "lr": 0.1}], lr=0.02
    )
    with attach(model, optimizer, with_codes, lm=None, guard_steps=4) as agent:
        run(agent, 20)
        for step in range(20):
            batch = BATCHES[step % len(BATCHES)]
            plain.zero_grad()
            loss = (twin(batch[0] + other.mean(0)) - batch[1]).square().mean()
            loss.backward()
            plain.step()
        alike = torch.equal(codes, other)
        with torch.no_grad():
            codes.fill_(float("nan"))
        run(agent, 1)

        assert alike
        assert 1 == agent.rollbacks
        assert bool(other.any()) and torch.equal(codes, torch.zeros(4, 6))
        saved = copy.deepcopy(agent.state_dict())
        run(agent, 2)
        agent.load_state_dict(saved)

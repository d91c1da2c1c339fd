"""The parameters of a model are its own while a rule is live: nobody can tell.

What is saved, copied, aliased or looked at is what a twin without an agent has.
"""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from dux_agent import attach
from dux_sandbox import load
from tests import models
from tests.executions import both
from tests.swapping import MOMENTUM, SGD
from tests.talking import scripted, sgd


class Mixed(nn.Module):
    """Layers of three dtypes, as a mixed-precision model has them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 8, dtype=torch.bfloat16)
        self.third = nn.Linear(8, 8, dtype=torch.float64)
        self.head = nn.Linear(8, 1)

    def forward(self, inputs):
        hidden = self.second(torch.tanh(self.first(inputs)).bfloat16())
        return self.head(self.third(hidden.double()).float())


def make(kind):
    torch.manual_seed(0)
    return Mixed() if kind == "mixed" else models.make(kind)


def agent_over(model, *sources, execution, **options):
    return attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(*sources),
        execution=execution,
        dry_run_steps=1,
        **{"accept": "finite", **options},
    )


def train(agent, model, steps, first=0):
    for step in range(first, first + steps):
        batch = models.batches()[step % 3]
        agent.optimizer.zero_grad()
        loss = models.objective(model, batch)
        loss.backward()
        agent.optimizer.step()
        agent.observe(loss, batch)


def twin_of(kind, source, before, after):
    model = make(kind)
    optimizer = sgd(model)
    for step in range(before + after):
        if step == before:
            optimizer = load(source)(model.parameters())
        optimizer.zero_grad()
        models.objective(model, models.batches()[step % 3]).backward()
        optimizer.step()
    return model


def saved(thing):
    held = io.BytesIO()
    torch.save(thing, held)
    return held.getvalue()


def look(model):
    """What anybody can see of a parameter and its gradient, but for the values."""
    return [
        (
            type(p),
            type(p.data),
            p.is_leaf,
            p.is_shared(),
            p.stride(),
            p.storage_offset(),
            p.untyped_storage().nbytes(),
            p.untyped_storage().data_ptr() == p.data_ptr(),
            p._base is None,
            len(p._backward_hooks or ()),
            len(getattr(p, "_post_accumulate_grad_hooks", None) or ()),
            p.grad is None,
            None if p.grad is None else p.grad.untyped_storage().nbytes(),
            None if p.grad is None else p.grad.is_shared(),
        )
        for p in model.parameters()
    ]


@both
@pytest.mark.parametrize("kind", ["mlp", "mixed", "tied", "parametrised", "batch norm"])
def test_a_live_rule_is_not_to_be_seen_in_the_parameters(kind, execution):
    twin = twin_of(kind, MOMENTUM, 3, 4)
    model = make(kind)
    identities = [(id(p), p.data_ptr()) for p in model.parameters()]
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        train(agent, model, 3)
        assert "applied" == agent.decide().verdict
        train(agent, model, 4, first=3)
        seen, held = look(model), saved(model.state_dict())
        one_bias = pickle.dumps(next(iter(model.parameters())))
        agent.close()

    assert look(twin) == seen
    assert len(saved(twin.state_dict())) == len(held)
    # A storage is called by its address, in decimals: of 14 or 15 of them.
    assert abs(len(pickle.dumps(next(iter(twin.parameters())))) - len(one_bias)) < 8
    assert seen == look(model)
    assert identities == [(id(p), p.data_ptr()) for p in model.parameters()]
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@both
@pytest.mark.parametrize("kind", ["mlp", "mixed", "tied", "batch norm"])
def test_a_checkpoint_taken_under_a_live_rule_is_whole(kind, execution):
    model, other = make(kind), make(kind)
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        train(agent, model, 3)
        agent.decide()
        train(agent, model, 2, first=3)
        other.load_state_dict(torch.load(io.BytesIO(saved(model.state_dict()))))
        whole = torch.load(io.BytesIO(saved(model)), weights_only=False)
        copied, pickled = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        there = [p.detach().clone() for p in model.parameters()]
        train(agent, model, 1, first=5)

    for each in (other, whole, copied, pickled):
        assert all(map(torch.equal, there, each.parameters()))
    assert not all(map(torch.equal, there, model.parameters()))


@both
def test_who_holds_the_memory_of_a_parameter_sees_every_step(execution):
    model = make("mlp")
    view = model[0].weight.detach()
    row = model[0].weight.data[0]
    numpy = model[0].weight.detach().numpy()
    mean = AveragedModel(model, avg_fn=lambda mean, now, count: now)
    with agent_over(model, MOMENTUM, SGD, execution=execution) as agent:
        for step in range(12):
            if step in (3, 6):
                agent.decide()
            if step == 9:
                agent.optimizer.guard.breach("for the test")
            train(agent, model, 1, first=step)
            mean.update_parameters(model)
            assert torch.equal(view, model[0].weight)
            assert torch.equal(row, model[0].weight[0])
            assert torch.equal(torch.from_numpy(numpy), model[0].weight)
            assert torch.equal(mean.module[0].weight, model[0].weight)
        agent.close()
        with torch.no_grad():
            model[0].weight.zero_()

    assert 0.0 == view.abs().sum() == row.abs().sum() == abs(numpy).sum()


@both
def test_gradients_in_one_flat_buffer_stay_there(execution):
    model = make("mlp")
    flat = torch.zeros(sum(p.numel() for p in model.parameters()))
    at = 0
    for p in model.parameters():
        p.grad = flat[at : at + p.numel()].view_as(p)
        at += p.numel()
    places = [p.grad for p in model.parameters()]
    losses = []
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        for step in range(30):
            if step == 3:
                agent.decide()
            flat.zero_()
            loss = models.objective(model, models.batches()[0])
            loss.backward()
            agent.optimizer.step()
            agent.observe(loss, models.batches()[0])
            losses.append(float(loss.detach()))

    assert all(p.grad is g for p, g in zip(model.parameters(), places, strict=True))
    assert losses[-1] < 0.5 * losses[3]


@both
def test_an_absent_gradient_is_absent_for_everybody(execution):
    model = make("mlp")
    with agent_over(model, MOMENTUM, execution=execution) as agent:
        train(agent, model, 3)
        agent.decide()
        train(agent, model, 1, first=3)
        agent.optimizer.zero_grad()
        cleared = [p.grad for p in model.parameters()]
        model[2].bias.square().sum().backward()
        before = [p.detach().clone() for p in model.parameters()]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        versions = [p._version for p in model.parameters()]
        agent.optimizer.step()
        present = [p.grad is not None for p in model.parameters()]
        agent.optimizer.zero_grad(set_to_none=False)
        zeroed = [
            None if p.grad is None else float(p.grad.abs().sum())
            for p in model.parameters()
        ]

    moved = [
        not torch.equal(b, p) for b, p in zip(before, model.parameters(), strict=True)
    ]
    written = [
        v != p._version for v, p in zip(versions, model.parameters(), strict=True)
    ]
    assert [None] * 4 == cleared
    assert [False, False, False, True] == present == moved == written
    assert [None, None, None, 0.0] == zeroed
    assert norm > 0


CLIPS = MOMENTUM.replace(
    "        self.t += 1\n",
    "        self.t += 1\n"
    '        for p in self.param_groups[0]["params"]:\n'
    "            if p.grad is not None:\n"
    "                CHANGE\n",
)


@both
@pytest.mark.parametrize(
    "change",
    [
        "p.grad.mul_(0.5)",
        "p.grad.data.mul_(0.5)",
        "p.grad *= 0.5",
        "p.grad.detach().mul_(0.5)",
        "p.grad.view(-1)[:] = p.grad.view(-1) * 0.5",
        "torch._foreach_mul_([p.grad], 0.5)",
        "torch.nn.utils.clip_grad_norm_([p], 0.001)",
    ],
)
def test_what_a_rule_does_to_a_gradient_in_place_is_seen_in_it(change, execution):
    source = CLIPS.replace("CHANGE", change)
    twin = twin_of("mlp", source, 3, 2)
    model = make("mlp")
    with agent_over(model, source, execution=execution) as agent:
        train(agent, model, 3)
        assert "applied" == agent.decide().verdict
        train(agent, model, 2, first=3)

    assert all(map(torch.equal, twin.parameters(), model.parameters()))
    for one, other in zip(twin.parameters(), model.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@both
def test_a_step_that_fails_leaves_the_weights_alone(execution):
    model = make("mlp")
    source = MOMENTUM.replace(
        "        self.t += 1\n",
        "        self.t += 1\n"
        "        if self.t > 6:\n"
        '            for p in self.param_groups[0]["params"]:\n'
        "                p.zero_()\n"
        '            raise ValueError("no more")\n',
    )
    seen = []
    with agent_over(model, source, execution=execution) as agent:
        train(agent, model, 3)
        decision = agent.decide()
        rule = agent.optimizer.running
        step = rule.step

        def watched(closure=None):
            try:
                return step(closure)
            finally:
                seen.append(float(model[0].weight.abs().sum().detach()))

        rule.step = watched
        train(agent, model, 8, first=3)

    assert "rolled_back" == decision.verdict
    assert "no more" in decision.reason
    if execution == "isolated":
        assert all(seen)

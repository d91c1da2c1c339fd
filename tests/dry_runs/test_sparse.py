"""Sparse gradients: the base gets the user's own, a rule always dense ones."""

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_sandbox import dry_run, load
from tests.executions import both
from tests.swapping import ADAM, MOMENTUM, after
from tests.talking import scripted

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks are")

CLIPS = ADAM.replace(
    "        for group in self.param_groups:\n",
    "        torch.nn.utils.clip_grad_norm_(\n"
    '            [p for g in self.param_groups for p in g["params"]], 0.01\n'
    "        )\n"
    "        for group in self.param_groups:\n",
)


class Words(nn.Module):
    """Rows of a table, summed; only those that a batch names have a gradient."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 4, sparse=True)
        self.head = nn.Linear(4, 1)

    def forward(self, words):
        return self.head(self.table(words).sum(1))


def make():
    torch.manual_seed(0)
    return Words()


def batches():
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(20, (3, 8, 5), generator=generator)
    return [(each, each.float().mean(1, keepdim=True) / 20) for each in words]


def objective(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def two_bases(model):
    """SparseAdam takes nothing dense, so the head has an optimizer of its own."""
    return torch.optim.SparseAdam(model.table.parameters(), lr=0.01)


BASES = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.01),
    "Adagrad": lambda model: torch.optim.Adagrad(model.parameters(), lr=0.01),
    "SparseAdam": two_bases,
}


def step_of(optimizer, model, step):
    optimizer.zero_grad()
    model.zero_grad()
    loss = objective(model, batches()[step % 3])
    loss.backward()
    given = model.table.weight.grad
    optimizer.step()
    return loss.detach(), given


@both
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("source", [ADAM, CLIPS], ids=["adam", "clips"])
def test_a_rule_for_dense_gradients_lives_on_sparse_ones(source, base, execution):
    model, twin = make(), make()
    plain = BASES[base](twin)
    with attach(
        model,
        BASES[base](model),
        objective,
        lm=scripted(source),
        execution=execution,
        dry_run_steps=2,
    ) as agent:
        for step in range(10):
            if step == 3:
                decision = agent.decide()
                plain = load(source)(plain.param_groups[0]["params"])
            loss, given = step_of(agent.optimizer, model, step)
            agent.observe(loss, batches()[step % 3])
            assert model.table.weight.grad is given
            assert given.is_sparse
            plain.zero_grad()
            twin.zero_grad()
            objective(twin, batches()[step % 3]).backward()
            if step >= 3:
                weight = twin.table.weight
                weight.grad = weight.grad.to_dense()
            plain.step()

    assert "applied" == decision.verdict
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


@both
def test_the_base_steps_on_sparse_gradients_after_a_rollback(execution):
    model = make()
    source = after(4, 'p.fill_(float("nan"))', MOMENTUM)
    with attach(
        model,
        two_bases(model),
        objective,
        lm=scripted(source),
        execution=execution,
        dry_run_steps=2,
        accept="finite",
    ) as agent:
        for step in range(12):
            if step == 3:
                decision = agent.decide()
            loss, _ = step_of(agent.optimizer, model, step)
            agent.observe(loss, batches()[step % 3])

    assert "rolled_back" == decision.verdict
    assert agent.optimizer.running is agent.optimizer.base_rule
    assert bool(torch.isfinite(model.table.weight).all())


@both
def test_a_closure_gives_sparse_gradients_and_the_rule_gets_dense_ones(execution):
    model = make()
    with attach(
        model,
        BASES["SGD"](model),
        objective,
        lm=scripted(ADAM),
        execution=execution,
        dry_run_steps=2,
    ) as agent:

        def closure():
            agent.optimizer.zero_grad()
            loss = objective(model, batches()[0])
            loss.backward()
            return loss

        losses = []
        for step in range(10):
            if step == 3:
                decision = agent.decide()
            loss = agent.optimizer.step(closure)
            agent.observe(loss, batches()[0])
            losses.append(float(loss.detach()))

    assert "applied" == decision.verdict
    assert model.table.weight.grad.is_sparse
    assert losses[-1] < losses[3]


def test_the_dry_run_hands_over_what_the_live_step_does():
    source = ADAM.replace(
        "                state = self.state[p]",
        "                if p.grad.is_sparse:\n"
        '                    raise ValueError("a sparse gradient")\n'
        "                state = self.state[p]",
    )
    model = make()

    report = dry_run(source, model, BASES["SGD"](model), objective, batches(), 3)
    weights = [p.detach().clone() for p in model.parameters()]
    rule = load(source)(model.parameters())
    objective(model, batches()[0]).backward()

    with pytest.raises(ValueError, match="a sparse gradient"):
        rule.step()
    assert report.ok
    assert all(map(torch.equal, weights, model.parameters()))

"""A dry run in slices, between which training goes on: neither knows of the other."""

import random

import numpy
import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_sandbox.dry_runs.side_by_side import dry_run, in_slices
from tests import models
from tests.executions import both
from tests.sources import MOMENTUM, SGD
from tests.talking import scripted, sgd

DATA = models.batches(4)


class Teacher(nn.Module):
    """A bystander with buffers that move and a counter, beside the model."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 1)
        self.calls = 0

    def forward(self, inputs):
        self.calls += 1
        return self.head(self.norm(inputs))


def training(kind, execution=None):
    """A model with an optimizer over it, and an objective that draws and has others."""
    model, teacher = models.make(kind), Teacher()
    noise = random.Random(4)

    def objective(given, batch):
        drawn = random.random() + float(numpy.random.rand()) + float(torch.rand(1))
        wanted = teacher(batch[0]) * 0.01 * drawn
        return models.objective(given, batch) + (given(batch[0]) * wanted).mean()

    agent = attach(
        model,
        sgd(model),
        objective,
        lm=scripted(MOMENTUM),
        execution=execution or "inline",
        accept="finite",
    )
    random.seed(1)
    numpy.random.seed(1)
    torch.manual_seed(1)
    noise.random()
    return model, teacher, agent, objective


def step(model, agent, objective, number):
    agent.optimizer.zero_grad()
    loss = objective(model, DATA[number % 4])
    loss.backward()
    agent.optimizer.step()
    agent.observe(loss, DATA[number % 4])
    return float(loss.detach())


@both
@pytest.mark.parametrize("rule", [False, True], ids=["base", "rule"])
@pytest.mark.parametrize("kind", ["mlp", "dropout", "batch norm", "tied"])
def test_slices_give_the_report_of_a_whole_and_training_goes_on(kind, rule, execution):
    losses, reports, states = [], [], []
    for sliced in (True, False):
        model, teacher, agent, objective = training(kind, execution)
        with agent:
            seen = [step(model, agent, objective, number) for number in range(5)]
            if rule:
                assert "applied" == agent.decide().verdict
                seen += [step(model, agent, objective, number) for number in range(3)]
            given = (SGD, model, agent.optimizer, objective, DATA, 3)
            if sliced:
                work, report = in_slices(*given, sliced=True), None
                count = 0
                while report is None:
                    try:
                        next(work)
                    except StopIteration as end:
                        report = end.value
                        continue
                    if count < 9:
                        seen.append(step(model, agent, objective, count))
                        count += 1
                assert 9 == count
            else:
                report = dry_run(*given)
                seen += [step(model, agent, objective, number) for number in range(9)]
        losses.append(seen)
        reports.append((report.losses, report.incumbent_losses, report.ok))
        states.append({**model.state_dict(), **teacher.state_dict(prefix="teacher.")})
        states[-1]["calls"] = torch.tensor(teacher.calls)

    assert losses[0] == losses[1]
    assert 4 == len(reports[0][0]) == len(reports[0][1])
    assert reports[0] == reports[1]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_a_dry_run_that_is_left_half_done_leaves_nothing_behind():
    model, teacher, agent, objective = training("batch norm")
    with agent:
        both_modules = nn.ModuleList([model, teacher])
        before = {name: t.clone() for name, t in both_modules.state_dict().items()}
        drawn = torch.get_rng_state()
        work = in_slices(SGD, model, agent.optimizer, objective, DATA, 3, sliced=True)
        for _ in range(4):
            next(work)
        work.close()

    after = both_modules.state_dict()
    assert torch.equal(drawn, torch.get_rng_state())
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name

"""The family of tasks: each keeps what a task promises, with every base."""

import math
from pathlib import Path

import pytest
import torch

from dux_agent import attach, tasks
from dux_agent.errors import BadArgument
from dux_agent.tasks.family.members import BASES, MEMBERS, names_for
from dux_agent.testing import TaskTestCase
from tests.executions import both

PURPOSES = ("train", "validation", "test")


def of(name):
    """The contract of one member; the second half of them has a base of its own."""
    bases = list(BASES)
    base = bases[list(MEMBERS).index(name) % len(bases)]

    class Tried(TaskTestCase):
        task = f"{name}@{base}"
        steps = 2

    Tried.__name__ = Tried.__qualname__ = f"Test_{name.replace('-', '_')}"
    return Tried


globals().update({tried.__name__: tried for tried in map(of, MEMBERS)})


def test_each_of_the_purposes_has_members_and_none_has_two():
    named = {purpose: set(names_for(purpose)) for purpose in PURPOSES}

    assert 16 <= len(MEMBERS)
    assert len(MEMBERS) * len(BASES) == sum(map(len, named.values()))
    assert all(named.values())
    assert len(set().union(*named.values())) == sum(map(len, named.values()))


def test_the_page_says_what_the_one_file_says():
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
    shown = page.partition("<!-- family -->")[2].partition("<!-- end of family -->")[0]
    lines = [f"* `{n}`, *{one.purpose}*: {one.what}" for n, one in MEMBERS.items()]
    lines += [f"* `@{name}`: {what}" for name, what in BASES.items()]

    assert lines == [line for line in shown.splitlines() if line.startswith("* ")]


@pytest.mark.parametrize("base", BASES)
def test_a_base_is_what_its_name_says(base):
    optimizer = tasks.build(f"logistic@{base}", 0).base_optimizer()
    good = tasks.build(f"logistic@{base.partition('-')[0]}", 0).base_optimizer()
    rate, usual = optimizer.param_groups[0]["lr"], good.param_groups[0]["lr"]

    assert base.startswith(type(optimizer).__name__.lower())
    assert base.endswith("slow") == (rate < 0.05 * usual)
    assert base.endswith("fast") == (rate > 5 * usual)
    assert base.endswith(("cosine", "cycle")) == (
        "initial_lr" in optimizer.param_groups[0]
    )


@pytest.mark.parametrize("base", ["sgd-cosine", "adam-cycle"])
def test_a_schedule_of_its_own_is_through_at_the_end_of_the_run(base):
    task = tasks.build(f"logistic@{base}", 0)
    optimizer = task.base_optimizer()
    rates = []

    for epoch in range(task.epochs):
        for batch in task.train_batches(epoch):
            optimizer.zero_grad()
            task.objective(task.model, batch).backward()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()

    assert task.epochs * task.steps_per_epoch == len(rates)
    assert rates[-1] < 0.01 * max(rates)
    assert math.isclose(max(rates), optimizer.param_groups[0]["initial_lr"])
    assert (base == "sgd-cosine") == (rates[0] == max(rates))
    assert abs(optimizer.param_groups[0]["lr"]) < 1e-12


@both
@pytest.mark.parametrize("base", ["sgd-cosine", "adam-cycle"])
def test_an_agent_meets_the_schedule_as_its_owner_made_it(base, execution):
    alone, watched = (tasks.build(f"logistic@{base}", 0) for _ in range(2))
    optimizer = alone.base_optimizer()
    base_of_agent = watched.base_optimizer()

    with attach(
        watched.model, base_of_agent, watched.objective, execution=execution
    ) as agent:
        for number, batch in enumerate(alone.train_batches(0)):
            optimizer.zero_grad()
            loss = alone.objective(alone.model, batch)
            loss.backward()
            optimizer.step()

            assert torch.equal(loss.detach(), torch.as_tensor(agent.step(batch)))
            assert (
                optimizer.param_groups[0]["lr"] == agent.optimizer.param_groups[0]["lr"]
            ), number


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("conv-net@", "names the base ''; one of sgd, sgd-slow"),
        ("conv-net@lion", "names the base 'lion'; one of sgd, sgd-slow"),
        ("conv-nets", "there is no task 'conv-nets'.*or of the family: conv-net, "),
    ],
)
def test_what_is_no_member_is_refused_in_words(name, said):
    with pytest.raises(BadArgument, match=said):
        tasks.build(name, 0)

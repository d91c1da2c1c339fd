"""Trainings whose objective and validation draw from every global generator."""

import copy
import random
import time

import numpy
import pytest
import torch

from dux_agent import attach, tasks
from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.run_folder import run_checkpoint
from dux_agent.runs.training import train as train_task
from dux_sandbox.random_state import RandomState, seed_all
from tests import models
from tests.states import through_torch
from tests.swapping import ADAM, MOMENTUM, SGD, after
from tests.talking import agent_over, scripted, sgd

EXECUTIONS = ("inline", "isolated")
REFUSED = {
    "static_check": "import os\n" + SGD,
    "dry_run": after(2, 'p.fill_(float("nan"))'),
    "reply": "",
}

GENERATORS = {
    "torch": lambda: float(torch.rand(())),
    "python": lambda: random.gauss(0.5, 0.2),
    "numpy": lambda: float(numpy.random.randn()),
}


def noisy(model, batch):
    """A loss that draws from every generator in use, in train mode and in eval."""
    inputs, targets = batch
    scale = 1 + 0.1 * sum(draw() for draw in GENERATORS.values())
    return (model(inputs * scale) - targets).square().mean()


def validate(model):
    return noisy(model, models.batches()[0])


def twin(steps):
    """The weights that the same training has without an agent."""
    seed_all(5)
    model = models.make("dropout")
    optimizer = sgd(model)
    batches = models.batches()
    for step in range(steps):
        optimizer.zero_grad()
        noisy(model, batches[step % 3]).backward()
        optimizer.step()
    return list(model.parameters())


def attached(lm, **options):
    seed_all(5)
    model = models.make("dropout")
    given = {"execution": "inline", "validate": validate, "accept": "finite"}
    options = given | options
    return attach(model, sgd(model), noisy, lm=lm, max_attempts=1, **options)


def go(agent, steps, first=0):
    batches = models.batches()
    return [
        float(agent.step(batches[step % 3])) for step in range(first, first + steps)
    ]


def same(one, other):
    return all(map(torch.equal, one, other))


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("stage", list(REFUSED))
def test_a_refused_decision_leaves_training_as_without_an_agent(stage, execution):
    lm = scripted(REFUSED[stage])
    with attached(lm, execution=execution, every=4) as agent:
        go(agent, 14)

        assert ["kept"] * 3 == [each.verdict for each in agent.decisions]
        assert {stage} == {a["stage"] for d in agent.decisions for a in d.attempts}
        assert same(twin(14), agent.model.parameters())


@pytest.mark.parametrize("folder", [False, True])
def test_a_decision_in_the_background_draws_nothing_of_trainings(tmp_path, folder):
    path = tmp_path / "run" if folder else None
    lm = scripted(REFUSED["dry_run"])
    with attached(lm, every=4, background=True, run_dir=path) as agent:
        steps = 0
        while len(agent.decisions) < 2:
            go(agent, 1, first=steps)
            steps += 1
            time.sleep(0.01)

        assert same(twin(steps), agent.model.parameters())


def test_a_decision_with_a_run_folder_draws_nothing_of_trainings(tmp_path):
    with attached(
        scripted(REFUSED["dry_run"]), every=4, run_dir=tmp_path / "run"
    ) as agent:
        go(agent, 10)

        assert same(twin(10), agent.model.parameters())


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_rule_that_fails_its_first_step_leaves_training_as_if_it_had_never_been(
    execution,
):
    lm = scripted(MOMENTUM)
    with attached(lm, execution=execution) as agent:
        go(agent, 6)
        agent.decide()
        breach_at_the_next_step(agent)
        go(agent, 6, first=6)

        assert ["rolled_back"] == [each.verdict for each in agent.decisions]
        assert same(twin(12), agent.model.parameters())


def breach_at_the_next_step(agent):
    """The rule turns out to write something that is not finite."""
    rule = agent.optimizer.running
    step = rule.step

    def spoiled(closure=None):
        result = step(closure)
        with torch.no_grad():
            next(agent.model.parameters()).fill_(float("nan"))
        return result

    rule.step = spoiled


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_rollback_puts_the_random_numbers_of_its_snapshot_back(execution):
    with attached(scripted(ADAM), execution=execution) as agent:
        go(agent, 6)
        agent.decide()
        at_the_swap = drawn_next()
        go(agent, 5, first=6)

        agent.optimizer.guard.breach("for the test")

        assert at_the_swap == drawn_next()


def drawn_next():
    """What every generator would give next."""
    before = RandomState.take()
    drawn = [draw() for draw in GENERATORS.values()]
    before.restore()
    return drawn


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_resumed_training_draws_what_the_one_that_died_would_have_drawn(execution):
    lm = scripted(ADAM, after(14, 'p.fill_(float("nan"))'))

    def train(saved=None):
        with attached(lm, execution=execution) as agent:
            if saved is not None:
                seed_all(77)
                agent.model.load_state_dict(saved[0])
                agent.load_state_dict(saved[1])
            kept = None
            while agent.step_count < 36:
                decided = {each.step for each in agent.decisions}
                if agent.step_count in {6, 12} - decided:
                    agent.decide()
                go(agent, 1, first=agent.step_count)
                if agent.step_count == 16:
                    state = agent.model.state_dict(), agent.state_dict()
                    kept = through_torch(copy.deepcopy(state))
            verdicts = [each.verdict for each in agent.decisions]
            return list(agent.model.parameters()), verdicts, kept

    weights, verdicts, kept = train()
    again, same_verdicts, _ = train(kept)

    assert ["applied", "rolled_back"] == verdicts == same_verdicts
    assert same(weights, again)


def test_damaged_random_numbers_are_refused_before_anything_is_loaded():
    with agent_over(models.make("mlp"), MOMENTUM) as agent:
        go(agent, 5)
        agent.decide()
        state = agent.state_dict()
        state["random"]["python"] = "[3, [], null]"
        rule, drawn = agent.optimizer.running, drawn_next()

        with pytest.raises(CheckpointRefused, match="random numbers cannot be read"):
            agent.load_state_dict(state)

        assert rule is agent.optimizer.running
        assert drawn == drawn_next()


def test_an_epoch_of_a_task_draws_the_same_whatever_was_drawn_before():
    task = tasks.build("digits", seed=0)
    next(task.train_batches(2))
    drawn = drawn_next()
    seed_all(99)

    next(task.train_batches(2))

    assert drawn == drawn_next()


def test_a_run_folders_checkpoint_holds_every_generator(tmp_path):
    train_task("digits", epochs=1, run_dir=tmp_path / "run")

    state = RandomState.of(run_checkpoint.load(tmp_path / "run")["random"])

    assert state.python is not None
    assert state.numpy is not None

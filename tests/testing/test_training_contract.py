"""`TrainingTestCase`: our trainings pass it, and each broken one is caught."""

import unittest
from dataclasses import replace

import pytest
import torch

from dux_agent import testing
from dux_agent.training.ranks import Alone
from tests import models
from tests.sources import MOMENTUM
from tests.talking import agent_over, run


def steps_of(name, **options):
    """An agent over one of our models that has taken a few steps."""
    torch.manual_seed(1)
    agent = agent_over(models.make(name), MOMENTUM, dry_run_steps=3, **options)
    run(agent, 5)
    return agent


class TestOfAnAgent(testing.TrainingTestCase):
    good_source = MOMENTUM

    def make(self):
        agent = steps_of("batch norm", validate=lambda model: 0.25)
        self.addCleanup(agent.close)
        return agent.training


class TestUnderALiveRule(testing.TrainingTestCase):
    def make(self):
        agent = steps_of("mlp", execution="isolated", every=3)
        self.addCleanup(agent.close)
        return agent.training


class TestAlone(testing.RanksTestCase):
    def make(self):
        return [Alone()]


class Second:
    """The second of two ranks, whose fellow gave `other` where the kind is its."""

    rank, count = 1, 2

    def __init__(self, other):
        self.other = other

    def gather(self, value):
        return [self.other if type(self.other) is type(value) else value, value]


def test_ranks_share_the_first_ones_look_and_the_mean_of_what_they_validate():
    with steps_of("mlp", validate=lambda model: 1.0) as agent:
        agent.training.ranks = Second(0.5)
        seen = agent.training.observation(1, agent._decider._prompt_history, None)
        agent.training.ranks = Second(replace(seen, task="the first rank's"))
        shared = agent.training.observation(2, agent._decider._prompt_history, None)

    assert [[5, 0.75]] == seen.validation_losses
    assert "the first rank's" == shared.task


def test_a_source_that_one_rank_refuses_has_not_passed():
    with steps_of("mlp") as agent:
        passed = agent.training.dry_run(MOMENTUM, steps=2, seed=0)
        agent.training.ranks = Second(replace(passed, ok=False))
        refused = agent.training.dry_run(MOMENTUM, steps=2, seed=0)

    assert (True, False) == (passed.ok, refused.ok)


def goes_on(training):
    look = training.observation
    training.observation = lambda *a: replace(look(*a), interval=training.live.steps)


def trains_what_it_tries(training):
    try_out = training.dry_run

    def spoil(*arguments, **options):
        with torch.no_grad():
            next(training.model.parameters()).add_(1.0)
        return try_out(*arguments, **options)

    training.dry_run = spoil


def believes_everybody(training):
    try_out = training.dry_run
    training.dry_run = lambda *a, **o: replace(try_out(*a, **o), ok=True)


def draws(training):
    try_out = training.dry_run
    training.dry_run = lambda *a, **o: torch.rand(1) is None or try_out(*a, **o)


BROKEN = {
    goes_on: "an_observation_begins_a_new_interval",
    trains_what_it_tries: "looking_and_trying_leave_the_training_as_it_was",
    draws: "looking_and_trying_leave_the_training_as_it_was",
    believes_everybody: "what_is_wrong_with_a_source_is_a_finding",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.__name__)
def test_a_broken_training_is_caught(broken):
    class Tried(testing.TrainingTestCase):
        def make(self):
            agent = steps_of("mlp")
            self.addCleanup(agent.close)
            broken(agent.training)
            return agent.training

    case = Tried(f"test_{BROKEN[broken]}")
    result = case.run() or unittest.TestResult()

    assert not result.wasSuccessful()

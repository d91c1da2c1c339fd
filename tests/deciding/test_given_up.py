"""A decision in the background that ends otherwise than by its graph."""

import threading

import pytest

import dux_agent
from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.run_folder import trace
from tests import models
from tests.swapping import MOMENTUM
from tests.talking import Scripted, agent_over, run, scripted, sgd
from tests.waiting import wait_until


class Silent(Scripted):
    """Never answers."""

    def _generate(self, messages, stop=None, run_manager=None, **options):
        self.asked.append(messages)
        threading.Event().wait(280)
        raise AssertionError("nobody has ended the call")


def asked(**options):
    """An agent in whose decision a model thinks, and that decision."""
    lm, model = Silent(replies=[]), models.make("mlp")
    agent = agent_over(model, lm=lm, background=True, **options)
    run(agent, 5)
    decision = agent.decide()
    wait_until(lambda: lm.asked)
    return agent, decision


class Objective:
    """Raises an error where a dry run calls it, once."""

    def __init__(self, error):
        self.error = error
        self.main = threading.current_thread()

    def __call__(self, model, batch):
        error, copied = self.error, model is not self.model
        if error is not None and copied:
            self.error = None
            raise error
        return models.objective(model, batch)


def background(error):
    model, objective = models.make("mlp"), Objective(None)
    objective.model = model
    agent = dux_agent.attach(
        model,
        sgd(model),
        objective,
        lm=scripted(MOMENTUM),
        background=True,
        execution="inline",
        accept="finite",
    )
    run(agent, 5)
    decision = agent.decide()
    objective.error = error
    return agent, decision


def train_on(agent):
    wait_until(lambda: run(agent, 1) and not agent.at_work)


def test_an_agent_that_is_closed_leaves_others_their_budget():
    budget = dux_agent.Budget(calls=10)
    agent, decision = asked(budget=budget)
    with agent_over(models.make("mlp"), MOMENTUM, budget=budget) as beside:
        run(beside, 5)

        agent.close()

        assert "the agent was closed first" == decision.reason
        assert [decision] == agent.decisions
        assert "applied" == beside.decide().verdict


def test_a_load_drops_the_decision_that_is_being_made(tmp_path):
    folder = tmp_path / "run"
    with agent_over(models.make("mlp"), MOMENTUM) as former:
        run(former, 3)
        saved = former.state_dict()
    agent, decision = asked(run_dir=folder)
    with agent:
        agent.load_state_dict(saved)

        assert "kept" == decision.verdict
        assert "a checkpoint was loaded first" == decision.reason
        assert (False, [], 3) == (agent.at_work, agent.decisions, agent.step_count)
        assert not [t for t in threading.enumerate() if t.name == "dux-decision"]
    told = [each for each in trace.read(folder) if each.kind == "apply"]
    assert ["a checkpoint was loaded first"] == [each.data["reason"] for each in told]


def test_a_load_that_is_refused_drops_no_decision():
    agent, _ = asked()
    with agent:
        with pytest.raises(CheckpointRefused):
            agent.load_state_dict({"version": 1})

        assert agent.at_work


def test_an_interrupt_in_a_slice_comes_out_at_once_and_ends_the_decision():
    agent, decision = background(KeyboardInterrupt())
    with agent:
        with pytest.raises(KeyboardInterrupt):
            train_on(agent)

        assert agent.at_work  # its thread may take a moment to hear of it
        train_on(agent)

    assert "kept" == decision.verdict
    assert "it was interrupted: KeyboardInterrupt" == decision.reason
    assert [decision] == agent.decisions


def test_an_error_of_the_caller_is_told_in_the_decision_that_was_handed_out():
    agent, decision = background(LookupError("of the objective"))
    with agent, pytest.raises(LookupError, match="of the objective"):
        train_on(agent)

    assert "failed" == decision.verdict
    assert "it ended with LookupError: of the objective" == decision.reason
    assert [] == agent.decisions

"""Losses that come late from a device: the same training, and nobody else blamed."""

import copy

import pytest
import torch

from dux_agent import attach, testing
from dux_agent.errors import TrainingDiverged
from dux_agent.run_folder.trace import read
from dux_agent.training.loss_feed import LossFeed
from tests import models
from tests.executions import both
from tests.late_device import LateDevice, nobody_waits
from tests.sources import MOMENTUM, SGD
from tests.talking import scripted, sgd

DATA = models.batches(4)


def attached(model, most_late, **options):
    agent = attach(model, sgd(model), models.objective, **options)
    if most_late:
        late(agent, testing.LateLosses(), most_late=most_late)
    return agent


def late(agent, device, *, most_late=4):
    """Let losses, norms and what the guard looks at come from this device."""
    agent.training.feed = LossFeed(device, most_late=most_late)
    agent.optimizer.guard.read = device


def train(agent, model, steps, spoilt=()):
    """Steps of a loop that tells of tensors; NaN after the steps in `spoilt`."""
    for step in range(steps):
        agent.optimizer.zero_grad()
        loss = models.objective(model, DATA[step % 4])
        loss.backward()
        agent.optimizer.step()
        told = loss if step not in spoilt else torch.tensor(float("nan"))
        agent.observe(told, DATA[step % 4])


def recorded(folder):
    return [
        (event.step, event.data["loss"])
        for event in read(folder / "trace.jsonl")
        if event.kind == "loss"
    ]


@both
def test_late_losses_give_the_same_decisions_records_and_weights(execution, tmp_path):
    made = {}
    for late in (0, 3):
        model = models.make("mlp")
        with attached(
            model,
            late,
            lm=scripted(MOMENTUM, SGD),
            execution=execution,
            every=5,
            run_dir=tmp_path / str(late),
        ) as agent:
            train(agent, model, 13)
            assert 13 == agent.step_count
            digests = [decision.digest for decision in agent.decisions]
        made[late] = (digests, recorded(tmp_path / str(late)), model.state_dict())

    assert 2 == len(made[0][0])
    assert made[0][:2] == made[3][:2]
    assert 13 == len(made[3][1])
    for name, tensor in made[0][2].items():
        assert torch.equal(tensor, made[3][2][name])


@pytest.mark.parametrize("late", [1, 4])
def test_a_late_breach_rolls_back_once_and_does_not_blame_the_incumbent(late):
    model = models.make("mlp")
    with attached(model, late, lm=scripted(MOMENTUM, SGD), execution="inline") as agent:
        for _ in range(2):
            train(agent, model, 4)
            agent.decide()
        # The losses that are on their way when the first NaN comes are NaN as well.
        train(agent, model, 2 + late, spoilt=range(1, 2 + late))
        train(agent, model, 8)
        verdicts = [decision.verdict for decision in agent.decisions]

    assert ["applied", "rolled_back"] == verdicts


def test_a_run_without_a_language_model_goes_back_once_for_losses_of_one_breach():
    model = models.make("mlp")
    with attached(model, 4, lm=None) as agent:
        train(agent, model, 20)
        train(agent, model, 6, spoilt=range(1, 6))
        assert 1 == agent.rollbacks


def test_what_is_on_its_way_is_waited_for_before_the_agent_is_saved_or_closed(tmp_path):
    model = models.make("mlp")
    device = testing.LateLosses()
    agent = attached(model, 0, lm=None, run_dir=tmp_path / "run")
    late(agent, device, most_late=9)

    train(agent, model, 3)
    waited = [device.waited]
    saved = agent.state_dict()
    waited.append(device.waited)
    train(agent, model, 2)
    waited.append(device.waited)
    agent.close()
    waited.append(device.waited)

    # Three losses and two, and a look at the weights of each of the five steps.
    assert [2, 6, 7, 10] == waited
    assert 3 == saved["watch"]["step"]
    assert 5 == len(recorded(tmp_path / "run"))


def test_an_agent_that_closes_on_a_breach_says_so_and_is_closed():
    model = models.make("mlp")
    agent = attached(model, 9, lm=None, max_rollbacks=0)
    train(agent, model, 12, spoilt=[11])

    with pytest.raises(TrainingDiverged):
        agent.close()

    assert agent.closed


@pytest.mark.parametrize("late", [0, 4])
def test_losses_of_accumulated_batches_are_averaged_when_they_come(late):
    model = models.make("mlp")
    with attached(model, late, lm=None) as agent:
        for step in range(8):
            loss = models.objective(model, DATA[step % 4]) / 2
            loss.backward()
            agent.observe(torch.tensor(float(step)), DATA[step % 4])
            if step % 2:
                agent.optimizer.step()
                agent.optimizer.zero_grad()
        agent.state_dict()
        losses = [loss for _, loss in agent.training.statistics.draw()]

    assert [0.5, 2.5, 4.5] == losses


def test_the_norm_of_the_gradients_is_waited_for_one_look_later_and_told_the_same():
    told, waited = {}, []
    for some in (0, 3):
        model, device = models.make("mlp"), testing.LateLosses()
        with attached(model, 0, lm=scripted(SGD), every=None) as agent:
            if some:
                late(agent, device, most_late=99)
            for step in range(14):
                agent.optimizer.zero_grad()
                loss = models.objective(model, DATA[step % 4])
                loss.backward()
                agent.optimizer.step()
                waited.append(device.waited)
                agent.observe(loss, DATA[step % 4])
            told[some] = agent.training.statistics.norms.state_dict()

    assert told[0] == told[3]
    assert 3 > told[3]["count"] >= 2
    # Looked at in steps 6 and 12, known one look later; no loss was waited for.
    assert [0] * 11 + [1] * 3 == waited[14:]


def test_weights_that_a_device_finds_spoilt_at_the_last_step_are_not_decided_on():
    model = models.make("mlp")
    options = {"every": 4, "execution": "inline", "dry_run_steps": 2}
    with attached(model, 9, lm=scripted(MOMENTUM, SGD), **options) as agent:
        train(agent, model, 4)
        weights = [each.detach().clone() for each in model.parameters()]
        train(agent, model, 3)
        model[0].weight.register_hook(lambda gradient: gradient * torch.nan)
        # Told at the edge of the eighth step: before the decision, not after it.
        train(agent, model, 1)
        verdicts = [decision.verdict for decision in agent.decisions]
        reason = agent.decisions[0].reason

    assert ["rolled_back", "applied"] == verdicts
    assert "a parameter was not finite after 4 steps" in reason
    assert all(map(torch.equal, weights, model.parameters()))


def test_no_step_and_no_loss_under_a_rule_waits_for_the_device():
    model = models.make("mlp")
    options = {"every": 200, "execution": "inline", "dry_run_steps": 2}
    with attach(
        model, sgd(model), models.objective, lm=scripted(SGD), **options
    ) as agent:
        late(agent, LateDevice())
        agent.optimizer.zero_grad()
        train(agent, model, 2)
        agent.decide()
        train(agent, model, 1)

        with nobody_waits():
            train(agent, model, 120)
        verdicts = [decision.verdict for decision in agent.decisions]

    assert ["applied"] == verdicts


def spoilt_under_way(model, lm):
    """An agent that a device has yet to tell of NaN, and what was saved before."""
    options = {} if lm is None else {"execution": "inline", "dry_run_steps": 2}
    agent = attach(model, sgd(model), models.objective, lm=lm, **options)
    late(agent, LateDevice(), most_late=9)
    train(agent, model, 2)
    if lm is not None:
        agent.decide()
    train(agent, model, 3)
    saved = copy.deepcopy((model.state_dict(), agent.state_dict()))
    train(agent, model, 5)
    hook = model[0].weight.register_hook(lambda gradient: gradient * torch.nan)
    train(agent, model, 1, spoilt=[0])
    hook.remove()
    return agent, saved


@pytest.mark.parametrize("lm", [None, scripted(SGD)], ids=["none", "scripted"])
def test_a_load_drops_what_is_on_its_way_and_leaves_the_weights_that_were_loaded(lm):
    model = models.make("mlp")
    agent, (weights, state) = spoilt_under_way(model, lm)
    model.load_state_dict(weights)

    agent.load_state_dict(state)

    assert all(map(torch.equal, weights.values(), model.state_dict().values()))
    assert 0 == agent.rollbacks
    assert ["applied"] * (lm is not None) == [each.verdict for each in agent.decisions]
    train(agent, model, 8)
    agent.close()
    assert 0 == agent.rollbacks
    assert ["applied"] * (lm is not None) == [each.verdict for each in agent.decisions]


@pytest.mark.parametrize("lm", [None, scripted(SGD)], ids=["none", "scripted"])
def test_priming_drops_what_is_on_its_way(lm):
    model = models.make("mlp")
    agent, (weights, _) = spoilt_under_way(model, lm)
    model.load_state_dict(weights)

    agent.prime(MOMENTUM)

    assert all(map(torch.equal, weights.values(), model.state_dict().values()))
    assert MOMENTUM == agent.optimizer.running.source
    agent.close()
    assert 0 == agent.rollbacks
    reasons = [each.reason for each in agent.decisions]
    assert ["another rule was primed"] * (lm is not None) == reasons


@pytest.mark.parametrize("told", ["a loss", "weights"])
def test_the_loops_own_exception_is_not_hidden_by_what_a_device_tells_late(told):
    model = models.make("mlp")
    agent = attach(model, sgd(model), models.objective, lm=None, max_rollbacks=0)
    late(agent, LateDevice(), most_late=9)
    with pytest.raises(KeyError, match="the loop's own") as caught, agent:
        train(agent, model, 12, spoilt=[11] if told == "a loss" else [])
        if told == "weights":
            hook = model[0].weight.register_hook(lambda each: each * torch.nan)
            train(agent, model, 1)
            hook.remove()
        raise KeyError("the loop's own")

    assert agent.closed
    assert ["diverged again" in each for each in caught.value.__notes__] == [True]
    assert all(each.isfinite().all() for each in model.parameters())

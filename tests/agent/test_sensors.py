"""Rules with sensors behind an agent: dry run, live, saved, resumed, replayed."""

import pytest
import torch

from dux_agent.exporting.module_text import export
from dux_agent.runs.replaying import replay
from dux_agent.runs.training import resume, train
from dux_prompts.brief import render_system
from tests import models
from tests.dying import Died, dying
from tests.observations import first
from tests.rule_with_sensors import SENSORS, SOURCE
from tests.sandbox.test_sensed_rule import built, loss_of
from tests.talking import agent_over, scripted

KINDS = pytest.mark.parametrize("execution", ["inline", "isolated", "recorded"])
TASK = "tests.foreign_tasks:build"
OTHER = SOURCE.replace("lr=0.1", "lr=0.05")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DUX_CACHE", str(tmp_path_factory.mktemp("cache")))


def run(agent, steps):
    """Train on one batch again and again: a dry run meets the same; the losses."""
    [batch] = models.batches(1)
    return [float(agent.step(batch)) for _ in range(steps)]


def agent(execution, *sources):
    model = models.make("mlp")
    options = {"execution": execution, "total_steps": 60, "dry_run_steps": 3}
    return model, agent_over(model, *sources, accept="finite", **options)


@KINDS
def test_live_a_rule_sees_what_it_saw_in_its_dry_run(execution):
    _, one = agent(execution, SOURCE, OTHER)

    with one:
        run(one, 6)
        for decision in (one.decide(), one.decide()):
            assert "applied" == decision.verdict, decision.reason
        tried = one.decisions[-1].attempts[-1]["losses"]
        losses = run(one, 6)

    assert tried[:3] == losses[:3]
    assert all(SENSORS[0] not in group for group in one.optimizer.param_groups)


@KINDS
def test_of_a_rule_that_is_live_the_dry_run_goes_on(execution):
    model, one = agent(execution, SOURCE, OTHER)

    with one:
        run(one, 6)
        one.decide()
        run(one, 6)
        before = [each.clone() for each in model.parameters()]
        one.decide()
        told = one.decisions[-1].attempts[-1]["incumbent_losses"]
        assert all(map(torch.equal, before, model.parameters()))
    _, twin = agent(execution, SOURCE)  # goes on with the incumbent alone
    with twin:
        run(twin, 6)
        twin.decide()
        run(twin, 6)
        losses = run(twin, 3)

    assert told[:3] == losses


@KINDS
def test_a_checkpoint_holds_what_the_sensors_have_learned_and_no_key(execution):
    model, one = agent(execution, SOURCE)
    other, again = agent(execution, SOURCE)

    with one, again:
        run(one, 6)
        one.decide()
        run(one, 5)
        other.load_state_dict(model.state_dict())
        saved = one.state_dict()
        again.load_state_dict(saved)
        there, here = run(one, 6), run(again, 6)

    assert there == here
    groups = saved["optimizer"]["param_groups"]
    assert all(name not in group for group in groups for name in SENSORS)


@KINDS
def test_a_run_resumes_and_replays_and_its_module_steps_alike(execution, tmp_path):
    options = {"execution": execution, "accept": "finite", "epochs": 2}
    model = scripted(SOURCE)
    whole = train(TASK, lm=model, run_dir=tmp_path / "whole", **options)
    with pytest.raises(Died):
        train(TASK, lm=model, run_dir=tmp_path / "died", on_event=dying(12), **options)

    again = replay(tmp_path / "whole", execution=execution)
    resumed = resume(tmp_path / "died", lm=model, execution=execution)

    assert () == again.differences
    assert [each.train for each in whole.epochs] == [
        each.train for each in resumed.epochs
    ]
    text = export(tmp_path / "whole")
    assert "dux_" not in text and "give_sensors(Sensed" in text
    assert "16 steps in all" in text and "observe(loss)" in text


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run whose rule goes live at step 8 of 16."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"execution": "inline", "accept": "finite", "epochs": 2}
    train(TASK, lm=scripted(SOURCE), run_dir=folder, **options)
    return folder


def stepped(model, optimizer, tell, steps=6):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        tell(float(loss.detach()))


def test_an_exported_rule_tells_itself_the_same(recorded):
    made = {}
    exec(compile(export(recorded), "exported", "exec"), made)
    ours, rule, _ = built("inline")
    rule.sensing.done, rule.sensing.total = 8, 16
    theirs, _, _ = built("inline")
    exported = made["Sensed"](theirs.parameters())

    stepped(ours, rule, rule.hear)
    stepped(theirs, exported, exported.observe)

    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert {*SENSORS}.isdisjoint(exported.state_dict()["param_groups"][0])


def test_an_exported_schedule_gives_each_rule_its_sensors(recorded):
    made = {}
    exec(compile(export(recorded, schedule=True), "exported", "exec"), made)
    model, _, _ = built("inline")
    optimizer = made["Schedule"](model.parameters())

    stepped(model, optimizer, lambda loss: None, steps=12)

    assert 11 / 16 == optimizer._rule.fraction
    assert {*SENSORS}.isdisjoint(optimizer.state_dict()["param_groups"][0])


def test_the_prompt_names_every_sensor():
    prompt = render_system(first())

    assert all(name in prompt for name in SENSORS)

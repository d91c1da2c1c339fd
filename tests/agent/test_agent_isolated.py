"""Isolated execution through the whole agent: the rule never runs in this process."""

import os
import sys

import pytest
import torch

from dux_agent import attach
from dux_sandbox import Limits
from tests import models, sources
from tests.swapping import MOMENTUM, SGD, after, train
from tests.talking import agent_over, run, scripted, sgd
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="isolated rules need Linux"
)


def isolated(model, *replies, **options):
    return agent_over(model, *replies, execution="isolated", **options)


@pytest.mark.parametrize("kind", ["mlp", "batch norm", "tied", "parametrised"])
def test_an_isolated_run_is_the_inline_run_to_the_last_bit(kind):
    one, other = models.make(kind), models.make(kind)
    torch.manual_seed(2)
    with agent_over(one, MOMENTUM) as inline:
        run(inline, 5)
        inline.decide()
        run(inline, 10)
    torch.manual_seed(2)
    with isolated(other, MOMENTUM) as apart:
        run(apart, 5)
        decision = apart.decide()
        live = apart.optimizer.running
        run(apart, 10)

    assert ("applied", False) == (decision.verdict, live.runs_here)
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert all(map(torch.equal, one.buffers(), other.buffers()))


@pytest.mark.parametrize(
    ("harm", "mode"), [("", "recorded"), ("p.add_(p.unique().sum() * 0.0)", "isolated")]
)
def test_auto_is_recorded_where_that_is_the_rule_and_else_isolated(harm, mode):
    model = models.make("mlp")
    source = after(0, harm) if harm else MOMENTUM
    with attach(model, sgd(model), models.objective, lm=scripted(source)) as agent:
        run(agent, 4)
        agent.decide()
        live = agent.optimizer.running

        assert (mode, False) == (live.mode, live.runs_here)


def test_closing_ends_the_process_and_leaves_the_parameters_where_they_are():
    model = models.make("mlp")
    agent = isolated(model, MOMENTUM)
    run(agent, 5)
    agent.decide()
    run(agent, 5)
    child = agent.optimizer.running.pid
    before = [p.detach().clone() for p in model.parameters()]
    pointers = [p.data_ptr() for p in model.parameters()]

    agent.close()
    state = agent.optimizer.state_dict()

    assert all(map(torch.equal, before, model.parameters()))
    assert pointers == [p.data_ptr() for p in model.parameters()]
    assert not any(p.is_shared() for p in model.parameters())
    wait_until(lambda: not os.path.exists(f"/proc/{child}"))
    assert 4 == len(state["state"])
    with pytest.raises(RuntimeError, match="the agent is closed"):
        agent.optimizer.step()


@pytest.mark.parametrize(
    "harm", ['p.fill_(float("nan"))', "p.mul_(50.0)", "state['nothing']"]
)
def test_late_harm_of_an_isolated_rule_is_rolled_back(harm):
    model = models.make("mlp")
    with isolated(model, after(20, harm)) as agent:
        calm = run(agent, 20)
        decision = agent.decide()
        losses = run(agent, 50)

    assert "rolled_back" == decision.verdict
    assert agent.optimizer.running is agent.optimizer.base_rule
    assert losses[-1] <= calm[-1]


def test_an_isolated_rule_that_dies_in_its_first_live_step_leaves_no_trace():
    model, twin = models.make("dropout"), models.make("dropout")
    torch.manual_seed(3)
    with isolated(model, MOMENTUM) as agent:
        run(agent, 4)
        decision = agent.decide()
        os.kill(agent.optimizer.running.pid, 9)
        run(agent, 6, first=4)
    ended = torch.get_rng_state()
    torch.manual_seed(3)
    plain = sgd(twin)
    train(plain, twin, 10)

    assert "rolled_back" == decision.verdict
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert torch.equal(ended, torch.get_rng_state())


@pytest.mark.parametrize("kind", sources.ENDLESS)
def test_a_rule_without_an_end_in_the_live_run_is_ended_by_its_deadline(kind):
    model = models.make("mlp")
    hangs = sources.endless(kind, since=15)
    limits = Limits(step_seconds=1.0)
    with isolated(model, hangs, limits=limits) as agent:
        run(agent, 5)
        decision = agent.decide()
        run(agent, 21)

    assert "rolled_back" == decision.verdict
    assert "[time] it used more than 1.00 s" in decision.reason


def test_a_rule_that_turns_too_often_in_the_live_run_is_ended_without_a_clock():
    model = models.make("mlp")
    turns = after(15, "while self.t > 0:\n                        self.t = self.t + 1")
    with isolated(model, turns, limits=Limits(step_seconds=600.0)) as agent:
        run(agent, 5)
        decision = agent.decide()
        run(agent, 21)

    assert "rolled_back" == decision.verdict
    assert "[turns] its while loops took more than 100000 turns" in decision.reason


def test_a_child_that_is_killed_gives_way_to_the_incumbent():
    model = models.make("mlp")
    with isolated(model, MOMENTUM) as agent:
        run(agent, 5)
        decision = agent.decide()
        run(agent, 5)
        os.kill(agent.optimizer.running.pid, 9)
        losses = run(agent, 5)

    assert "rolled_back" == decision.verdict
    assert losses[-1] < 10


def test_rules_come_and_go_and_no_parameter_is_moved():
    model = models.make("mlp")
    pointers = [p.data_ptr() for p in model.parameters()]
    with isolated(model, MOMENTUM, SGD) as agent:
        run(agent, 4)
        agent.decide()
        run(agent, 4)
        assert pointers == [p.data_ptr() for p in model.parameters()]
        agent.decide()
        run(agent, 4)
        assert pointers == [p.data_ptr() for p in model.parameters()]
        agent.optimizer.guard.breach("for the test")
        run(agent, 4)
        assert pointers == [p.data_ptr() for p in model.parameters()]

    assert ["applied", "rolled_back"] == [each.verdict for each in agent.decisions]


def test_the_trainer_never_executes_generated_code():
    names = set()

    def tracer(frame, event, argument):
        if event == "call":
            names.add(frame.f_code.co_filename)

    model = models.make("mlp")
    with isolated(model, MOMENTUM) as agent:
        run(agent, 4)
        sys.setprofile(tracer)
        try:
            decision = agent.decide()
            run(agent, 5)
            agent.state_dict()
        finally:
            sys.setprofile(None)

    assert "applied" == decision.verdict
    assert not [name for name in names if name.startswith("<rule")]
    assert any("isolated.py" in name for name in names)


def test_an_isolated_agent_is_saved_and_goes_on_elsewhere():
    whole, half, rest = (models.make("mlp") for _ in range(3))
    with isolated(whole, MOMENTUM, every=6) as agent:
        expected = run(agent, 11)
    with isolated(half, MOMENTUM, every=6) as agent:
        run(agent, 8)
        saved, weights = agent.state_dict(), half.state_dict()
        agent.load_state_dict(saved)
        assert expected[8:] == run(agent, 3, first=8)
    rest.load_state_dict({k: v.clone() for k, v in weights.items()})
    assert "applied" == agent.decisions[0].verdict


def test_the_agent_works_with_a_closure():
    model = models.make("mlp")
    batch = models.batches()[0]
    with attach(
        model, sgd(model), models.objective, lm=scripted(MOMENTUM), every=4
    ) as agent:

        def closure():
            agent.optimizer.zero_grad()
            loss = models.objective(model, batch)
            loss.backward()
            return loss

        losses = []
        for _ in range(12):
            loss = agent.optimizer.step(closure)
            agent.observe(loss, batch)
            losses.append(float(loss.detach() if hasattr(loss, "detach") else loss))

    assert {"applied"} == {each.verdict for each in agent.decisions}
    assert losses[-1] < losses[0]

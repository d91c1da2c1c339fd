"""A checkpoint that does not belong here is refused before anything changes."""

import copy
import json
import os
import signal
from itertools import product

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_agent.run_folder import trace
from tests import models
from tests.states import assert_same, through_torch
from tests.swapping import ADAM, MOMENTUM, SGD, live_over, train
from tests.talking import scripted

EXECUTIONS = ("inline", "isolated")
BASES = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}


def net(hidden=8, dtype=torch.float32, layers=2):
    torch.manual_seed(0)
    parts = [nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, 1)]
    if layers == 3:
        parts[1:1] = [nn.Linear(hidden, hidden)]
    return nn.Sequential(*parts).to(dtype)


OTHERS = {
    "wider": lambda: net(hidden=9),
    "another dtype": lambda: net(dtype=torch.float64),
    "more layers": lambda: net(layers=3),
    "turned round": lambda: nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1)),
}


def objective(model, batch):
    kind = next(model.parameters()).dtype
    inputs = batch[0].to(kind)
    if model[0].in_features != inputs.shape[1]:
        inputs = inputs.repeat(1, 2)[:, : model[0].in_features]
    return (model(inputs) - batch[1].to(kind)).square().mean()


def agent_over(model, *sources, base="sgd", execution="inline", **options):
    made = BASES[base](model.parameters())
    options = {"lm": scripted(*(sources or [SGD])), "execution": execution, **options}
    return attach(model, made, objective, **options)


def go(agent, steps):
    for _ in range(steps):
        agent.step(models.batches()[agent.step_count % 3])


def decided(model, *sources, steps=6, **options):
    """An agent some steps into the last of these rules, each applied in its turn."""
    agent = agent_over(model, *sources, **options)
    go(agent, steps)
    for _ in sources:
        assert "applied" == agent.decide().verdict
        go(agent, steps)
    return agent


def picture(agent):
    """Everything that a load may change."""
    live = agent.optimizer
    return {
        "state": copy.deepcopy(agent.state_dict(snapshots="all")),
        "weights": copy.deepcopy(agent.model.state_dict()),
        "gradients": [copy.copy(each.grad) for each in agent.model.parameters()],
        "dicts": [id(group) for group in live.param_groups],
        "rules": [id(live.running), id(live.guard.waiting), id(live.base)],
        "steps": [live.steps, agent.step_count],
        "owned": copy.deepcopy(live.owned),
        "decisions": [(id(each), repr(each)) for each in agent.decisions],
    }


SAVED = {"the base": (), "a rule": (MOMENTUM,), "two rules": (MOMENTUM, ADAM)}
HERE = {"the base": (), "a rule": (ADAM,)}


@pytest.mark.parametrize(
    "saved, here, other, execution",
    [
        *product(SAVED, HERE, OTHERS, ["inline"]),
        *product(SAVED, HERE, ["wider"], ["isolated"]),
    ],
)
def test_a_checkpoint_of_other_parameters_changes_nothing(
    saved, here, other, execution
):
    with decided(net(), *SAVED[saved], execution=execution) as agent:
        state = through_torch(agent.state_dict())
    with decided(OTHERS[other](), *HERE[here], execution=execution) as agent:
        before = picture(agent)

        with pytest.raises(ValueError, match="parameters") as whole:
            agent.load_state_dict(state)
        with pytest.raises(ValueError, match="parameters") as part:
            agent.optimizer.load_state_dict(state["optimizer"])

        assert str(whole.value) == str(part.value)
        assert_same(before, picture(agent))
        go(agent, 2)  # it trains on
        assert not agent.decisions or "applied" == agent.decisions[-1].verdict


def test_the_refusal_names_the_parameter_what_it_is_and_what_to_do():
    with decided(net(), MOMENTUM) as agent:
        state = agent.optimizer.state_dict()
    with agent_over(net(hidden=9)) as agent:
        with pytest.raises(ValueError) as refusal:
            agent.optimizer.load_state_dict(state)

    assert (
        "parameter 0 is (9, 6) float32 and was (8, 6) float32 in the checkpoint; the "
        "very parameters that it was taken over were wanted; load it over a model of "
        "the same shapes and dtypes. Nothing was changed."
    ) == str(refusal.value)


@pytest.mark.parametrize("base", list(BASES))
def test_a_plain_checkpoint_of_torch_over_other_shapes_is_refused(base):
    model = net()
    plain = BASES[base](model.parameters())
    for batch in models.batches():
        objective(model, batch).backward()
        plain.step()
    with decided(net(hidden=9), MOMENTUM, base=base) as agent:
        before = picture(agent)

        with pytest.raises(ValueError, match="was .* in the checkpoint"):
            agent.optimizer.load_state_dict(plain.state_dict())

        assert_same(before, picture(agent))


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_checkpoint_that_does_not_say_its_shapes_is_judged_by_its_state(execution):
    with decided(net(), ADAM, execution=execution) as agent:
        state = copy.deepcopy(agent.optimizer.state_dict())
    record = state["param_groups"][0]["dux"]
    kept = json.loads(record["kept"])
    del kept["makes"]  # as they were before
    record["kept"] = json.dumps(kept)

    with agent_over(net(hidden=9), execution=execution) as agent:
        with pytest.raises(ValueError, match="was .* in the checkpoint"):
            agent.optimizer.load_state_dict(state)
    with agent_over(net(), execution=execution) as agent:
        agent.optimizer.load_state_dict(state)

        assert ADAM.strip() == agent.optimizer.running.source.strip()


def without(name):
    return lambda state: state.pop(name)


def in_guard(name, value):
    return lambda state: state["guard"].update({name: value})


def in_record(state, name, value):
    record = state["optimizer"]["param_groups"][0]["dux"]
    record["kept"] = json.dumps({**json.loads(record["kept"]), name: value})


DAMAGE = {
    "no version": without("version"),
    "no optimizer": without("optimizer"),
    "no watch": without("watch"),
    "no batches": without("batches"),
    "no decisions": without("decisions"),
    "no chronicle": without("chronicle"),
    "no validations": without("validations"),
    "watch": lambda state: state["watch"].update(recent=3),
    "loop": lambda state: state["loop"].update(counts=7),
    "losses on their way": lambda state: state["loop"].update(
        coming=[[True, 1, 0.0, True, 7, 0.5]]
    ),
    "rates": lambda state: in_record(state, "rates", 3),
    "random": lambda state: state["random"].update(cpu=torch.zeros(2)),
    "decision": lambda state: state["decisions"][0].update(colour="red"),
    "guard without a judge": lambda state: state["guard"].pop("judge"),
    "guard of other weights": in_guard("snapshot", {"values": [torch.ones(1)] * 4}),
    "guard of other groups": in_guard("at_swap", {"options": "[]", "tensors": []}),
    "guard of another incumbent": in_guard("incumbent", {"source": "x"}),
    "shapes": lambda state: in_record(state, "makes", [1, 2]),
}


@pytest.mark.parametrize(
    "damage, execution",
    [
        *product(DAMAGE, ["inline"]),
        ("watch", "isolated"),
        ("guard of other weights", "isolated"),
        ("guard of another incumbent", "isolated"),
    ],
)
def test_a_damaged_part_is_refused_and_nothing_changes(damage, execution):
    with decided(net(), MOMENTUM, ADAM, execution=execution) as agent:
        state = through_torch(agent.state_dict())
    DAMAGE[damage](state)
    with decided(net(), ADAM, execution=execution) as agent:
        before = picture(agent)

        with pytest.raises((CheckpointRefused, ValueError)):
            agent.load_state_dict(state)

        assert_same(before, picture(agent))
        go(agent, 2)
        assert ADAM.strip() == agent.optimizer.running.source.strip()


class Picky(torch.optim.SGD):
    """A base whose load fails half way, as one of somebody else's may."""

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        raise RuntimeError("no")


def test_a_base_optimizer_that_refuses_a_checkpoint_is_left_as_it_was():
    model = net()
    live = live_over(model, Picky(model.parameters(), lr=0.02, momentum=0.9))
    train(live, model, 3)
    state = copy.deepcopy(live.state_dict())
    train(live, model, 2)
    before = copy.deepcopy(live.state_dict())
    groups = live.base.param_groups

    with pytest.raises(RuntimeError, match="no"):
        live.load_state_dict(state)

    assert_same(before, live.state_dict())
    assert live.base.param_groups is groups is live.param_groups


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_load_over_a_live_rule_says_that_it_ended(tmp_path, execution):
    path = tmp_path / "run"
    with decided(net(), MOMENTUM, execution=execution, run_dir=path) as agent:
        state = copy.deepcopy(agent.optimizer.state_dict())
        agent.optimizer.load_state_dict(state)  # its own: it goes on
        assert ["applied"] == [each.verdict for each in agent.decisions]
        plain = BASES["sgd"](net().parameters())

        agent.optimizer.load_state_dict(plain.state_dict())

        (decision,) = agent.decisions
        assert ("rolled_back", "a checkpoint was loaded") == (
            decision.verdict,
            decision.reason,
        )
    told = [event for event in trace.read(path) if event.kind == "rollback"]
    assert ["a checkpoint was loaded"] == [event.data["reason"] for event in told]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_rule_that_came_by_a_checkpoint_does_not_end_without_a_word(
    tmp_path, execution
):
    with decided(net(), MOMENTUM, execution=execution) as agent:
        state = copy.deepcopy(agent.optimizer.state_dict())
    path = tmp_path / "run"
    with agent_over(net(), ADAM, execution=execution, run_dir=path) as agent:
        agent.optimizer.load_state_dict(state)
        go(agent, 2)
        agent.optimizer.guard.breach("for the test")
        go(agent, 1)
        decision = agent.decide()

        first = agent.decisions[0]
        assert ("rolled_back", "for the test") == (first.verdict, first.reason)
        assert MOMENTUM.strip() == first.source.strip()
        assert (1, 2) == (first.number, decision.number)
    told = [event for event in trace.read(path) if event.kind == "rollback"]
    assert [(1, first.digest)] == [
        (event.decision, event.data["digest"]) for event in told
    ]


def killed(rule):
    os.kill(rule.pid, signal.SIGKILL)


def test_an_incumbent_that_died_while_it_waited_is_told_of(tmp_path):
    path = tmp_path / "run"
    sources = (MOMENTUM, ADAM)
    with decided(net(), *sources, execution="isolated", run_dir=path) as agent:
        killed(agent.optimizer.guard.waiting)

        state = agent.state_dict()
        agent.optimizer.guard.breach("for the test")

        assert state["guard"]["incumbent"] is None
        assert agent.optimizer.running is agent.optimizer.base_rule
        assert ["applied", "rolled_back"] == [x.verdict for x in agent.decisions]
    errors = [event for event in trace.read(path) if event.kind == "error"]
    assert [(1, "incumbent")] == [(e.decision, e.data["error"]) for e in errors]
    assert "failed while it waited" in errors[0].data["message"]


def test_an_incumbent_that_is_found_dead_at_a_rollback_is_told_of():
    with decided(net(), MOMENTUM, ADAM, execution="isolated") as agent:
        killed(agent.optimizer.guard.waiting)

        agent.optimizer.guard.breach("for the test")
        go(agent, 2)

        assert agent.optimizer.running is agent.optimizer.base_rule
        assert ["rolled_back"] * 2 == [each.verdict for each in agent.decisions]
        assert "for the test" == agent.decisions[1].reason
        assert "the rule failed" in agent.decisions[0].reason


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_new_group_takes_the_incumbent_away_and_says_so(tmp_path, execution):
    path = tmp_path / "run"
    model = net()
    model[2].requires_grad_(False)
    base = torch.optim.SGD(model[0].parameters(), lr=0.02)
    lm = scripted(MOMENTUM, ADAM)
    options = {"lm": lm, "execution": execution, "run_dir": path}
    with attach(model, base, objective, **options) as agent:
        for _ in range(2):
            go(agent, 4)
            agent.decide()
        go(agent, 2)
        model[2].requires_grad_(True)

        agent.optimizer.add_param_group({"params": list(model[2].parameters())})
        go(agent, 2)
        agent.optimizer.guard.breach("for the test")

        assert ["applied", "rolled_back"] == [x.verdict for x in agent.decisions]
        assert agent.optimizer.running is agent.optimizer.base_rule
    errors = [event for event in trace.read(path) if event.kind == "error"]
    assert "a parameter group was added" in errors[0].data["message"]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_rule_whose_state_cannot_be_fetched_leaves_a_decision(execution):
    with decided(net(), MOMENTUM, execution=execution) as agent:
        if execution == "isolated":
            killed(agent.optimizer.running)
        else:
            agent.optimizer.running.snapshot = failing
            agent.optimizer.rule_state()

        agent.state_dict()

        (decision,) = agent.decisions
        assert "rolled_back" == decision.verdict
        assert "the rule failed" in decision.reason


def failing():
    from dux_sandbox.findings import Finding, RuleFailed

    raise RuleFailed(Finding("died", None, "it is gone"))


def test_a_rule_that_is_found_dead_at_the_close_leaves_a_decision(tmp_path):
    path = tmp_path / "run"
    agent = decided(net(), MOMENTUM, execution="isolated", run_dir=path)
    killed(agent.optimizer.running)

    agent.close()

    assert "rolled_back" == agent.decisions[0].verdict
    assert "rollback" in [event.kind for event in trace.read(path)]

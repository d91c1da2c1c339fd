"""A rule is built over the live groups before a decision is over, and let go again."""

import pytest
import torch

from dux_agent import attach
from dux_agent.live.swap import rehearse
from dux_agent.run_folder import trace
from dux_sandbox.findings import Finding, RuleFailed
from tests import models
from tests.loops.ends import assert_same, ends
from tests.sources import MOMENTUM, SGD
from tests.swapping import live_over
from tests.talking import run, scripted, sgd

WRITES_IN_INIT = SGD.replace(
    "super().__init__(params, dict(lr=lr))",
    "super().__init__(params, dict(lr=lr))\n"
    "        for group in self.param_groups:\n"
    "            for p in group['params']:\n"
    "                p.data.mul_(2.0 * torch.rand(()))\n"
    "                group['mine'] = 1",
)
FAILS_IN_INIT = WRITES_IN_INIT.replace("= 1", "= 1 / 0")
FULL = Finding("memory", None, "the machine is full", "a rule with less state")


def failing_once(agent, *fails):
    """The agent's optimizer builds no rule at those calls, counted from 0."""
    build, calls = agent.optimizer.build, []

    def failing(source, groups):
        calls.append(source)
        if len(calls) - 1 in fails:
            raise RuleFailed(FULL)
        return build(source, groups)

    agent.optimizer.build = failing
    return calls


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (SGD, None),
        (WRITES_IN_INIT, None),
        (FAILS_IN_INIT, "init"),
        ("import os", "import"),
    ],
)
def test_a_rehearsal_leaves_everything_as_it_was(source, rule):
    model = models.make("mlp")
    live = live_over(model, sgd(model))
    groups = [dict(group) for group in live.param_groups]
    before, drawn = ends(model), torch.get_rng_state()

    fault = rehearse(live, source)

    assert rule == (None if fault is None else fault.rule)
    assert_same(before, ends(model))
    assert groups == [dict(group) for group in live.param_groups]
    assert torch.equal(drawn, torch.get_rng_state())
    assert live.running is live.base_rule


@pytest.mark.parametrize("execution", ["inline", "isolated"])
@pytest.mark.parametrize("background", [False, True])
def test_a_source_that_cannot_be_built_costs_a_try(tmp_path, execution, background):
    model = models.make("mlp")
    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(MOMENTUM, SGD),
        run_dir=tmp_path / "run",
        execution=execution,
        background=background,
        accept="finite",
    ) as agent:
        run(agent, 4)
        failing_once(agent, 0)
        decision = agent.decide()
        while not agent.decisions:
            run(agent, 1)

    assert "applied" == decision.verdict
    stages = [each["stage"] for each in decision.attempts]
    assert ["apply", "dry_run"] == stages
    events = list(trace.read(tmp_path / "run" / "trace.jsonl"))
    told = [e.data for e in events if e.kind == "error"]
    digest = decision.attempts[0]["digest"]
    assert [{"error": "build", "message": str(FULL), "digest": digest}] == told
    prompts = [e.data["messages"][-1]["content"] for e in events if e.kind == "prompt"]
    assert "the machine is full" in prompts[1]


def test_a_swap_that_fails_after_all_is_rolled_back(tmp_path):
    model = models.make("mlp")
    with attach(
        model,
        sgd(model),
        models.objective,
        lm=scripted(SGD),
        run_dir=tmp_path / "run",
        execution="inline",
    ) as agent:
        run(agent, 4)
        before = ends(model)
        calls = failing_once(agent, 1)
        decision = agent.decide()

        assert 2 == len(calls)
        assert "rolled_back" == decision.verdict
        assert "the machine is full" in decision.reason
        assert agent.optimizer.running is agent.optimizer.base_rule
        assert_same(before, ends(model))
        run(agent, 2)
    kinds = [each.kind for each in trace.read(tmp_path / "run" / "trace.jsonl")]
    assert "rollback" in kinds

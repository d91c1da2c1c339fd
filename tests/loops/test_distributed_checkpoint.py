"""torch.distributed.checkpoint brings a live rule back in a fresh process."""

import copy
import subprocess
import sys
import warnings
from itertools import product

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)

from dux_agent import attach
from dux_agent.errors import BadArgument
from dux_agent.live.saved_checkpoint import CheckpointRefused
from dux_sandbox.findings import RuleFailed, SourceRejected, digest_of
from tests import models
from tests.swapping import ADAM, MOMENTUM, SGD
from tests.talking import scripted

EXECUTIONS = ("inline", "isolated")
BASES = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.02),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}
# Keeps a tensor on itself that its first step makes, and an option of its own.
AVERAGING = MOMENTUM.replace(
    "        self.t = 0\n", "        self.t = 0\n        self.mean = []\n"
).replace(
    "        self.t += 1\n",
    "        self.t += 1\n"
    "        if not self.mean:\n"
    "            self.mean = [torch.zeros(3)]\n"
    "        self.mean[0].add_(0.1)\n",
)
RULES = {"adam": ADAM, "momentum": MOMENTUM, "no state": SGD, "attributes": AVERAGING}
# A step on no gradients and a rate of zero shows torch the state of a base optimizer.


def agent_over(*sources, base="momentum", execution="inline", **options):
    model = models.make("mlp")
    return attach(
        model,
        BASES[base](model.parameters()),
        models.objective,
        lm=scripted(*(sources or [SGD])),
        execution=execution,
        **options,
    )


def go(agent, steps):
    batches = models.batches()
    for _ in range(steps):
        agent.step(batches[agent.optimizer.steps % 3])


def decided(source, **options):
    agent = agent_over(source, **options)
    go(agent, 5)
    assert "applied" == agent.decide().verdict
    go(agent, 4)
    return agent


def quietly(work, *arguments, **options):
    """torch's own checkpointing warns of its own storages and of one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work(*arguments, **options)


def save(agent, folder, **options):
    model, optimizer = get_state_dict(
        agent.model, agent.optimizer, options=StateDictOptions(**options)
    )
    state = {"model": model, "optimizer": optimizer}
    quietly(dcp.save, state, checkpoint_id=folder, no_dist=True)


def load(agent, folder, **options):
    options = StateDictOptions(**options)
    model, optimizer = get_state_dict(agent.model, agent.optimizer, options=options)
    state = {"model": model, "optimizer": optimizer}
    quietly(dcp.load, state, checkpoint_id=folder, no_dist=True)
    set_state_dict(
        agent.model,
        agent.optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=options,
    )


FRESH = """
import sys
from pathlib import Path
import torch
from tests.loops import test_distributed_checkpoint as t
folder, base, execution, how = sys.argv[1:]
agent = t.agent_over(base=base, execution=execution)
if how == "stateful":
    state = {"model": agent.model, "agent": agent.stateful()}
    t.quietly(t.dcp.load, state, checkpoint_id=folder, no_dist=True)
else:
    print(agent.prime(Path(folder)))
    t.load(agent, folder)
print(agent.optimizer.running.digest)
t.go(agent, 4)
torch.save(agent.model.state_dict(), folder + "/after.pt")
agent.close()
"""


def in_a_fresh_process(folder, base, execution, how):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FRESH, folder, base, execution, how],
        env={"PYTHONPATH": ":".join(each for each in sys.path if each)},
        capture_output=True,
        text=True,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return done.stdout, torch.load(folder / "after.pt", weights_only=True)


def same(weights, agent):
    held = agent.model.state_dict()
    return all(torch.equal(value, held[name]) for name, value in weights.items())


@pytest.mark.parametrize(
    "rule, base, execution",
    [("adam", "sgd", "isolated"), ("attributes", "adamw", "inline")],
)
def test_a_rule_comes_back_in_a_fresh_process(rule, base, execution, tmp_path):
    with decided(RULES[rule], base=base, execution=execution) as agent:
        save(agent, tmp_path)

        told, weights = in_a_fresh_process(tmp_path, base, execution, "nested")
        go(agent, 4)

        assert same(weights, agent)
        assert agent.optimizer.running.digest in told
        assert "Primed(digest=" in told


def test_a_flattened_state_has_lost_the_rule_and_is_refused(tmp_path):
    with decided(ADAM) as agent, agent_over() as fresh:
        save(agent, tmp_path, flatten_optimizer_state_dict=True)
        fresh.prime(tmp_path)

        with pytest.raises(ValueError, match="tells of no rule .* lack .*momentum"):
            load(fresh, tmp_path, flatten_optimizer_state_dict=True)

        assert agent.optimizer.running.digest == fresh.optimizer.running.digest
        go(fresh, 1)


def test_an_agent_as_one_entry_comes_back_in_a_fresh_process(tmp_path):
    with decided(ADAM, execution="isolated") as agent:
        state = {"model": agent.model, "agent": agent.stateful()}
        quietly(dcp.save, state, checkpoint_id=tmp_path, no_dist=True)

        _, weights = in_a_fresh_process(tmp_path, "momentum", "isolated", "stateful")
        go(agent, 4)

        assert same(weights, agent)


def test_an_agent_as_one_entry_needs_no_priming(tmp_path):
    with decided(ADAM) as agent, agent_over() as fresh:
        state = {"model": agent.model, "agent": agent.stateful()}
        quietly(dcp.save, state, checkpoint_id=tmp_path, no_dist=True)
        there = {"model": fresh.model, "agent": fresh.stateful()}

        quietly(dcp.load, there, checkpoint_id=tmp_path, no_dist=True)
        go(agent, 3)
        go(fresh, 3)

        assert same(agent.model.state_dict(), fresh)


def test_an_entry_that_holds_no_agent_is_refused():
    with agent_over() as agent:
        with pytest.raises(CheckpointRefused, match="it holds no agent"):
            agent.stateful().load_state_dict({"agent": 3})


@pytest.mark.parametrize(
    "rule, base, execution",
    [*product(RULES, BASES, ["inline"]), *product(RULES, ["sgd"], ["isolated"])],
)
def test_every_rule_comes_back_over_every_base(rule, base, execution, tmp_path):
    with (
        decided(RULES[rule], base=base, execution=execution) as agent,
        agent_over(base=base, execution=execution) as fresh,
    ):
        save(agent, tmp_path)

        fresh.prime(tmp_path)
        load(fresh, tmp_path)
        go(agent, 4)
        go(fresh, 4)

        assert agent.optimizer.running.digest == fresh.optimizer.running.digest
        assert same(agent.model.state_dict(), fresh)


def test_a_checkpoint_of_the_base_optimizer_needs_no_rule(tmp_path):
    with agent_over(base="adamw") as agent, agent_over(base="adamw") as fresh:
        go(agent, 5)
        save(agent, tmp_path)

        primed = fresh.prime(tmp_path)
        load(fresh, tmp_path)
        go(agent, 3)
        go(fresh, 3)

        assert primed.digest is None
        assert same(agent.model.state_dict(), fresh)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("before", ["base", "rule"])
def test_priming_moves_nothing_and_says_what_it_did(before, execution):
    agent = agent_over(MOMENTUM, execution=execution)
    with agent:
        go(agent, 4)
        if before == "rule":
            agent.decide()
            go(agent, 3)
        agent.optimizer.zero_grad()
        models.objective(agent.model, models.batches()[0]).backward()
        weights = copy.deepcopy(agent.model.state_dict())
        gradients = [each.grad.clone() for each in agent.model.parameters()]
        drawn, steps = torch.get_rng_state(), agent.optimizer.steps

        primed = agent.prime(ADAM)

        now = [each.grad for each in agent.model.parameters()]
        assert same(weights, agent)
        assert all(map(torch.equal, gradients, now))
        assert torch.equal(drawn, torch.get_rng_state())
        assert steps == agent.optimizer.steps
        assert digest_of(ADAM) == primed.digest == agent.optimizer.running.digest
        assert ("exp_avg", "exp_avg_sq", "step") == primed.state
        assert {"lr", "betas", "eps"} <= set(primed.options)
        told = [each.verdict for each in agent.decisions]
        assert (["rolled_back"] if before == "rule" else []) == told


GIVEN = {
    "text": lambda agent: agent.optimizer.running.source,
    "state_dict": lambda agent: agent.optimizer.state_dict(),
    "the agent's": lambda agent: agent.state_dict(),
    "torch's": lambda agent: get_state_dict(agent.model, agent.optimizer)[1],
    "all of it": lambda agent: {
        "optimizer": get_state_dict(agent.model, agent.optimizer)[1]
    },
}


@pytest.mark.parametrize("form", list(GIVEN))
def test_a_rule_is_found_in_every_form_of_it(form):
    with decided(ADAM) as agent, agent_over() as fresh:
        primed = fresh.prime(GIVEN[form](agent))

        assert agent.optimizer.running.digest == primed.digest


@pytest.mark.parametrize(
    "given, error, said",
    [
        ("import os\n" + SGD, SourceRejected, "import"),
        (MOMENTUM.replace("self.t = 0", "self.t = 1 // 0"), RuleFailed, "Zero"),
        (MOMENTUM.replace("self.t += 1", "1 // 0"), RuleFailed, "Zero"),
        ({}, BadArgument, "a dict without a rule"),
        (3, BadArgument, "an int without a rule|a int without a rule"),
        (
            {"param_groups": [{"dux": {"source": SGD, "digest": "0"}}]},
            CheckpointRefused,
            "digest names",
        ),
    ],
)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_what_cannot_be_primed_is_refused_and_nothing_changes(
    given, error, said, execution
):
    with decided(ADAM, execution=execution) as agent:
        before = copy.deepcopy(agent.model.state_dict())
        digest = agent.optimizer.running.digest

        with pytest.raises(error, match=said):
            agent.prime(given)

        assert same(before, agent)
        assert digest == agent.optimizer.running.digest
        assert ["applied"] == [each.verdict for each in agent.decisions]
        go(agent, 2)
        assert digest == agent.optimizer.running.digest


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with agent_over() as agent:
        with pytest.raises(BadArgument, match="holds no distributed checkpoint"):
            agent.prime(tmp_path)
        quietly(
            dcp.save,
            {"model": agent.model.state_dict()},
            checkpoint_id=tmp_path,
            no_dist=True,
        )
        with pytest.raises(BadArgument, match="holds no live optimizer"):
            agent.prime(str(tmp_path))


def test_a_primed_rule_is_guarded():
    with agent_over(execution="inline") as agent:
        go(agent, 3)
        agent.prime(ADAM)
        go(agent, 3)

        agent.optimizer.guard.breach("for the test")

        assert agent.optimizer.running is agent.optimizer.base_rule
        assert ["rolled_back"] == [each.verdict for each in agent.decisions]

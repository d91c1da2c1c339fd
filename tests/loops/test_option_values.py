"""Whatever a rule leaves in its groups, schedulers go on and their keys stay."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from tests import models
from tests.rule_sources import rule
from tests.talking import agent_over, run

MODES = pytest.mark.parametrize("mode", ["inline", "isolated"])

# A rate that no scheduler can go on from; `p` is a parameter, `group` its group.
NO_RATES = {
    "parameter": "p",
    "weight_of_a_parameter": "p.view(-1)[0]",
    "weight_of_its_data": "p.data.view(-1)[0]",
    "scalar_parameter": "self.param_groups[0]['params'][-1].data.view(())",
    "weight_of_a_gradient": "p.grad.view(-1)[0]",
    "state": "self.keep(p)",
    "meta": "torch.zeros((), device='meta')",
    "complex_tensor": "torch.tensor(1j)",
    "boolean_tensor": "torch.tensor(True)",
    "matrix": "torch.full((2, 2), 0.01)",
    "one_by_one": "torch.full((1, 1), 0.01)",
    "vector_of_one": "torch.full((1,), 0.01)",
    "part_of_a_vector": "torch.full((3,), 0.01)[1]",
    "infinite_tensor": "torch.tensor(math.inf)",
    "infinite": "math.inf",
    "minus_infinite": "-math.inf",
    "not_a_number": "math.nan",
    "huge": "int('9' * 400)",
    "near_the_largest_float": "1e308",
    "near_the_least_float": "-1e308",
    "near_the_largest_integer": "10**308",
    "large_tensor": "torch.tensor(1e38)",
    "text": "'0.01'",
    "none": "None",
    "boolean": "True",
    "complex": "1j",
    "list": "[0.01]",
    "dict": "{'lr': 0.01}",
    "tuple": "(0.01,)",
}
SCHEDULERS = {
    "step": lambda live: lr_scheduler.StepLR(live, 2),
    "exponential": lambda live: lr_scheduler.ExponentialLR(live, 0.9),
    "lambda": lambda live: lr_scheduler.LambdaLR(live, lambda epoch: 0.9**epoch),
    "cosine": lambda live: lr_scheduler.CosineAnnealingLR(live, 20),
    "linear": lambda live: lr_scheduler.LinearLR(live, 0.5, total_iters=9),
    "one_cycle": lambda live: lr_scheduler.OneCycleLR(live, 0.05, total_steps=60),
    "cyclic": lambda live: lr_scheduler.CyclicLR(live, 0.01, 0.05, 3),
    "plateau": lambda live: lr_scheduler.ReduceLROnPlateau(live, patience=0),
}
KEEP = """
def keep(self, p):
    self.state[p]["rate"] = torch.full((), 0.01)
    return self.state[p]["rate"]
"""


def late(statement: str, **parts: str) -> str:
    """A rule that is honest for three steps and then says something to its group."""
    step = f"""
    self.t += 1
    if self.t > 3:
        {statement}
    for p in group["params"]:
        if p.grad is not None:
            p.add_(p.grad, alpha=-0.01)
    """
    return rule(step, methods=KEEP, **parts)


def at_once(rate: str) -> str:
    """A rule that is built with a rate of its own."""
    return late("pass").replace("dict(lr=lr)", f"dict(lr={rate})")


def go_on(agent, scheduler, steps=8):
    """Train with a scheduler; what the groups hold after every step."""
    held = []
    for step in range(steps):
        run(agent, 1, first=step)
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(1.0)
        else:
            scheduler.step()
        held.append(dict(agent.optimizer.param_groups[0]))
    return held


def play(source, mode, scheduler="exponential", before=None):
    """A training in which the rule of `source` goes live; its agent and its groups."""
    model = models.make("mlp")
    agent = agent_over(model, source, execution=mode, dry_run_steps=1, max_attempts=1)
    with agent:
        made = SCHEDULERS[scheduler](agent.optimizer)
        if before is not None:
            before(agent.optimizer.param_groups)
        go_on(agent, made, 2)
        agent.decide()
        held = go_on(agent, made)
        assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
        state = agent.optimizer.state_dict()
        agent.optimizer.load_state_dict(state)
    return agent, held


def assert_a_rate(rate, agent):
    assert type(rate) in (int, float, torch.Tensor)
    assert math.isfinite(rate)
    if isinstance(rate, torch.Tensor):
        assert () == rate.shape
        owners = [p.untyped_storage().data_ptr() for p in agent.model.parameters()]
        assert rate.untyped_storage().data_ptr() not in owners


@MODES
@pytest.mark.parametrize("rate", NO_RATES)
def test_a_late_rate_that_is_none_is_rolled_back(rate, mode):
    source = late(f"p = group['params'][0]\n        group['lr'] = {NO_RATES[rate]}")

    agent, held = play(source, mode)

    for group in held:
        assert_a_rate(group["lr"], agent)
    # What crosses between processes is a copy: there the state's own is a number.
    if mode == "inline" or rate != "state":
        assert ["rolled_back"] == [each.verdict for each in agent.decisions]
        assert "lr" in agent.decisions[0].reason


@MODES
@pytest.mark.parametrize(
    "rate",
    ["params", "math.inf", "math.nan", "int('9' * 400)", "'x'", "True", "1j"]
    + ["torch.ones(2, 2)", "torch.tensor(1j)", "torch.zeros((), device='meta')"],
)
def test_a_rule_that_is_built_with_no_rate_is_refused(rate, mode):
    agent, held = play(at_once(rate), mode)

    assert ["kept"] == [each.verdict for each in agent.decisions]
    for group in held:
        assert_a_rate(group["lr"], agent)


@MODES
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    "statement",
    [
        "group['lr'] = math.inf",
        "group['lr'] = group['params'][0].view(-1)[0]",
        "del group['lr']",
        "group.pop('lr')",
        "group['initial_lr'] = 'x'",
        "group['initial_lr'] = group['max_lr'] = group['min_lr'] = None",
        "group['max_momentum'] = group['base_momentum'] = 'x'",
        "group['betas'] = 'x'",
        "group['betas'] = 0.9",
        "group['betas'] = ()",
        "group['momentum'] = 'x'",
        "[group.pop(k) for k in list(group) if k not in ('params', 'lr')]",
        "[group.update({k: None}) for k in list(group) if k not in ('params', 'lr')]",
    ],
)
def test_every_scheduler_goes_on_whatever_a_rule_did(statement, scheduler, mode):
    source = late(statement).replace(
        "dict(lr=lr)", "dict(lr=lr, momentum=0.9, betas=(0.9, 0.99))"
    )

    agent, held = play(source, mode, scheduler)

    for group in held:
        assert_a_rate(group["lr"], agent)
        for name in ("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"):
            if name in group:
                assert_a_rate(group[name], agent)


@MODES
@pytest.mark.parametrize("betas", ["'x'", "0.9", "()", "None", "(0.9, 'x')", "{}"])
def test_a_cycled_momentum_stays_what_a_scheduler_reads(betas, mode):
    source = late("pass").replace("dict(lr=lr)", f"dict(lr=lr, betas={betas})")

    def cycled(groups):
        for group in groups:
            group.update(max_momentum=0.95, base_momentum=0.85)
            group.setdefault("betas", (0.9, 0.99))

    _, held = play(source, mode, before=cycled)

    for group in held:
        assert 2 == len((0.5, *group["betas"][1:]))


@MODES
def test_a_schedulers_name_that_a_rule_brings_stays_with_the_rule(mode):
    source = late("group['initial_lr'] = 'x'\n        group['swa_lr'] = None")
    source = source.replace("dict(lr=lr)", "dict(lr=lr, max_lr='x', min_lr=None)")
    model = models.make("mlp")
    with agent_over(
        model, source, execution=mode, dry_run_steps=1, max_attempts=1
    ) as agent:
        run(agent, 2)
        assert "applied" == agent.decide().verdict
        run(agent, 6)

        held = set(agent.optimizer.param_groups[0])
        scheduler = lr_scheduler.OneCycleLR(
            agent.optimizer, 0.05, total_steps=20, cycle_momentum=False
        )
        go_on(agent, scheduler)

    assert not held & {"initial_lr", "max_lr", "min_lr", "swa_lr"}


@MODES
def test_honest_rates_are_left_alone(mode):
    rates = ["group['lr'] * 0.5", "1", "torch.tensor(0.01)", "0.0"]
    for rate in rates:
        agent, held = play(late(f"group['lr'] = {rate}"), mode)

        assert ["applied"] == [each.verdict for each in agent.decisions]
        assert_a_rate(held[-1]["lr"], agent)


@MODES
@pytest.mark.parametrize("rate", [None, math.inf, "later", torch.ones(1, 1)])
def test_what_the_user_wrote_is_the_users_business(rate, mode):
    model = models.make("mlp")
    source = late("pass")
    with agent_over(
        model, source, execution=mode, dry_run_steps=1, max_attempts=1
    ) as agent:
        run(agent, 2)
        agent.decide()
        run(agent, 2)

        for group in agent.optimizer.param_groups:
            group["lr"] = rate
        run(agent, 3)

        assert ["applied"] == [each.verdict for each in agent.decisions]
        assert rate is agent.optimizer.param_groups[0]["lr"]


@MODES
def test_a_breach_does_not_count_as_a_schedulers_change_of_the_rate(mode):
    source = late("group['lr'] = 1e-9\n        raise ValueError('late')")
    agent, held = play(source, mode, "exponential")

    # Two steps, then eight: each has multiplied the user's 0.02 by 0.9.
    assert ["rolled_back"] == [each.verdict for each in agent.decisions]
    assert held[-1]["lr"] == pytest.approx(0.02 * 0.9**10)


@MODES
def test_options_that_multiply_are_rolled_back(mode):
    source = late("[group.update({f'k{i}_{self.t}': i}) for i in range(2000)]")

    agent, held = play(source, mode)

    assert ["rolled_back"] == [each.verdict for each in agent.decisions]
    assert len(held[-1]) < 20


@MODES
@pytest.mark.parametrize("scheduler", ["exponential", "one_cycle", "cyclic"])
@pytest.mark.parametrize(
    "rate",
    ["1e308", "-1e308", "10**308", "torch.tensor(1e38)", "torch.tensor(6e4).half()"]
    + ["torch.tensor(120, dtype=torch.int8)", "5e-324", "torch.tensor(1e-45)"],
)
def test_no_rate_becomes_infinite_with_a_schedule(rate, scheduler, mode):
    agent, held = play(at_once(rate), mode, scheduler)

    for group in held:
        assert_a_rate(group["lr"], agent)

"""The attacker's code is in the child already, without a hole: what can it do?

It may spoil its own step, and is rolled back for it. It sees nothing of the machine,
starts nothing, reaches nobody, and changes no weight outside a step.
"""

from __future__ import annotations

import math
import platform
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.optim import lr_scheduler

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.swap import swap
from dux_sandbox.findings import RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.process.spawning import Zygote
from tests import models
from tests.attacks import takeover
from tests.sources import SGD
from tests.waiting import alive, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the system calls are named by their numbers on x86_64",
)

LOOKS = [name for name in takeover.ATTACKS if name not in ("host_name",)]
LOOKS = LOOKS[: LOOKS.index("write_after_the_answer")]
# For what is expected to answer.
PATIENT = Limits(step_seconds=60.0)
WORST = list(takeover.ATTACKS)[len(LOOKS) + 1 :]


@pytest.fixture(scope="module")
def warm():
    """A warm process whose children are the attacker's."""
    made = Zygote(takeover.BOOT)
    yield made
    made.close()


def source(name):
    return f"{SGD}\n# takeover: {name}\n"


def test_the_attackers_code_runs_where_a_rule_would(warm):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    rule = IsolatedRule.build(
        source("poison_and_fail"), [{"params": [weight], "lr": 0.1}], warm=warm
    )

    with pytest.raises(RuleFailed, match="found: poisoned"):
        rule.step()

    assert [1.0, 1.0] == weight.tolist()


@pytest.mark.parametrize("name", LOOKS)
def test_it_sees_starts_and_disturbs_nothing(warm, name):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    groups = [{"params": [weight], "lr": 0.1}]
    rule = IsolatedRule.build(source(name), groups, limits=PATIENT, warm=warm)

    with pytest.raises(RuleFailed) as caught:
        rule.step()

    said = caught.value.finding.message
    refused = [f"errno {number}" for number in takeover.REFUSED]
    assert any(each in said for each in refused) or "refused after 0" in said, said


def test_the_name_of_the_host_is_not_told(warm):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    groups = [{"params": [weight], "lr": 0.1}]
    rule = IsolatedRule.build(source("host_name"), groups, warm=warm)

    with pytest.raises(RuleFailed) as caught:
        rule.step()

    assert socket.gethostname() not in caught.value.finding.message


@pytest.mark.parametrize("name", WORST)
def test_training_goes_on_beside_the_worst_it_can_do(warm, name):
    model = models.make("mlp")
    base = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    live = DuxOptimizer(
        base,
        model=model,
        build=lambda text, groups, *rest: IsolatedRule.build(
            text, groups, limits=Limits(step_seconds=1.0), warm=warm
        ),
    )
    schedule = lr_scheduler.StepLR(live, 2, 0.5)
    swap(live, source(name), losses=[7.0] * 8)
    batches = models.batches()

    def sound():
        return all(bool((p.abs() < 100).all()) for p in model.parameters())

    for step in range(12):
        if step >= 6 and sound():
            break  # else the loss is still to come for which a step is rolled back
        live.zero_grad()
        loss = models.objective(model, batches[step % 3])
        loss.backward()
        live.step()
        after = [p.detach().clone() for p in model.parameters()]
        time.sleep(0.02)
        schedule.step()
        # Between steps, and while others work, no weight moves.
        assert all(map(torch.equal, after, model.parameters()))
        live.guard.observed(float(loss.detach()))
        for group in live.param_groups:
            assert len(group) < 200
            assert math.isfinite(float(group["lr"]))
            assert type(group["params"]) is list
    assert sound()
    live.close()


def test_it_is_stopped_between_steps_and_in_standby(warm):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    groups = [{"params": [weight], "lr": 0.1}]
    rule = IsolatedRule.build(source("write_in_standby"), groups, warm=warm)
    wait_until(lambda: stopped(rule.pid))

    rule.step()
    wait_until(lambda: stopped(rule.pid))
    rule.close()

    wait_until(lambda: not alive(rule.pid))


def stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

"""The machinery dies in the middle of a training, and training goes on."""

from __future__ import annotations

import gc
import os
import resource
import signal

import pytest
import torch

from dux_sandbox.process import spawning
from tests import models, sources
from tests.talking import agent_over, run
from tests.waiting import alive, wait_until

REFUSED = "import os\n" + sources.SGD
FAILS = sources.RAISES


@pytest.fixture
def isolated():
    """An agent whose rule is live in a process of its own."""
    model = models.make("mlp")
    with agent_over(
        model, sources.MOMENTUM, execution="isolated", dry_run_steps=2, max_attempts=1
    ) as agent:
        run(agent, 3)
        assert "applied" == agent.decide().verdict
        run(agent, 2)
        yield agent


def still_trains(agent):
    losses = run(agent, 6)
    assert all(loss == loss for loss in losses)
    assert all(bool(torch.isfinite(p).all()) for p in agent.model.parameters())
    agent.optimizer.state_dict()


def test_a_killed_child_is_replaced_by_the_incumbent(isolated):
    pid = isolated.optimizer.running.pid

    os.kill(pid, signal.SIGKILL)
    still_trains(isolated)

    assert ["rolled_back"] == [each.verdict for each in isolated.decisions]
    wait_until(lambda: not alive(pid))


def test_a_child_that_somebody_has_stopped_is_woken_by_the_next_step(isolated):
    pid = isolated.optimizer.running.pid

    os.kill(pid, signal.SIGSTOP)
    run(isolated, 1)
    still_trains(isolated)

    assert ["applied"] == [each.verdict for each in isolated.decisions]
    assert pid == isolated.optimizer.running.pid


def test_a_killed_warm_process_takes_its_rules_with_it_and_comes_back(isolated):
    pid = isolated.optimizer.running.pid
    warm = spawning.zygote()._process.pid

    os.kill(warm, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    still_trains(isolated)
    again = isolated.decide()

    # The very source was rolled back, so it is not run again; the process is there.
    assert again.verdict in ("kept", "applied")
    assert spawning.zygote().layers()
    assert warm != spawning.zygote()._process.pid


def test_a_child_that_dies_while_its_state_is_fetched_does_not_raise(isolated):
    os.kill(isolated.optimizer.running.pid, signal.SIGKILL)

    state = isolated.optimizer.state_dict()

    assert state["param_groups"][0]["dux"]["source"] is None
    still_trains(isolated)


def test_a_child_that_dies_in_zero_grad_or_decide_does_not_raise(isolated):
    os.kill(isolated.optimizer.running.pid, signal.SIGKILL)

    isolated.optimizer.zero_grad(set_to_none=True)
    decision = isolated.decide()

    assert decision.verdict in ("kept", "applied", "failed", "rolled_back")
    still_trains(isolated)


def memory_of_shared_blocks():
    with open("/proc/self/maps") as held:
        return held.read().count("dux-mirror")


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("count", "source"),
    [
        pytest.param(30, REFUSED, id="refused"),
        pytest.param(10, FAILS, id="failing"),
        pytest.param(500, REFUSED, id="500-refused", marks=pytest.mark.slow),
        pytest.param(500, FAILS, id="500-failing", marks=pytest.mark.slow),
    ],
)
def test_rejected_proposals_leave_nothing_behind(count, source):
    model = models.make("mlp")
    with agent_over(
        model, source, execution="isolated", dry_run_steps=2, max_attempts=1
    ) as agent:
        run(agent, 3)
        for _ in range(3):
            agent.decide()
        gc.collect()
        held, blocks = descriptors(), memory_of_shared_blocks()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        for _ in range(count):
            assert "kept" == agent.decide().verdict

        gc.collect()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        assert held == descriptors()
        assert blocks == memory_of_shared_blocks()
        assert grown < 64 << 10  # KiB: the decisions themselves are kept


UNSAVABLE = sources.with_step(
    '        for p in self.param_groups[0]["params"]:\n'
    '            self.state[p]["z"] = 1j'
)


def test_a_rule_whose_state_cannot_be_fetched_does_not_end_the_next_decision():
    model = models.make("mlp")
    with agent_over(
        model, UNSAVABLE, sources.SGD, execution="isolated", dry_run_steps=2
    ) as agent:
        run(agent, 3)
        agent.decide()
        run(agent, 2)

        again = agent.decide()

        assert again.verdict in ("kept", "applied", "failed")
        still_trains(agent)

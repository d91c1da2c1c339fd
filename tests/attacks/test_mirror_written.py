"""A child that has been taken over writes into its mirror whenever it likes.

What it writes counts in its own step, if that ends well, and at no other time. Here
the test plays the child: it maps the same memory and fills all of it.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from contextlib import contextmanager

import pytest
import torch

from dux_sandbox.process.isolated import IsolatedRule
from tests import models, sources
from tests.attacks.test_compromised_child import HEADER, Taken
from tests.swapping import MOMENTUM, SGD
from tests.talking import agent_over, run

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="isolated rules need Linux"
)
# As float32: NaN, 1.0000154 times 1e38, and an ordinary number.
BYTES = [b"\xff", b"\x7e", b"\x3c"]


def write_all(rule, byte):
    """Fill what the child can see of the trainer's tensors."""
    with mmap.mmap(rule.mirror.descriptor, rule.mirror.size) as shared:
        shared[:] = byte * rule.mirror.size


@contextmanager
def writing(rule):
    """Fill it again and again, as fast as a thread can."""
    over = threading.Event()
    descriptor, size = os.dup(rule.mirror.descriptor), rule.mirror.size

    def write():
        with mmap.mmap(descriptor, size) as shared:
            while not over.is_set():
                for byte in BYTES:
                    shared[:] = byte * size

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        os.close(descriptor)


@pytest.mark.parametrize("byte", BYTES)
def test_what_is_written_between_two_steps_changes_nothing(byte):
    model, twin = models.make("mlp"), models.make("mlp")
    with agent_over(model, MOMENTUM, execution="isolated") as agent:
        run(agent, 4)
        agent.decide()
        for step in range(4, 16):
            run(agent, 1, first=step)
            here = [p.detach().clone() for p in model.parameters()]
            write_all(agent.optimizer.running, byte)
            assert all(map(torch.equal, here, model.parameters()))
    with agent_over(twin, MOMENTUM, execution="isolated") as quiet:
        run(quiet, 4)
        quiet.decide()
        run(quiet, 12, first=4)

    assert "applied" == agent.decisions[0].verdict
    assert all(map(torch.equal, twin.parameters(), model.parameters()))


def test_what_a_waiting_rule_writes_changes_nothing():
    ends = []
    for taken in (True, False):
        model = models.make("mlp")
        with agent_over(model, MOMENTUM, SGD, execution="isolated") as agent:
            run(agent, 4)
            agent.decide()
            run(agent, 4, first=4)
            waiting = agent.optimizer.running
            agent.decide()
            assert agent.optimizer.guard.predecessor.rule is waiting
            if taken:
                with writing(waiting):
                    run(agent, 12, first=8)
            else:
                run(agent, 12, first=8)
            agent.optimizer.guard.breach("for the test")
            assert agent.optimizer.running is waiting
            run(agent, 4, first=20)
        ends.append([p.detach().clone() for p in model.parameters()])

    assert ["applied", "rolled_back"] == [each.verdict for each in agent.decisions]
    assert all(map(torch.equal, *ends))


def answers_nonsense(channel, connection, nonce):
    channel.send({"id": 7})


def dies(channel, connection, nonce):
    connection.close()


def reports_a_fault(channel, connection, nonce):
    channel.send({"id": 1, "error": {"rule": "raised", "message": "no"}})


def gives_an_odd_option(channel, connection, nonce):
    channel.send({"id": 1, "options": [[0, {"dict": [["lr", "fast"]]}]]})


def gives_an_odd_loss(channel, connection, nonce):
    channel.send({"id": 1, "loss": {"list": []}})


def names_odd_gradients(channel, connection, nonce):
    channel.send({"id": 1, "gradients": [0, 1]})


def sends_half(channel, connection, nonce):
    connection.sendall(HEADER.pack(nonce, 1000, 0) + b'{"id":')


@pytest.mark.parametrize(
    "manner",
    [
        answers_nonsense,
        dies,
        reports_a_fault,
        gives_an_odd_option,
        gives_an_odd_loss,
        names_odd_gradients,
        sends_half,
    ],
)
def test_what_is_written_in_a_step_that_fails_is_not_taken(manner):
    began = threading.Event()

    def liar(channel, connection, nonce):
        channel.receive(5.0)
        began.wait(5.0)
        for place in (*taken.rule.mirror.values, *taken.rule.mirror.gradients):
            place.fill_(99.0)
        manner(channel, connection, nonce)

    with Taken(liar) as taken:
        (parameter,) = taken.groups[0]["params"]
        began.set()

        assert "quiet" != taken.outcome(taken.rule.step)
        assert taken.child.killed
        assert [1.0] * 3 == parameter.tolist() == parameter.grad.tolist()


def test_a_gradient_that_is_not_there_cannot_be_written_to():
    def liar(channel, *_):
        message, _ = channel.receive(5.0)
        taken.rule.mirror.gradients[0].fill_(99.0)
        channel.send({"id": message["id"], "gradients": [0]})

    with Taken(liar) as taken:
        (parameter,) = taken.groups[0]["params"]
        parameter.grad = None

        assert "quiet" == taken.outcome(taken.rule.step)
        assert parameter.grad is None


def test_each_rule_has_memory_of_its_own():
    parameter = torch.nn.Parameter(torch.ones(4))
    rules = [
        IsolatedRule.build(sources.SGD, [{"params": [parameter]}]) for _ in range(2)
    ]

    inodes = {os.fstat(rule.mirror.descriptor).st_ino for rule in rules}
    for rule in rules:
        rule.close()

    assert 2 == len(inodes)

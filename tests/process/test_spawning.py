"""The warm process is started once, anew when it died, and leaves nothing behind."""

import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
import torch

from dux_sandbox.findings import RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.process.spawning import Zygote, forked, zygote
from dux_sandbox.zoo import entry
from tests.sources import endless
from tests.waiting import alive, wait_until


def test_there_is_one_warm_process_and_a_new_one_after_its_death():
    first = zygote()
    first.layers()
    assert first is zygote()

    first._process.kill()
    first._process.wait()
    second = zygote()

    assert first is not second
    assert second.layers()


def test_a_warm_process_sees_no_device_that_its_forks_could_not_use():
    warm = zygote()
    warm.layers()

    with open(f"/proc/{warm._process.pid}/environ", "rb") as file:
        told = dict(each.split(b"=", 1) for each in file.read().split(b"\0") if each)

    assert b"" == told[b"CUDA_VISIBLE_DEVICES"]


@pytest.mark.parametrize("how", ["killed", "deaf", "late"])
def test_a_lost_warm_process_costs_no_fork(how):
    lost = zygote()
    lost.layers()
    if how == "killed":
        os.kill(lost._process.pid, signal.SIGKILL)
    elif how == "deaf":
        lost._control.shutdown(socket.SHUT_RDWR)
    else:  # an answer is still to be read, as after a fork that was given up
        lost._control.close()

    child = forked({"purpose": "layers"})

    assert child.channel.receive(60.0)[0]["layers"]
    child.kill()
    assert lost is not zygote()
    assert not lost.usable


def test_a_child_that_is_killed_leaves_no_zombie():
    warm = zygote()
    child = warm.fork({"purpose": "layers"})
    child.channel.receive(60.0)

    child.kill()

    wait_until(lambda: not os.path.exists(f"/proc/{child.pid}"))


def test_the_warm_process_sees_neither_environment_nor_descriptors(monkeypatch):
    monkeypatch.setenv("DUX_TEST_SECRET", "sesame")
    warm = Zygote()
    warm.layers()
    pid = warm._process.pid

    with open(f"/proc/{pid}/environ") as text:
        environment = text.read()
    files = [
        os.readlink(f"/proc/{pid}/fd/{number}")
        for number in os.listdir(f"/proc/{pid}/fd")
    ]
    warm.close()

    assert "sesame" not in environment
    assert 1 == sum(name.startswith("socket:") for name in files)
    assert {"/dev/null"} == {name for name in files if name.startswith("/dev/n")}
    assert not alive(pid)


@pytest.mark.parametrize("ending", ["kill", "exit"])
def test_nothing_survives_the_trainer_however_it_ends(ending, tmp_path):
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path[:0] = {sys.path!r}
        import torch
        from dux_sandbox.process.isolated import IsolatedRule
        from dux_sandbox.process.spawning import zygote
        from tests import sources
        weight = torch.nn.Parameter(torch.ones(1))
        rule = IsolatedRule.build(sources.SGD, [{{"params": [weight]}}])
        print(zygote()._process.pid, rule.pid, flush=True)
        time.sleep(60 if {ending!r} == "kill" else 0)
        """
    )
    trainer = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=os.getcwd(),
    )
    with trainer.stdout:
        pids = [int(word) for word in trainer.stdout.readline().split()]
    if ending == "kill":
        trainer.send_signal(signal.SIGKILL)
    trainer.wait()

    assert 2 == len(pids)
    wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")
def test_a_trainer_with_thousands_of_open_files_can_end_a_rule():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this system lets a process open no 2000 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    try:
        limits = Limits(step_seconds=0.5)
        groups = [{"params": [weight], "lr": 0.1}]
        rule = IsolatedRule.build(endless(), groups, limits=limits)

        with pytest.raises(RuleFailed) as caught:
            rule.step()
        rule.close()
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "time" == caught.value.finding.rule


def test_the_warm_process_keeps_one_thread_after_it_rehearsed_the_laws():
    request = {"purpose": "laws", "memory": 1 << 30, "draws": False, "also": []}
    warm = Zygote()
    try:
        first = warm.fork(request)
        first.channel.receive(120.0)
        first.kill()
        second = warm.fork(request)
        second.channel.receive(120.0)
        second.channel.send({"source": entry("sgd").source, "golden": True}, None, 60.0)
        answer, _ = second.channel.receive(60.0, 1 << 20, 0)
        second.kill()

        assert ["golden"] == list(answer)
        # A fork of a process with an engine of threads would hang in its backward.
        assert 1 == len(os.listdir(f"/proc/{warm._process.pid}/task"))
    finally:
        warm.close()

"""A rule in its own process works like one in ours, and cannot hurt it."""

import contextlib
import gc
import os
import signal
import socket

import pytest
import torch

from dux_sandbox import Limits, RuleFailed, SourceRejected
from dux_sandbox.process import whereabouts
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.running import InlineRule
from tests import sources
from tests.waiting import wait_until


def problem():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
    )
    inputs = torch.randn(16, 4)
    return model, inputs, inputs.sum(1, keepdim=True)


def build(execution, source, model, **options):
    groups = [{"params": list(model.parameters())}]
    rule = execution.build(source, groups, **options)
    groups[0].update(rule.options[0])
    rule.bind(groups)
    return rule, groups


def train(rule, model, inputs, targets, steps, closure=False):
    losses = []

    def loss_of():
        rule.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        if closure:
            losses.append(rule.step(loss_of).item())
        else:
            losses.append(loss_of().item())
            rule.step()
    return losses


@pytest.mark.parametrize("source", [sources.SGD, sources.MOMENTUM])
@pytest.mark.parametrize("closure", [False, True])
def test_the_trajectory_is_the_inline_rules_bit_for_bit(source, closure):
    runs = []
    for execution in (InlineRule, IsolatedRule):
        model, inputs, targets = problem()
        rule, _ = build(execution, source, model)
        runs.append(train(rule, model, inputs, targets, 20, closure))
        rule.close()

    assert runs[0] == runs[1]
    assert runs[0][-1] < runs[0][0]


def test_state_and_attributes_come_back_and_continue_the_run():
    model, inputs, targets = problem()
    rule, groups = build(IsolatedRule, sources.MOMENTUM, model)
    train(rule, model, inputs, targets, 5)
    state = rule.snapshot()
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    expected = train(rule, model, inputs, targets, 5)
    rule.close()

    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
    again, _ = build(IsolatedRule, sources.MOMENTUM, model)
    again.restore(state)
    resumed = train(again, model, inputs, targets, 5)
    again.close()

    assert {"t": 5} == state.attributes
    assert expected == resumed


def test_a_learning_rate_written_by_the_loop_reaches_the_rule():
    model, inputs, targets = problem()
    rule, groups = build(IsolatedRule, sources.SGD, model)
    before = [parameter.detach().clone() for parameter in model.parameters()]

    groups[0]["lr"] = 0.0
    train(rule, model, inputs, targets, 2)
    rule.close()

    for one, other in zip(before, model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_group_value_written_by_the_rule_comes_back():
    source = sources.with_step(
        '        self.param_groups[0]["lr"] = self.param_groups[0]["lr"] * 0.5'
    )
    model, inputs, targets = problem()
    rule, groups = build(IsolatedRule, source, model)

    train(rule, model, inputs, targets, 2)
    rule.close()

    assert 0.0025 == groups[0]["lr"]


def test_a_rule_may_not_turn_the_learning_rate_into_text():
    source = sources.with_step('        self.param_groups[0]["lr"] = "fast"')
    source = source.replace('alpha=-group["lr"]', "alpha=-0.1")
    model, inputs, targets = problem()
    rule, groups = build(IsolatedRule, source, model)

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 1)
    rule.close()

    assert "group['lr'] is a str" in caught.value.finding.message
    assert 0.01 == groups[0]["lr"]


@pytest.mark.parametrize("kind", sources.ENDLESS)
def test_a_rule_without_an_end_is_gone_after_its_deadline(kind):
    source = sources.endless(kind)
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, source, model)
    rule.step_seconds = 1.0
    pid = rule.pid

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 1)
    rule.close()

    finding = caught.value.finding
    assert ("time", "it used more than 1.00 s") == (finding.rule, finding.message)
    assert finding.line in sources.lines_of_body(source)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize("execution", [InlineRule, IsolatedRule])
def test_a_loop_ends_at_the_limit_on_turns_and_the_finding_says_where(execution):
    model, inputs, targets = problem()
    rule, _ = build(execution, sources.TURNS, model)
    rule.step_seconds = 600.0

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 1)
    rule.close()

    finding = caught.value.finding
    assert "turns" == finding.rule
    assert "its while loops took more than 100000 turns" == finding.message
    assert "while" in sources.TURNS.split("\n")[finding.line - 1]
    assert "range" in finding.instead


@pytest.mark.parametrize("execution", [InlineRule, IsolatedRule])
def test_a_loop_of_a_mixin_ends_at_the_limit_on_turns_too(execution):
    source = """
import torch


class Mixin:
    t = 1

    def step(self, closure=None):
        while self.t > 0:
            self.t = self.t + 1


class Before(torch.optim.SGD):
    pass


class Between(Mixin, torch.optim.SGD):
    pass


class Rule(Before, Between):
    pass
"""
    model, inputs, targets = problem()
    rule, _ = build(execution, source, model)
    rule.step_seconds = 600.0

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 1)
    rule.close()

    finding = caught.value.finding
    assert ("turns", 9) == (finding.rule, finding.line)


@pytest.mark.parametrize("nonsense", ["", "x" * 100_000, 'File "<rule abc>", line 7 '])
def test_a_late_process_that_tells_no_line_is_ended_all_the_same(nonsense):
    ours, theirs = socket.socketpair()
    asked = []

    def answer(number):
        asked.append(number)
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            theirs.send(nonsense.encode())

    with ours, theirs:
        line = whereabouts.line_reached(ours, answer)

    assert [signal.SIGUSR1] == asked
    assert line is None


def test_a_line_is_all_that_is_taken_from_a_late_process():
    ours, theirs = socket.socketpair()
    said = (
        b'{"id": 5 Stack:\n  File "a.py", line 3 in f\n  File "<rule 0123456789ab>", '
    )

    def answer(number):
        theirs.send(said)
        theirs.send(b"line 41 in step\n")

    with ours, theirs:
        line = whereabouts.line_reached(ours, answer)

    assert 41 == line


def test_an_exception_in_a_step_names_its_line():
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.RAISES, model)

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 1)
    rule.close()

    finding = caught.value.finding
    assert "ValueError: no good" == finding.message
    lines = sources.RAISES.splitlines()
    assert "raise ValueError" in lines[finding.line - 1]


def test_a_rule_that_hoards_memory_is_stopped():
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.HOARDS, model)

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 400)
    rule.close()

    assert "memory" == caught.value.finding.rule


def test_a_refused_source_never_reaches_a_step():
    model, _, _ = problem()

    with pytest.raises(SourceRejected):
        build(IsolatedRule, "import os\n" + sources.SGD, model)


def test_the_callers_own_error_comes_out_of_a_closure():
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.SGD, model)

    def closure():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        rule.step(closure)
    losses = train(rule, model, inputs, targets, 3)
    rule.close()

    assert losses[-1] < losses[0]


@contextlib.contextmanager
def ctrl_c_while_it_waits(rule):
    """Somebody presses Ctrl-C as the answer begins to come, and then again."""
    channel = rule._talk.child.channel
    fill, left = channel._fill, [1, 1]

    def interrupted(size, first, deadline):
        if left and left.pop():
            fill(1, first, deadline)
            raise KeyboardInterrupt
        fill(size, first, deadline)

    channel._fill = interrupted
    yield
    channel._fill = fill


@pytest.mark.parametrize("asks", [False, True], ids=["alone", "with a closure"])
def test_a_rule_whose_step_was_interrupted_steps_on(asks):
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.MOMENTUM, model)
    train(rule, model, inputs, targets, 2, closure=asks)
    before = [each.detach().clone() for each in model.parameters()]

    with ctrl_c_while_it_waits(rule):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                train(rule, model, inputs, targets, 1, closure=asks)

    assert all(map(torch.equal, before, model.parameters()))
    losses = train(rule, model, inputs, targets, 5, closure=asks)
    assert losses[-1] < losses[0]
    assert 4 == len(rule.snapshot().state)
    rule.close()


def test_a_closure_is_not_called_more_often_than_allowed():
    source = sources.with_step(
        "        for _ in range(100):\n"
        "            with torch.enable_grad():\n"
        "                closure()"
    )
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, source, model)
    calls = []

    def closure():
        calls.append(1)
        return (model(inputs) - targets).square().mean()

    with pytest.raises(RuleFailed) as caught:
        rule.step(closure)
    rule.close()

    assert "closure" == caught.value.finding.rule
    assert 10 == len(calls)


def test_a_missing_layer_that_is_required_stops_the_rule_from_running():
    model, _, _ = problem()

    with pytest.raises(RuleFailed) as caught:
        build(
            IsolatedRule, sources.SGD, model, limits=Limits(require=("moat", "seccomp"))
        )

    assert "jail" == caught.value.finding.rule
    assert "moat" in caught.value.finding.message


def test_closing_leaves_no_process_no_memory_and_ordinary_parameters():
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.SGD, model)
    train(rule, model, inputs, targets, 2)
    pid = rule.pid
    assert "dux-mirror" in maps()

    rule.close()
    rule.close()
    del rule
    gc.collect()

    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert "dux-mirror" not in maps()


def test_a_rule_that_is_dropped_leaves_no_process_and_no_descriptor():
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.SGD, model)
    train(rule, model, inputs, targets, 2)
    pid, held = rule.pid, (rule.mirror.descriptor, rule._talk.child._handle)

    del rule  # as a loop does that never closes its agent
    gc.collect()

    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    for descriptor in held:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    assert "dux-mirror" not in maps()


def maps():
    with open("/proc/self/maps") as text:
        return text.read()


def test_a_child_that_is_killed_is_a_finding():
    model, inputs, targets = problem()
    rule, _ = build(IsolatedRule, sources.SGD, model)
    os.kill(rule.pid, 9)

    with pytest.raises(RuleFailed) as caught:
        train(rule, model, inputs, targets, 1)
    rule.close()

    assert "died" == caught.value.finding.rule


def test_a_missing_gradient_stays_missing_in_the_child():
    source = sources.with_step(
        "        for group in self.param_groups:\n"
        '            for p in group["params"]:\n'
        "                if p.grad is not None:\n"
        "                    p.add_(100.0)"
    )
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [used, unused]}]
    rule = IsolatedRule.build(source, groups)
    groups[0].update(rule.options[0])
    rule.bind(groups)
    rule.zero_grad()
    used.sum().backward()

    rule.step()
    rule.close()

    assert [1.0, 1.0] == unused.tolist()
    assert used.min() > 50


@pytest.mark.parametrize(
    "line",
    [
        "x = p @ p.t() @ p",
        "x = p.unsqueeze(0) + p.unsqueeze(1)[:1]",
        "x = p[torch.arange(1500), torch.arange(1500)]",
        "x = p.new_zeros(torch.broadcast_shapes((3, 1), (4,), 1))",
    ],
)
def test_a_large_rule_finds_all_it_needs_in_its_process(line):
    """What is judged before a large product imports nothing: no file can be opened."""
    weight = torch.nn.Parameter(torch.ones(1500, 1500))
    weight.grad = torch.ones(1500, 1500)
    source = sources.with_step(
        "        for group in self.param_groups:\n"
        "            for p in group['params']:\n"
        f"                {line}"
    )
    rule = IsolatedRule.build(source, [{"params": [weight], "lr": 0.01}])
    rule.step_seconds = 60.0

    rule.step()
    rule.close()

    assert float(weight.detach()[0, 0]) == pytest.approx(0.99)

"""Programs that a step wants are there before it, and change nothing of it."""

import sys
import threading

import pytest
import torch

from dux_sandbox.executions import RECORDED
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.kernels import compiling
from tests.sources import counting, with_step
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")

M = """m = state.setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 0.1)
                """
COUNTED = {
    "a warm-up": counting(M + "p.sub_(lr * (m.tanh() if n > 9 else p.grad))"),
    "every fifth step": counting(M + "p.sub_(lr * (m.sigmoid() if n % 5 == 0 else m))"),
    "both": counting(
        M + "p.sub_(lr * (m.tanh() if n % 7 == 0 else m.sign() if n > 12 else m))"
    ),
    "a count on self that keeps something new": with_step(
        """        self.t = getattr(self, "t", 0) + 1
        for p in self.param_groups[0]["params"]:
            state = self.state[p]
            if self.t == 8:
                state["mean"] = p.clone()
            if self.t > 8:
                state["mean"].lerp_(p, 0.1)
            p.sub_(0.01 * p.grad)
            if self.t == 16:
                p.copy_(state["mean"])"""
    ),
    "an option that it writes": counting(
        M
        + """if n > 3:
                    group["lr"] = lr * 0.9
                p.sub_(lr * (m if lr > 0.004 else m.tanh()))"""
    ),
    "beside a number of a tensor": counting(
        M
        + """state["norm"] = float(p.grad.norm())
                p.sub_(lr * (m if state["norm"] > 0 else m * 2))
                if n > 11:
                    p.mul_(0.99)"""
    ),
}


class Run:
    """A rule of this source over two parameters, stepped with drawn gradients."""

    def __init__(self, source):
        torch.manual_seed(0)
        self.parameters = [
            torch.nn.Parameter(torch.randn(*shape)) for shape in ((5, 4), (4,))
        ]
        groups = [{"params": self.parameters}]
        self.rule = RECORDED.build(source, groups, limits=Limits(), seed=0)
        groups[0].update(self.rule.options[0])
        self.rule.bind(groups)
        self.draw = torch.Generator().manual_seed(1)

    def step(self, times):
        for _ in range(times):
            for each in self.parameters:
                each.grad = torch.randn(each.shape, generator=self.draw)
            self.rule.step()

    @property
    def recordings(self):
        return self.rule._replay.recordings

    def looked(self):
        """Wait until what is coming is known, and compiled."""
        wait_until(lambda: not looking())
        wait_until(lambda: not named("dux-kernels"))


def named(name):
    return [each for each in threading.enumerate() if each.name == name]


def looking():
    return named("dux-ahead")


@pytest.fixture
def run(request, monkeypatch, tmp_path):
    """Makes runs, each of which has all its kernels to compile."""
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(tmp_path / "kernels"))

    def make(source):
        monkeypatch.setattr(compiling, "LOADED", {})
        made = Run(source)
        request.addfinalizer(made.rule.close)
        return made

    return make


@pytest.mark.parametrize("kind", COUNTED)
def test_what_a_count_leads_to_is_recorded_before_its_step(run, kind):
    one = run(COUNTED[kind])
    one.step(1)
    one.looked()
    recordings, waits = one.recordings, one.rule.waits

    for _ in range(24):
        one.step(1)
        one.looked()

    assert "recorded" == one.rule.mode
    assert recordings == one.recordings
    assert waits[0] == one.rule.waits[0]


@pytest.mark.parametrize("kind", COUNTED)
def test_the_steps_are_the_same_however_far_it_has_looked(run, kind):
    waited, hurried = run(COUNTED[kind]), run(COUNTED[kind])

    waited.step(1)
    waited.looked()
    waited.step(24)
    hurried.step(25)

    for one, other in zip(waited.parameters, hurried.parameters, strict=True):
        assert torch.equal(one, other)


WINDOW = """        self.norms = getattr(self, "norms", [])
        for p in self.param_groups[0]["params"]:
            self.norms.append(float(p.grad.norm()))
            if len(self.norms) > MOST:
                self.norms.pop(0)
            middle = sorted(self.norms)[len(self.norms) // 2]
            p.sub_(0.01 * min(1.0, middle) * p.grad)"""


def test_a_rule_that_keeps_something_more_at_every_step_is_not_recorded_for_ever(run):
    one = run(with_step(WINDOW.replace("MOST", "10_000")))

    one.step(150)

    assert "isolated" == one.rule.mode
    said = "keeps something more at every step, in self.norms"
    assert said in one.rule.why.message


def test_a_rule_that_fills_a_window_at_first_is_recorded(run):
    one = run(with_step(WINDOW.replace("MOST", "100")))

    one.step(260)

    assert "recorded" == one.rule.mode


def test_it_looks_from_where_a_state_was_put_back(run):
    source = COUNTED["a warm-up"].replace("n > 9", "n > 60_000")
    one, other = run(source), run(source)
    one.step(2)
    one.looked()
    learned = one.rule.snapshot()
    for entry in learned.state.values():
        entry["n"] = 59_990

    other.rule.restore(learned)
    other.step(1)
    other.looked()
    recordings = other.recordings
    other.step(20)

    assert recordings == other.recordings


def test_nothing_is_left_of_a_look_when_a_rule_is_closed_or_its_process_dies(run):
    source = counting("p.sub_(lr * sum([p.grad * (n > 20)] * 99))")
    for dies in (False, True):
        one = run(source)
        one.step(1)
        if dies:
            one.rule._process.end()
        one.rule.close()

        assert not looking()


def test_what_a_look_found_is_not_compiled_any_more_after_close(run, monkeypatch):
    begun = threading.Event()

    def fuse(program, stop, device):
        begun.set()
        stop.wait(60)
        raise compiling.CannotCompile("nobody wants it any more")

    one = run(COUNTED["a warm-up"])
    monkeypatch.setattr(compiling, "fuse", fuse)
    one.step(1)
    assert begun.wait(60)
    wait_until(lambda: not looking())
    one.rule.close()

    assert not named("dux-kernels")


def test_a_step_to_come_that_fails_is_told_when_it_comes(run):
    one = run(counting("p.sub_(lr * p.grad / (n - 7))"))

    one.step(6)
    one.looked()

    assert "recorded" == one.rule.mode

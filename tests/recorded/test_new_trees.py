"""Rules that take turns: each step leaves another tree, and all have their kernels."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.recorded.kernels.compiler import compiler
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.running import InlineRule
from tests.recorded.recording import BOUNDS, Here, twin_of
from tests.recorded.test_again import give_gradients
from tests.recorded.test_made_rules import assert_alike
from tests.recorded.test_recording import groups_of, parameters_in

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
RULE = """
import torch


class Turns(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, up=True):
        super().__init__(params, dict(lr=lr, up=up))
        self.first, self.phase, self.n = True, "fast", 0

    @torch.no_grad()
    def step(self, closure=None):
        self.n += 1
        for group in self.param_groups:
            for p in group["params"]:
                g, s = p.grad, self.state[p]
{body}
"""
FLAG = """
if self.first:
    s["old"] = p.clone()
    p.add_(g)
else:
    p.copy_(s["old"]).sub_(g, alpha=group["lr"])
if p is self.param_groups[-1]["params"][-1]:
    self.first = not self.first
"""
TEXT = """
m = s.setdefault("m", torch.zeros_like(p))
m.mul_(0.5).add_(g)
p.sub_(m if self.phase == "fast" else m.sign(), alpha=group["lr"])
if p is self.param_groups[-1]["params"][-1]:
    self.phase = {"fast": "slow", "slow": "fast"}[self.phase]
"""
TAKEN_OUT = """
if "ascent" in s:
    p.sub_(s.pop("ascent")).sub_(g, alpha=group["lr"])
else:
    s["ascent"] = 2 * g
    p.add_(s["ascent"])
"""
NONE = """
s["sum"] = g.clone() if s.get("sum") is None else s["sum"] + g
if self.n % 3 == 0:
    p.sub_(s["sum"], alpha=group["lr"])
    s["sum"] = None
"""
LIST = """
s.setdefault("all", []).append(g * self.n)
if len(s["all"]) == 3:
    p.sub_(s["all"][0] + s["all"][1] - s["all"][2], alpha=group["lr"])
    s["all"].clear()
"""
OPTION = """
m = s.setdefault("m", torch.zeros_like(p))
m.mul_(0.5).add_(g)
p.sub_(m if group["up"] else 2 * m, alpha=group["lr"])
if p is group["params"][-1]:
    group["up"] = not group["up"]
    group["lr"] *= 0.9
"""
OTHER_TYPES = """
s["last"] = g.double() if self.n % 2 else g + self.n
p.sub_(s["last"].to(p.dtype), alpha=group["lr"])
"""
NAMES_CHANGED = """
if self.first:
    s["a"], s["b"] = g.clone(), g.clone()
else:
    s["a"].mul_(0.5)
    s["b"].add_(g)
    s["a"], s["b"] = s["b"], s["a"]
p.sub_(s["a"] + 2 * s["b"], alpha=group["lr"])
if p is self.param_groups[-1]["params"][-1]:
    self.first = not self.first
"""
ALL = {
    name: body
    for name, body in globals().items()
    if name.isupper() and isinstance(body, str) and name != "RULE"
}


def source_of(body):
    lines = body.strip().splitlines()
    return RULE.format(body="\n".join(" " * 16 + line for line in lines))


def begun(body, groups):
    here = Here(source_of(body), groups)
    replay = Replay(parameters_in(groups), here, BOUNDS, compiles=True)
    replay.build(here.build())
    return replay


@pytest.mark.parametrize("body", ALL.values(), ids=ALL)
def test_what_takes_turns_has_kernels_for_each_of_them(body):
    groups = groups_of()
    others = twin_of(groups)
    rule = InlineRule.build(source_of(body), others)
    for group, options in zip(others, rule.options, strict=True):
        group.update(options)
    rule.bind(others)
    with closing(begun(body, groups)) as replay:
        for step in range(14):
            give_gradients(groups, others)
            replay.step(None, None)
            rule.step()

            assert replay.taken_by is not None or step < 3, step
            assert all(map(torch.equal, parameters_in(groups), parameters_in(others)))
            assert_alike(replay.kept.state().state, rule.snapshot().state, 0)
            assert replay.places.options[0]["up"] == others[0]["up"]
        assert replay.recordings < 10


def test_a_tensor_that_is_written_and_not_read_stays_where_it_is():
    groups = groups_of()
    with closing(begun(FLAG, groups)) as replay:
        for _ in range(4):
            give_gradients(groups)
            replay.step(None, None)
        place = ("state", 0, "old")
        kept, stamp = replay.kept.values[place], replay.kept.stamp
        for _ in range(4):
            give_gradients(groups)
            replay.step(None, None)
        assert replay.kept.values[place] is kept
        assert replay.kept.stamp == stamp


def test_what_was_taken_out_is_held_no_longer():
    groups = groups_of()
    with closing(begun(TAKEN_OUT, groups)) as replay:
        held = []
        for _ in range(6):
            give_gradients(groups)
            replay.step(None, None)
            held.append(replay.kept.tensor_bytes)
        weights = sum(each.numel() * 4 for each in parameters_in(groups))
        assert held == [weights, 0] * 3


def test_a_list_that_fills_up_once_has_no_kernels_on_its_way():
    body = """
s.setdefault("all", []).append(g.clone())
if len(s["all"]) > 6:
    s["all"].pop(0)
p.sub_(sum(s["all"]), alpha=group["lr"])
"""
    groups = groups_of()
    with closing(begun(body, groups)) as replay:
        by_kernels = []
        for _ in range(12):
            give_gradients(groups)
            replay.step(None, None)
            by_kernels.append(replay.taken_by is not None)
        assert by_kernels[4:] == [False] * 2 + [True] * 6


def test_a_truth_that_a_step_finds_out_is_kept_as_it_is():
    body = """
p.sub_(g, alpha=group["lr"])
self.first = float(p.abs().sum()) > 3.0
"""
    groups = groups_of()
    others = twin_of(groups)
    rule = InlineRule.build(source_of(body), others)
    with closing(begun(body, groups)) as replay:
        for _ in range(20):
            give_gradients(groups, others)
            replay.step(None, None)
            rule.step()
            kept = replay.kept.state().attributes["first"]
            assert kept is rule.snapshot().attributes["first"]

"""Steps that begin as the one before did: taken without looking anything up."""

from contextlib import closing

import pytest
import torch

from dux_sandbox.recorded.kernels.compiler import compiler
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.running import InlineRule
from tests.recorded.recording import BOUNDS, Here, twin_of
from tests.recorded.test_recording import groups_of, parameters_in

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler is here")
# Another branch at every third step, and where a gradient is large.
BRANCHING = """
import torch


class Branching(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                state["mean"].mul_(0.5).add_(p.grad)
                if self.count % 3 == 0:
                    p.mul_(0.5)
                p.add_(state["mean"], alpha=-group["lr"])
"""


def replay_with_kernels(groups):
    here = Here(BRANCHING, groups)
    replay = Replay(parameters_in(groups), here, BOUNDS, compiles=True)
    replay.build(here.build())
    return replay


def give_gradients(*groups, missing=()):
    for each in groups:
        for at, one in enumerate(parameters_in(each)):
            one.grad = None if at in missing else torch.full_like(one, 0.01 * (at + 1))


def looked_up(replay, monkeypatch):
    """Grows with each step that looks for its program."""
    keys, candidates = [], replay._branches.candidates

    def noting(key, ruled_out):
        keys.append(key)
        return candidates(key, ruled_out)

    monkeypatch.setattr(replay._branches, "candidates", noting)
    return keys


def test_what_a_guard_keeps_out_is_another_program_as_ever():
    groups = groups_of()
    others = twin_of(groups)
    rule = InlineRule.build(BRANCHING, others)
    with closing(replay_with_kernels(groups)) as replay:
        for step in range(14):
            missing = (1,) if step in (7, 8) else ()
            give_gradients(groups, others, missing=missing)
            replay.step(None, None)
            rule.step()

            assert replay.taken_by is not None or step == 0
            pairs = zip(parameters_in(groups), parameters_in(others), strict=True)
            assert all(torch.equal(one, other) for one, other in pairs), step
        assert 14 == replay.kept.values["attribute", "count"]


def test_only_what_begins_otherwise_is_looked_for(monkeypatch):
    groups = groups_of()
    with closing(replay_with_kernels(groups)) as replay:
        for _ in range(7):
            give_gradients(groups)
            replay.step(None, None)
        keys = looked_up(replay, monkeypatch)

        replay.step(None, None)  # the eighth, as the seventh
        assert [] == keys
        replay.step(None, None)  # the ninth: a guard does not hold
        assert 1 == len(keys)
        give_gradients(groups, missing=(0,))
        replay.step(None, None)
        assert keys[0] != keys[-1]


def test_ranks_are_asked_in_each_step_from_when_there_are_some():
    groups = groups_of()
    asked = []
    with closing(replay_with_kernels(groups)) as replay:
        for step in range(8):
            give_gradients(groups)
            replay.agree = (lambda how: asked.append(how) or how) if step > 4 else None
            replay.step(None, None)

    assert 3 == len(asked)

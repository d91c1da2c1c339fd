"""Recorded rules whose steps kernels take, held against the same rule inline."""

import threading
from contextlib import closing

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.kernels import compiling
from tests.rule_sources import corpus

RULES = {"adamw": ADAMW} | {
    file.stem: file.read_text()
    for file in corpus("benign")
    if file.stem in ("radam", "schedulefree_sgd", "clipped_sgd", "muon")
}


def built(source, kind, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) for shape in [(20, 30), (30,)]]
    weights = [torch.nn.Parameter(each.to(dtype)) for each in drawn]
    groups = [{"params": weights}]
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(rule.options[0])
    rule.bind(groups)
    return rule, weights, groups[0]


def stepped(rule, weights, generator, steps):
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        rule.step()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_steps_by_kernels_as_it_does_inline(name):
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(RULES[name], kind)
        generator = torch.Generator().manual_seed(1)
        try:
            stepped(rule, weights, generator, 12)
            ends.append([weight.detach().clone() for weight in weights])
        finally:
            rule.close()

    assert "dux-kernels" not in [each.name for each in threading.enumerate()]
    for recorded, inline in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, inline, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_takes_the_same_steps_however_long_compiling_takes(name, monkeypatch):
    ends = []
    for loaded in ({}, compiling.LOADED):  # compiled anew, and there at once
        monkeypatch.setattr(compiling, "LOADED", loaded)
        rule, weights, _ = built(RULES[name], "recorded")
        with closing(rule):
            stepped(rule, weights, torch.Generator().manual_seed(1), 8)
        ends.append(weights)

    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_goes_on_from_a_snapshot_takes_the_same_steps(name):
    generator = torch.Generator().manual_seed(1)
    rule, weights, group = built(RULES[name], "recorded")
    other, others, options = built(RULES[name], "recorded")
    with closing(rule), closing(other):
        stepped(rule, weights, generator, 5)
        other.restore(rule.snapshot())
        options.update({key: group[key] for key in rule.options[0]})
        for one, two in zip(weights, others, strict=True):
            two.data.copy_(one.data)
        after = generator.get_state()

        stepped(rule, weights, generator, 5)
        generator.set_state(after)
        stepped(other, others, generator, 5)

    assert all(map(torch.equal, weights, others))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_goes_back_to_its_snapshot_takes_the_same_steps_again(name):
    generator = torch.Generator().manual_seed(1)
    rule, weights, group = built(RULES[name], "recorded")
    ends = []
    with closing(rule):
        stepped(rule, weights, generator, 4)
        learned, after = rule.snapshot(), generator.get_state()
        options = {key: group[key] for key in rule.options[0]}
        values = [weight.detach().clone() for weight in weights]
        for _ in range(2):
            rule.restore(learned)
            group.update(options)
            for weight, value in zip(weights, values, strict=True):
                weight.data.copy_(value)
            generator.set_state(after)
            stepped(rule, weights, generator, 3)
            ends.append([weight.detach().clone() for weight in weights])

    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_a_rule_over_other_dtypes_steps_as_it_does_inline(dtype):
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(ADAMW, kind, getattr(torch, dtype))
        generator = torch.Generator().manual_seed(1)
        with closing(rule):
            for _ in range(6):
                for weight in weights:
                    drawn = torch.randn(weight.shape, generator=generator)
                    weight.grad = drawn.to(weight.dtype)
                rule.step()
            assert "recorded" == getattr(rule, "mode", "recorded")
        ends.append(weights)

    for recorded, inline in zip(*ends, strict=True):
        step = torch.finfo(recorded.dtype).eps
        torch.testing.assert_close(recorded, inline, rtol=8 * step, atol=8 * step)


def test_gradients_that_are_missing_or_lie_otherwise_are_stepped_as_inline():
    ends = []
    for kind in ("recorded", "inline"):
        rule, (matrix, vector), _ = built(ADAMW, kind)
        generator = torch.Generator().manual_seed(1)
        with closing(rule):
            for step in range(12):
                turned = torch.randn(30, 20, generator=generator).t()
                matrix.grad = turned if step % 3 else turned.contiguous()
                vector.grad = torch.randn(30, generator=generator)
                if step % 4 == 1:
                    vector.grad = None
                if step % 5 == 2:
                    matrix.grad.requires_grad_()  # as `create_graph` leaves it
                rule.step()
        ends.append([matrix, vector])

    for recorded, inline in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, inline, rtol=1e-5, atol=1e-6)


def test_a_training_of_500_steps_ends_with_the_loss_that_it_has_inline():
    losses = []
    for kind in ("recorded", "inline"):
        rule, (matrix, vector), _ = built(ADAMW, kind)
        generator = torch.Generator().manual_seed(1)
        inputs = torch.randn(64, 20, generator=generator)
        wanted = torch.sin(inputs.sum(1, keepdim=True) + torch.arange(30.0))
        with closing(rule):
            for _ in range(500):
                rule.zero_grad()
                found = torch.tanh(inputs @ matrix + vector)
                loss = (found - wanted).square().mean()
                loss.backward()
                rule.step()
        losses.append(loss.item())

    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_kernels_tell_whether_a_step_left_all_weights_finite():
    rule, weights, _ = built(ADAMW, "recorded")
    told = []
    with closing(rule):
        for bad in (0.0, 0.0, float("inf"), 0.0):
            for weight in weights:
                weight.grad = torch.ones_like(weight)
            weights[0].grad[3, 4] += bad
            rule.step()
            told.append(rule.left_finite)
        weights[1].grad = None
        rule.step()
        told.append(rule.left_finite)

    assert [None, True, False, False, None] == told

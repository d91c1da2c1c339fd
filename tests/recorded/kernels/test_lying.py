"""Kernels over tensors that lie in memory otherwise than their indices go."""

import gc
from contextlib import closing

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draw

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels import running
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.program import TensorType
from tests.recorded.kernels.test_running import (
    ONE,
    SMALL,
    WIDE,
    copied,
    programs,
    same,
)
from tests.recorded.programs import Writing, adam, adam_inputs


def turned(tensor):
    """The same values; columns are what lies together."""
    order = list(range(tensor.dim()))[::-1]
    return tensor.permute(order).contiguous().permute(order)


def with_holes(tensor):
    """The same values, with others between them in memory."""
    return torch.stack([tensor, torch.full_like(tensor, 7.0)], -1)[..., 0]


def spread(tensor):
    """One row for all, in the memory of one row."""
    return tensor[:1].expand_as(tensor) if tensor.dim() > 1 else tensor


LIES = {"turned": turned, "with holes": with_holes, "in a row": copied}


@pytest.fixture(autouse=True)
def never_in_plain_torch(monkeypatch):
    def called(*_, **__):
        raise AssertionError("a step was taken in plain torch")

    monkeypatch.setattr(running, "interpret", called)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(programs(), draw.lists(draw.sampled_from(sorted(LIES)), min_size=4, max_size=4))
def test_however_tensors_lie_a_step_is_the_same(drawn, lies):
    program, dtype, seed = drawn
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randn(shape, dtype=torch.float64, generator=generator)
        .mul(3)
        .to(getattr(torch, dtype))
        for shape in (WIDE, WIDE, SMALL, SMALL, ONE)
    ]
    lying = [LIES[how](each) for how, each in zip(lies, inputs, strict=False)]
    values = interpret(program, [*map(copied, inputs), 0.25, 0.75])

    got = fuse(program).run([*lying, *inputs[4:], 0.25, 0.75])

    for output, made in zip(program.outputs, got[:-1], strict=True):
        assert same(values[output.value], made), output.place


def halfway(tensor):
    """The same values; the last of their indices but two is what goes fastest."""
    return tensor.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def rows_taken_anew(w, p, g, r):
    w.write(w.do("sub", p, w.do("mul", g, r)), "parameter", 0)
    w.write(w.do("amax", g, dim=[2], keepdim=True), "state", 0, "r")


def rows_made_of_rows(w, p, g, r):
    s = w.read("state", 0, "s", type=ROWS)
    w.write(w.do("sub", p, w.do("mul", g, r)), "parameter", 0)
    w.write(w.do("mul", r, s), "state", 0, "r")
    w.write(w.do("add", s, r), "state", 0, "s")


WHOLE, ROWS = TensorType("float64", (4, 5, 16)), TensorType("float64", (4, 5, 1))


@pytest.mark.parametrize("write", [rows_taken_anew, rows_made_of_rows])
@pytest.mark.parametrize("rows", [turned, halfway, with_holes, copied])
@pytest.mark.parametrize("weight", [turned, halfway, with_holes, copied])
def test_rows_that_are_read_and_written_may_lie_otherwise(write, rows, weight):
    w = Writing()
    p, g = (w.read(each, 0, type=WHOLE) for each in ("parameter", "gradient"))
    write(w, p, g, w.read("state", 0, "r", type=ROWS))
    program = w.program()
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.rand(each.type.shape, generator=generator, dtype=torch.float64)
        for each in program.inputs
    ]
    lying = [weight(inputs[0]), halfway(inputs[1]), *map(rows, inputs[2:])]
    values = interpret(program, inputs)

    *got, _ = fuse(program).run(lying)

    for output, made in zip(program.outputs, got, strict=True):
        assert torch.equal(values[output.value], made), output.place


@pytest.mark.parametrize("lie", [turned, with_holes])
def test_what_is_written_is_written_where_it_lies(lie):
    inputs, others = adam_inputs(), adam_inputs()
    inputs[0] = weight = lie(inputs[0])
    beside = weight.untyped_storage().clone()
    fused = fuse(adam())

    for _ in range(3):
        fused.run(inputs)
        fuse(adam()).run(others)

    assert inputs[0] is weight and torch.equal(others[0], weight)
    if lie is with_holes:
        every_second = torch.tensor(weight.untyped_storage(), dtype=torch.uint8)
        was = torch.tensor(beside, dtype=torch.uint8)
        assert torch.equal(
            was.reshape(-1, 8)[:, 4:], every_second.reshape(-1, 8)[:, 4:]
        )


def test_a_gradient_whose_elements_share_memory_is_read():
    inputs, others = adam_inputs(), adam_inputs()
    inputs[1] = spread(inputs[1])
    others[1] = inputs[1].contiguous()

    fuse(adam()).run(inputs)
    fuse(adam()).run(others)

    assert all(map(same, inputs, others))


def test_elements_that_share_memory_are_not_written(monkeypatch):
    monkeypatch.setattr(running, "interpret", interpret)
    inputs = adam_inputs()
    inputs[0] = spread(inputs[0])
    before = inputs[0].clone()

    with pytest.raises(RuntimeError, match="single memory location"):
        fuse(adam()).run(inputs)

    assert torch.equal(before, inputs[0])


def test_no_copy_outlives_a_step_that_a_guard_ends(monkeypatch):
    monkeypatch.setattr(running, "interpret", interpret)
    inputs = adam_inputs()
    inputs[0], inputs[1] = turned(inputs[0]), turned(inputs[1])
    inputs[1].fill_(float("inf"))
    fused = fuse(adam())

    def alive():
        gc.collect()
        return sum(type(each) is torch.Tensor for each in gc.get_objects())

    before = alive()
    with pytest.raises(GuardFailed):
        fused.run(inputs)

    assert before == alive()


def test_a_new_tensor_lies_as_the_parameter_beside_it():
    w, kind = Writing(), TensorType("float32", (4, 3, 5, 2))
    p, g = w.read("parameter", 0, type=kind), w.read("gradient", 0, type=kind)
    w.write(w.do("mul", g, g), "state", 0, "v")
    w.write(w.do("sub", p, g), "parameter", 0)
    drawn = torch.randn(4, 3, 5, 2)
    last = drawn.contiguous(memory_format=torch.channels_last)

    made, *_ = fuse(w.program()).run([last.clone(), drawn])

    assert torch.equal(drawn * drawn, made) and last.stride() == made.stride()


def trained(source, kind, memory_format, resumed_at=None):
    """The weights of two tensors after 12 steps, and what the rule keeps."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(s, generator=generator) for s in [(6, 5, 3, 3), (30,)]]
    drawn[0] = drawn[0].contiguous(memory_format=memory_format)
    weights = [torch.nn.Parameter(each) for each in drawn]
    groups = [{"params": weights}]

    def build():
        rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
        groups[0].update(rule.options[0])
        rule.bind(groups)
        return rule

    rule = build()
    for step in range(12):
        if step == resumed_at:
            snapshot = rule.snapshot()
            rule.close()
            rule = build()
            rule.restore(snapshot)
        for weight in weights:
            gradient = torch.randn(weight.shape, generator=generator)
            weight.grad = torch.empty_like(weight).copy_(gradient)
        rule.step()
    with closing(rule):
        assert getattr(rule, "mode", kind) == kind
        return [each.detach() for each in weights], rule.snapshot().state[0]


CLIPPED = """
import torch
class Clipped(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["m"] = torch.zeros_like(p)
                state["m"].mul_(0.9).add_(p.grad / p.grad.norm().clamp(min=1.0))
                p.add_(state["m"], alpha=-group["lr"])
"""
RULES = {"adamw": ADAMW, "clipped": CLIPPED}


@pytest.mark.parametrize("name", RULES)
def test_channels_last_weights_are_stepped_as_others_are(name):
    last = torch.channels_last
    weights, kept = trained(RULES[name], "recorded", last)
    resumed, _ = trained(RULES[name], "recorded", last, resumed_at=5)
    others, _ = trained(RULES[name], "recorded", torch.contiguous_format)
    inline, kept_inline = trained(RULES[name], "inline", last)

    assert weights[0].is_contiguous(memory_format=last)
    assert all(map(torch.equal, weights, resumed))
    for one, other, third in zip(weights, others, inline, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(one, third, rtol=1e-5, atol=1e-6)
    strides = [
        {name: each.stride() for name, each in state.items() if torch.is_tensor(each)}
        for state in (kept, kept_inline)
    ]
    assert strides[0] == strides[1]

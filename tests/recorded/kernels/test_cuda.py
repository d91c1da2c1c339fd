"""The kernels of a CUDA device, on one: beside torch's own there, and beside rules."""

from contextlib import closing
from itertools import pairwise

import pytest
import torch

from dux_agent.benchmarks.two_steps import ADAMW
from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.findings import RuleFailed
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels import compiling
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.cuda.runtime_compiler import RuntimeCompiler
from dux_sandbox.recorded.kernels.targets import target_of
from dux_sandbox.recorded.program import TensorType
from tests.recorded.kernels.test_rows import calls_of_torch, centred, factored
from tests.recorded.kernels.test_templates import every_operation
from tests.recorded.programs import Writing, adam, adam_inputs
from tests.recorded.test_equality import RULES

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
DEVICE = torch.device("cuda", 0)
BY_ROWS = """
import torch


class ByRows(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.01})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                last = p.dim() - 1
                size = p.norm(dim=last, keepdim=True)
                row = p.grad.square().mean(dim=last, keepdim=True)
                column = p.grad.abs().amax(dim=0, keepdim=True)
                step = p.grad / (row.sqrt() + column + 1e-8) * size.clamp(1e-3, 10.0)
                p.add_(step, alpha=-group["lr"])
"""
SHAPES = [(40, 33), (70,), (7, 3)]


def on_device(inputs):
    return [x.to(DEVICE) if isinstance(x, torch.Tensor) else x for x in inputs]


@pytest.fixture(autouse=True)
def own_kernels(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "kernels"
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(folder))


def built(source, kind, shapes=SHAPES, dtype=torch.float32, **options):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    weights = [torch.nn.Parameter(each.to(DEVICE, dtype)) for each in drawn]
    groups = [{"params": weights}]
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(rule.options[0] | options)
    rule.bind(groups)
    return rule, weights, groups[0]


def stepped(rule, weights, steps, *, present=lambda step, at: True, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for at, weight in enumerate(weights):
            drawn = torch.randn(weight.shape, generator=generator)
            weight.grad = drawn.to(weight) if present(step, at) else None
        closure = (
            (lambda: torch.ones((), device=DEVICE)) if rule.requires_closure else None
        )
        rule.step(closure)


def took_kernels(rule):
    """Whether its last step was taken by kernels."""
    return rule.mode == "recorded" and bool(rule.left_finite)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_every_operation_gives_what_torch_gives_on_the_device(dtype):
    program, names, inputs = every_operation(dtype, target_of(DEVICE))
    inputs = on_device(inputs)
    wanted = interpret(program, inputs, DEVICE)

    got = fuse(program, device=DEVICE).run(inputs)

    assert len(names) > 100
    for name, output, made in zip(names, program.outputs, got, strict=False):
        want = wanted[output.value]
        same = (made == want) | (made.isnan() & want.isnan())
        assert bool(same.all()), (name, float((~same).double().mean()))


@pytest.mark.parametrize("many", [2, 31, 257, 4096, 4097, 1_000_003])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_reductions_are_those_of_torch(dtype, many):
    w = Writing()
    x = w.read("state", 0, type=TensorType(dtype, (many,)))
    more = {"dim": None, "keepdim": False}
    found = [w.do(name, x, dtype=None, **more) for name in ("sum", "mean")]
    found += [w.do(name, x, **more) for name in ("amax", "amin")]
    found.append(w.do("norm", x, w.number(2.0), **more))
    for at, value in enumerate(found):
        w.write(value, "state", 100 + at)
    inputs = on_device([torch.rand(many).to(getattr(torch, dtype))])
    wanted = interpret(w.program(), inputs, DEVICE)

    got = fuse(w.program(), device=DEVICE).run(inputs)

    step = torch.finfo(getattr(torch, dtype)).eps
    for output, made in zip(w.outputs, got, strict=False):
        want = wanted[output.value]
        torch.testing.assert_close(made, want, rtol=max(1e-6, step), atol=0.0)


LARGE = [(1024, 1024), (50_257, 24), (9, 100_003), (130, 4098), (8, 8), (3000, 4000)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("over", [[0], [1]])
def test_rows_and_columns_are_brought_together_as_torch_does(over, dtype):
    program = centred(*((shape, over) for shape in LARGE), dtype=dtype)
    generator = torch.Generator(DEVICE).manual_seed(0)
    inputs = [
        torch.randn(each.type.shape, generator=generator, device=DEVICE).to(
            getattr(torch, dtype)
        )
        for each in program.inputs
    ]
    wanted = interpret(program, inputs, DEVICE)
    again = [each.clone() for each in inputs]

    fused = fuse(program, device=DEVICE)
    *got, _ = fused.run(inputs)
    *twice, _ = fused.run(again)

    assert [] == calls_of_torch(program, target_of(DEVICE))
    assert all(map(torch.equal, got, twice))
    bound = {"float32": 1e-5, "float64": 1e-12}.get(dtype, 2e-2)
    for output, made in zip(program.outputs, got, strict=True):
        want = wanted[output.value]
        torch.testing.assert_close(made, want, rtol=bound, atol=bound)


def test_an_outer_product_takes_a_number_of_each_row_and_of_each_column():
    w = Writing()
    factored(w, (700, 1300))
    drawn = [torch.rand(each.type.shape) for each in w.inputs]
    inputs = on_device(drawn)
    wanted = interpret(w.program(), on_device(drawn), DEVICE)

    *got, _ = fuse(w.program(), device=DEVICE).run(inputs)

    for output, made in zip(w.outputs, got, strict=True):
        torch.testing.assert_close(made, wanted[output.value], rtol=1e-5, atol=1e-5)


def test_tensors_that_lie_at_no_multiple_of_four_are_stepped_alike():
    wanted, inputs = on_device(adam_inputs()), on_device(adam_inputs())
    memory = torch.full((4, 40), 7.0, device=DEVICE)
    for at, values in enumerate(inputs[:4]):
        inputs[at] = memory[at, 1 + at : 13 + at].view(4, 3).copy_(values)
    fused = fuse(adam(), device=DEVICE)
    fused.run(wanted)

    fused.run(inputs)

    assert all(map(torch.equal, wanted[:4], inputs[:4]))
    for at in range(4):
        around = torch.cat([memory[at, : 1 + at], memory[at, 13 + at :]])
        assert bool((around == 7.0).all())


def test_an_adamw_steps_as_it_does_inline_to_the_last_bit():
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(ADAMW, kind)
        with closing(rule):
            stepped(rule, weights, 20)
            assert kind == "inline" or took_kernels(rule)
        ends.append(weights)

    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_a_rule_over_other_dtypes_steps_as_it_does_inline(dtype):
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(ADAMW, kind, dtype=getattr(torch, dtype))
        with closing(rule):
            stepped(rule, weights, 6)
        ends.append(weights)

    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other)


# Eager torch raises where it meets a tensor on the processor, and goes another way.
ANOTHER_WAY = {"try_except_fallback"}


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_rule_of_the_corpus_steps_as_it_does_inline(path):
    source, ends, fails = path.read_text(), [], ""
    for kind in ("recorded", "inline"):
        torch.manual_seed(0)
        rule, weights, _ = built(source, kind)
        with closing(rule):
            try:
                stepped(rule, weights, 6)
            except RuleFailed as error:
                assert kind == "inline", error
                fails = error.finding.message
            assert kind == "inline" or rule.mode == "recorded"
        ends.append([each.detach() for each in weights])

    # What forgets to say where its tensors are works inline on no device.
    assert not fails or "device" in fails
    draws = any(word in source for word in ("rand", "normal", "dropout", "bernoulli"))
    if draws or fails or path.stem in ANOTHER_WAY:
        return
    for one, other in zip(*ends, strict=True):
        size = float(other.abs().max())
        assert float((one - other).abs().max()) <= 1e-4 * size


def test_another_rate_at_each_step_is_no_part_of_the_kernels():
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, group = built(ADAMW, kind)
        with closing(rule):
            for step in range(8):
                group["lr"] = 0.01 * (step + 1)
                stepped(rule, weights, 1, seed=step)
        ends.append(weights)

    assert all(map(torch.equal, *ends))


@pytest.mark.parametrize(
    "present",
    [lambda step, at: at != 0, lambda step, at: step % 2 == 0 or at == 1],
    ids=["never", "now and then"],
)
def test_a_parameter_without_a_gradient_is_left_alone(present):
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(ADAMW, kind)
        with closing(rule):
            stepped(rule, weights, 6, present=present)
        ends.append(weights)

    assert all(map(torch.equal, *ends))


def test_gradients_that_are_made_anew_are_found_wherever_they_lie():
    rule, weights, _ = built(ADAMW, "recorded")
    twin, others, _ = built(ADAMW, "inline")
    held = []  # so that the next gradient lies elsewhere
    with closing(rule), closing(twin):
        for step in range(6):
            for one, other in zip(weights, others, strict=True):
                one.grad = torch.full_like(one, 0.1 * step - 0.2)
                other.grad = one.grad.clone()
                held.append(one.grad)
            rule.step()
            twin.step()

    assert all(map(torch.equal, weights, others))


@pytest.mark.parametrize("source", [ADAMW, BY_ROWS], ids=["elements", "rows"])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_step_by_kernels_waits_for_no_device(set_to_none, source):
    rule, weights, _ = built(source, "recorded")
    with closing(rule):
        stepped(rule, weights, 4)
        drawn = [torch.randn_like(each) for each in weights]
        torch.cuda.set_sync_debug_mode("error")  # raises where something waits
        try:
            for _ in range(4):
                rule.zero_grad(set_to_none)
                for weight, each in zip(weights, drawn, strict=True):
                    weight.grad = each * 2
                rule.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        finite = bool(rule.left_finite)

    assert finite


def test_a_weight_that_is_not_finite_is_told_of_the_last_step_alone():
    rule, weights, _ = built(ADAMW, "recorded")
    with closing(rule):
        stepped(rule, weights, 4)
        sound = bool(rule.left_finite)
        weights[0].grad = torch.full_like(weights[0], float("nan"))
        rule.step()
        ill = bool(rule.left_finite)

    assert (True, False) == (sound, ill)


def test_steps_in_another_stream_come_in_its_order():
    ends = []
    for stream in (None, torch.cuda.Stream()):
        rule, weights, _ = built(ADAMW, "recorded", shapes=[(2000, 1000), (5,)])
        torch.cuda.synchronize()
        with closing(rule), torch.cuda.stream(stream):
            stepped(rule, weights, 6)
        torch.cuda.synchronize()
        ends.append(weights)

    assert all(map(torch.equal, *ends))


def test_a_rule_that_goes_by_rows_steps_as_it_does_inline():
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(BY_ROWS, kind, shapes=[(300, 1200), (70,), (64, 130)])
        with closing(rule):
            stepped(rule, weights, 8)
            assert kind == "inline" or took_kernels(rule)
        ends.append(weights)

    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_products_of_several_matrices_at_once_are_those_of_each():
    (muon,) = (path.read_text() for path in RULES if path.stem == "muon")
    ends = []
    for kind in ("recorded", "inline"):
        shapes = [(320, 256)] * 3 + [(256, 320)] * 2 + [(256, 256), (70,)]
        rule, weights, _ = built(muon, kind, shapes=shapes)
        with closing(rule):
            stepped(rule, weights, 6)
            assert kind == "inline" or took_kernels(rule)
        ends.append(weights)

    for one, other in zip(*ends, strict=True):
        assert float((one - other).abs().max()) <= 1e-4 * float(other.abs().max())


def test_a_rule_that_goes_on_from_a_snapshot_takes_the_same_steps():
    rule, weights, _ = built(ADAMW, "recorded")
    other, others, _ = built(ADAMW, "recorded")
    with closing(rule), closing(other):
        stepped(rule, weights, 5)
        other.restore(rule.snapshot())
        for one, two in zip(weights, others, strict=True):
            two.data.copy_(one.data)
        stepped(rule, weights, 5, seed=2)
        stepped(other, others, 5, seed=2)

    assert all(map(torch.equal, weights, others))


def test_gradients_that_are_not_contiguous_are_stepped_as_inline():
    ends = []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(ADAMW, kind, shapes=[(30, 20)])
        generator = torch.Generator().manual_seed(1)
        with closing(rule):
            for _ in range(5):
                drawn = torch.randn(20, 30, generator=generator).to(DEVICE)
                weights[0].grad = drawn.t()
                rule.step()
        ends.append(weights)

    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other)


def test_a_kernel_is_kept_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DUX_KERNEL_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(compiling, "LOADED", {})
    wanted, inputs = on_device(adam_inputs()), on_device(adam_inputs())
    fuse(adam(), device=DEVICE).run(wanted)
    monkeypatch.setattr(compiling, "LOADED", {})
    monkeypatch.setattr(RuntimeCompiler, "compile", None)

    fuse(adam(), device=DEVICE).run(inputs)

    assert all(map(torch.equal, wanted[:4], inputs[:4]))


def test_a_long_training_ends_as_it_does_inline():
    ends, losses = [], []
    for kind in ("recorded", "inline"):
        rule, weights, _ = built(ADAMW, kind, shapes=[(64, 32), (64,)])
        generator = torch.Generator().manual_seed(2)
        inputs = torch.randn(256, 32, generator=generator).to(DEVICE)
        targets = inputs.sum(1).sin()
        with closing(rule):
            told = []
            for _ in range(500):
                made = torch.tanh(inputs @ weights[0].t() + weights[1]).mean(1)
                loss = (made - targets).square().mean()
                for weight, gradient in zip(
                    weights, torch.autograd.grad(loss, weights), strict=True
                ):
                    weight.grad = gradient
                rule.step()
                told.append(loss.detach())
        losses.append(torch.stack(told))
        ends.append(weights)

    assert float((losses[0] - losses[1]).abs().max()) <= 1e-4
    assert any(one > other for one, other in pairwise(losses[0][::100].tolist()))

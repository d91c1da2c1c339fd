"""The text of CUDA's kernels, compiled for the processor; what a device does with it is
told by the tests of the marker `cuda`."""

import ctypes
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels import compiling
from dux_sandbox.recorded.kernels.compiler import CannotCompile
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.cuda.kernels import Arguments
from dux_sandbox.recorded.kernels.cuda.runtime_compiler import _names
from dux_sandbox.recorded.kernels.cuda.source import source_of
from dux_sandbox.recorded.kernels.numbers import numbers_in
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.replaying.ahead import Ahead
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.running import InlineRule
from tests.recorded.kernels.cuda_here import HERE, fused_here
from tests.recorded.kernels.test_compiling import doubled
from tests.recorded.kernels.test_templates import every_operation
from tests.recorded.programs import Writing, adam, adam_inputs
from tests.recorded.recording import BOUNDS, Here, twin_of
from tests.recorded.test_equality import RULES
from tests.recorded.test_recording import groups_of, parameters_in

# A device multiplies with what a number is turned over to, and adds in other orders.
OFF_IN_ULPS = {"float32": 16, "float64": 16, "bfloat16": 8, "float16": 8}
# torch's own for these on the processor is another function, or does without.
OTHER = {"erf", "erfinv"}
FEW = [
    path
    for path in RULES
    if path.stem
    in ("radam", "lars", "reasoning_comments", "unitwise_agc", "adafactor_row_col")
]


def test_what_a_call_works_on_has_the_same_layout_on_both_sides():
    assert 8 * 13 == ctypes.sizeof(Arguments)


def test_no_name_of_a_rule_reaches_the_text():
    evil = '"; system("touch x"); /* */ #include </etc/passwd>'

    texts = [source_of(plan_of(doubled(name), HERE).chains[0]) for name in ("x", evil)]

    assert texts[0] == texts[1]


@pytest.mark.parametrize("dtype", OFF_IN_ULPS)
def test_every_template_of_a_device_is_near_what_torch_gives(dtype, tmp_path):
    program, names, inputs = every_operation(dtype, HERE)
    wanted = interpret(program, inputs)

    got = fused_here(program, tmp_path).run(inputs)

    assert len(names) > 100
    for name, output, made in zip(names, program.outputs, got, strict=False):
        want = wanted[output.value]
        if not want.is_floating_point():
            assert torch.equal(want, made), name
        elif name not in OTHER:
            assert torch.equal(want.isnan(), made.isnan()), name
            sound = want.isfinite() & made.isfinite()
            size = torch.stack([each.abs() for each in inputs[:3]]).nan_to_num(
                0.0, 0.0, 0.0
            )
            size = size.amax(0).clamp(max=1.0).maximum(want.abs())
            step = torch.finfo(want.dtype).eps * size + torch.finfo(want.dtype).tiny
            apart = (made - want).abs()[sound] / step[sound]
            assert float(apart.max()) <= OFF_IN_ULPS[dtype], name


@pytest.mark.parametrize("many", [1, 2, 3, 4, 5, 1023, 4095, 4096, 4097, 9001])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_sums_are_of_all_elements_and_of_no_more(many, dtype, tmp_path):
    w = Writing()
    kind = TensorType(dtype, (many,))
    x, y = w.read("parameter", 0, type=kind), w.read("gradient", 0, type=kind)
    total = w.do("sum", w.do("mul", x, y), dim=None, keepdim=False, dtype=None)
    w.write(w.do("sub", x, w.do("mul", y, total)), "parameter", 0)
    whole = torch.linspace(-1, 1, 2 * many + 2, dtype=getattr(torch, dtype))
    inputs = [whole[1 : many + 1].clone(), whole[many + 2 :][:many].clone()]
    wanted = interpret(w.program(), inputs)[w.outputs[0].value]

    fused_here(w.program(), tmp_path).run(inputs)

    tolerance = 4e-2 if dtype == "bfloat16" else 1e-5
    torch.testing.assert_close(inputs[0], wanted, rtol=tolerance, atol=tolerance)


def test_elements_that_lie_at_no_multiple_of_four_are_stepped_one_by_one(tmp_path):
    wanted = adam_inputs()
    fused_here(adam(), tmp_path).run(wanted)
    memory = torch.full((4, 40), 7.0)
    inputs = adam_inputs()
    for at, values in enumerate(inputs[:4]):
        inputs[at] = memory[at, 1 + at : 13 + at].view(4, 3).copy_(values)

    fused_here(adam(), tmp_path).run(inputs)

    assert all(map(torch.equal, wanted[:4], inputs[:4]))
    for at in range(4):
        around = torch.cat([memory[at, : 1 + at], memory[at, 13 + at :]])
        assert torch.equal(torch.full((28,), 7.0), around)


def test_a_weight_that_is_not_finite_is_told_of_the_last_step_alone(tmp_path):
    w = Writing()
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    w.write(w.do("add", p, g), "parameter", 0)
    fused, told = fused_here(w.program(), tmp_path), []

    for size in (1.0, float("inf"), 1.0):
        fused.run([torch.ones(4, 3), torch.full((4, 3), size)])
        told.append(fused.finite)

    assert [True, False, True] == told


@pytest.mark.parametrize("path", FEW, ids=lambda path: path.stem)
def test_a_rule_steps_by_the_text_of_a_device_as_it_does_inline(
    path, tmp_path, monkeypatch
):
    monkeypatch.setattr(Ahead, "look", lambda *where: None)
    monkeypatch.setattr(
        compiling, "fuse", lambda program, *where: fused_here(program, tmp_path)
    )
    source, groups = path.read_text(), groups_of([(40, 33), (70,), (7, 3)])
    others = twin_of(groups)
    torch.manual_seed(0)
    rule, here = InlineRule.build(source, others), Here(source, groups)
    replay = Replay(parameters_in(groups), here, BOUNDS, compiles=True)
    generator = torch.Generator().manual_seed(1)

    with closing(replay):
        replay.build(here.build())
        for _ in range(5):
            pairs = list(zip(parameters_in(groups), parameters_in(others), strict=True))
            for one, other in pairs:
                one.grad = torch.randn(one.shape, generator=generator)
                other.grad = one.grad.clone()
            rule.step()
            replay.step(None, None)

        finite = replay.taken_by.finite
    assert finite
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def products(many):
    """Two products of each parameter with what a kernel makes between them."""
    w, kind = Writing(), TensorType("float32", (256, 256))
    read = [w.read("parameter", at, type=kind) for at in range(many)]
    for at, x in enumerate(read):
        made = w.do("mul", w.do("mm", x, x), w.number(0.5))
        w.write(w.do("add", w.do("mm", made, x), x), "parameter", at)
    return w.program()


def test_large_products_of_several_parameters_are_side_by_side_on_a_device(tmp_path):
    program, room = products(6), 4 * 256 * 256
    inputs = [torch.randn(256, 256) / 16 for _ in range(6)]
    wanted = interpret(program, [each.clone() for each in inputs])

    stages = [
        len(plan_of(program, replace(HERE, side_by_side=most)).stages)
        for most in (1 << 27, room, 0)
    ]
    *got, _ = fused_here(program, tmp_path).run(inputs)

    assert len(plan_of(products(1), HERE).stages) == stages[0] < stages[1] < stages[2]
    for output, made in zip(program.outputs, got, strict=True):
        torch.testing.assert_close(made, wanted[output.value])


def calls_of(monkeypatch, name):
    """The first arguments of each call of a function of torch that follows."""
    called, real = [], getattr(torch, name)
    monkeypatch.setattr(
        torch, name, lambda *given: [called.append(given[0]), real(*given)][1]
    )
    return called


def orthogonal(w, x, turned):
    """Three rounds of Newton and Schulz over one matrix."""
    for _ in range(3):
        other = w.do("transpose", x, dim0=0, dim1=1)
        square = w.do("mm", other, x) if turned else w.do("mm", x, other)
        half = w.do("mul", square, w.number(-0.5))
        more = w.do("mm", x, half) if turned else w.do("mm", half, x)
        x = w.do("add", w.do("mul", x, w.number(1.5)), more)
    return x


def test_products_of_one_shape_are_one_call_and_nothing_is_copied_for_it(
    tmp_path, monkeypatch
):
    w, shapes = Writing(), [(32, 48)] * 3 + [(48, 32)] * 2 + [(16, 16)]
    read = [
        w.read("parameter", at, type=TensorType("float32", shape))
        for at, shape in enumerate(shapes)
    ]
    for at, (p, shape) in enumerate(zip(read, shapes, strict=True)):
        small = w.do("mul", p, w.number(0.1))
        w.write(orthogonal(w, small, shape[0] > shape[1]), "parameter", at)
    inputs = [torch.randn(each.type.shape) for each in w.inputs]
    wanted = interpret(w.program(), [each.clone() for each in inputs])
    fused = fused_here(w.program(), tmp_path)
    products, copies = (calls_of(monkeypatch, name) for name in ("bmm", "stack"))

    *got, _ = fused.run(inputs)

    assert 3 * (2 + 2) == len(products) and not copies
    assert {2, 3} == {len(each) for each in products}
    for output, made in zip(w.outputs, got, strict=True):
        torch.testing.assert_close(made, wanted[output.value])


def test_products_of_what_lies_by_itself_are_one_call_each(tmp_path, monkeypatch):
    program = products(3)
    products_at_once = calls_of(monkeypatch, "bmm")

    fused_here(program, tmp_path).run([torch.randn(256, 256) for _ in range(3)])

    assert not products_at_once


def test_numbers_are_taken_from_what_they_are_parts_of_or_by_themselves():
    few, turned = torch.arange(6.0), torch.arange(6.0).view(2, 3).t()
    many = torch.arange(float(1 << 15))
    parts = [few[4:5], turned[1, 1], many[20_000], few[1], torch.tensor(2.5)]

    assert [4.0, 4.0, 20_000.0, 1.0, 2.5] == numbers_in(parts)


def test_results_that_only_kernels_want_are_made_together(tmp_path):
    """48 rows' norms: those that torch puts in a list are tensors, the others parts."""
    w, kind = Writing(), TensorType("float32", (16, 32))
    read = [w.read("parameter", at, type=kind) for at in range(24)]
    along = {"dim": [1], "keepdim": True, "dtype": None}
    norms = [w.do("norm", x, w.number(2), **along) for x in read]
    sums = [w.do("sum", x, **along) for x in read]
    total = w.do(
        "sum", w.do("stack", *norms, dim=0), dim=None, keepdim=False, dtype=None
    )
    for at, (x, each) in enumerate(zip(read, sums, strict=True)):
        w.write(w.do("mul", w.do("div", x, each), total), "parameter", at)
    inputs = [torch.rand(16, 32) for _ in read]
    wanted = interpret(w.program(), [each.clone() for each in inputs])
    plan = plan_of(w.program(), HERE)

    *got, _ = fused_here(w.program(), tmp_path).run(inputs)

    assert set(norms) <= plan.seen_by_torch and plan.seen_by_torch.isdisjoint(sums)
    for output, made in zip(w.outputs, got, strict=True):
        torch.testing.assert_close(made, wanted[output.value])


def test_a_device_without_kernels_is_told_so():
    with pytest.raises(CannotCompile, match="no kernels for meta"):
        fuse(adam(), device=torch.device("meta"))


def test_the_compiler_is_looked_for_beside_torch_before_anywhere_else(tmp_path):
    folder = tmp_path / "nvidia" / "cu13" / "lib"
    folder.mkdir(parents=True)
    (folder / "libnvrtc.so.13").touch()

    names = list(_names("13.0", [str(tmp_path)]))

    assert [str(folder / "libnvrtc.so.13"), "libnvrtc.so.13"] == names

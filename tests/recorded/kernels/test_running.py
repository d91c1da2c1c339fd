"""Whole programs by kernels, held against the interpreter."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draw

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels import numbers
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import WEIGHT, Writing, adam, adam_inputs

WIDE, SMALL, ONE = (16, 24), (32,), ()
UNARY = "neg abs square sign floor round trunc relu exp tanh log clone isnan".split()
AXES = draw.sampled_from([0, 1])
BINARY = "add sub mul div maximum minimum gt le copysign".split()


def same(one, other):
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and one.shape == other.shape
        return torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    return type(one) is type(other) and (one == other or one != one)


def agree(program, inputs):
    """Kernels and the interpreter give the same, from copies of the same inputs."""
    wanted = interpret(program, [copied(each) for each in inputs])
    got = fuse(program).run([copied(each) for each in inputs])
    wanted = [wanted[each.value] for each in program.outputs]
    return [
        program.outputs[at].place
        for at, pair in enumerate(zip(wanted, got[:-1], strict=True))
        if not same(*pair)
    ]


def copied(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


@draw.composite
def programs(draw_from):
    """Random programs of operations whose results are the same to the last bit."""
    dtype = draw_from(draw.sampled_from(["float32", "float64", "bfloat16"]))
    w = Writing()
    for at, shape in enumerate([WIDE, WIDE, SMALL, SMALL, ONE]):
        w.read("state", at, type=TensorType(dtype, shape))
    w.read("option", 0, "lr", type="float")
    w.read("option", 0, "beta", type="float")
    shapes = {0: WIDE, 1: WIDE, 2: SMALL, 3: SMALL, 4: ONE, 5: None, 6: None}
    booleans = set()
    for _ in range(draw_from(draw.integers(3, 14))):
        write_one(draw_from, w, shapes, booleans, dtype)
    tensors = [v for v, shape in shapes.items() if shape is not None]
    for at, shape in enumerate([WIDE, WIDE, SMALL, SMALL, ONE]):
        fit = [v for v in tensors if shapes[v] == shape and v not in booleans]
        w.write(draw_from(draw.sampled_from(fit)), "state", at)
    w.write(max(tensors), "state", "new")
    w.write(max(v for v, shape in shapes.items() if shape is None), "attribute", "n")
    return w.program(), dtype, draw_from(draw.integers(0, 1000))


def write_one(draw_from, w, shapes, booleans, dtype):
    """One more operation, on values that are there."""
    numbers = draw.sampled_from([v for v, shape in shapes.items() if shape is None])
    floats = [v for v, shape in shapes.items() if shape and v not in booleans] + [4]
    one = draw_from(draw.sampled_from(floats))
    shape = shapes[one]
    peers = [v for v in floats if shapes[v] == shape] + [4]
    kinds = ["unary", "binary", "mixed", "most", "number", "asked", "other shape"]
    kinds += ["rows", "by rows"] if shape == WIDE else []
    kind = draw_from(draw.sampled_from(kinds))
    if kind == "unary":
        name = draw_from(draw.sampled_from(UNARY))
        value = w.do(name, one)
    elif kind == "binary":
        name = draw_from(draw.sampled_from(BINARY))
        value = w.do(name, one, draw_from(draw.sampled_from(peers)))
    elif kind == "mixed":
        name = draw_from(draw.sampled_from(["mul", "add", "div", "addcmul", "lerp"]))
        others = [draw_from(draw.sampled_from(peers)) for _ in range(2)]
        others = others[: {"addcmul": 2, "lerp": 1}.get(name, 0)]
        value = w.do(name, one, *others, draw_from(numbers))
    elif kind == "most":
        name = "amax"
        value = w.do("amax", one, dim=None, keepdim=False)
        shape = ONE
    elif kind == "rows":
        name, dim = draw_from(draw.sampled_from(["amax", "amin"])), draw_from(AXES)
        value = w.do(name, one, dim=[dim], keepdim=True)
        shape = (1, 24) if dim == 0 else (16, 1)
    elif kind == "by rows":
        name = draw_from(draw.sampled_from(BINARY))
        few = [v for v in floats if shapes[v] in ((16, 1), (1, 24))] + [4]
        pair = [one, draw_from(draw.sampled_from(few))]
        value = w.do(name, *(pair if draw_from(draw.booleans()) else pair[::-1]))
    elif kind == "asked" and shape != ONE and booleans:
        name = draw_from(draw.sampled_from(["all", "any"]))
        asked = draw_from(draw.sampled_from(sorted(booleans)))
        value = w.do(name, asked, dim=None, keepdim=False)
        booleans.add(value)
        shape = ONE
    elif kind == "other shape" and shape == WIDE:
        name = "reshape"
        flat = w.do("reshape", one, shape=[16 * 24])
        shapes[flat] = (16 * 24,)
        lower = w.do("floor", flat)
        shapes[lower] = (16 * 24,)
        value = w.do("reshape", lower, shape=list(WIDE))
    else:
        name = "number"
        value = w.do("number.mul", draw_from(numbers), draw_from(numbers))
        shape = None
        if draw_from(draw.booleans()):
            value = w.do("item", w.do("amin", one, dim=None, keepdim=False))
            shapes[value - 1] = ONE
    shapes[value] = shape
    if name in ("gt", "le", "isnan"):
        booleans.add(value)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(programs())
def test_kernels_give_what_the_interpreter_gives(drawn):
    program, dtype, seed = drawn
    generator = torch.Generator().manual_seed(seed)
    inputs = [
        torch.randn(shape, dtype=torch.float64, generator=generator)
        .mul(3)
        .to(getattr(torch, dtype))
        for shape in (WIDE, WIDE, SMALL, SMALL, ONE)
    ]

    assert [] == agree(program, [*inputs, 0.25, 0.75])


def test_a_step_is_within_4_units_in_the_last_place_of_torchs():
    program, inputs = adam(), adam_inputs()
    wanted = interpret(program, adam_inputs())

    *got, result = fuse(program).run(inputs)

    assert result is None
    for output, made in zip(program.outputs[:3], got[:3], strict=True):
        want = wanted[output.value]
        assert bool(((made - want).abs() <= 4 * 2**-23 * want.abs()).all())
    assert 5 == got[3]


def test_outputs_are_written_to_the_tensors_that_are_there():
    program, inputs = adam(), adam_inputs()
    before = inputs[0].clone()

    got = fuse(program).run(inputs)

    assert got[0] is inputs[0] and got[1] is inputs[2] and got[2] is inputs[3]
    assert not torch.equal(before, inputs[0])


def test_a_write_counts_as_one_for_autograd():
    inputs = adam_inputs()
    weight = inputs[0]
    twice = (weight.clone().requires_grad_() * weight).sum()

    fuse(adam()).run(inputs)

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        twice.backward()


def test_a_guard_that_fails_leaves_everything_as_it_was():
    program, inputs = adam(), adam_inputs()
    inputs[1].fill_(float("inf"))
    before = [copied(each) for each in inputs]

    with pytest.raises(GuardFailed) as told:
        fuse(program).run(inputs)

    assert 0 == told.value.index
    assert all(map(same, before, inputs))


def test_a_number_that_cannot_be_leaves_everything_as_it_was():
    program, inputs = adam(), adam_inputs()
    inputs[4] = -1  # the correction of step 0 is a division by zero
    before = [copied(each) for each in inputs]

    with pytest.raises(ZeroDivisionError):
        fuse(program).run(inputs)

    assert all(map(same, before, inputs))


def test_a_number_wider_than_any_float_leaves_everything_as_it_was():
    other = TensorType("float64", (7,))
    writing = Writing()
    weight, count = (
        writing.read("parameter", 0),
        writing.read("state", 0, "n", type="int"),
    )
    another = writing.read("parameter", 1, type=other)
    writing.write(writing.do("neg", weight), "parameter", 0)
    writing.write(writing.do("mul", another, count), "parameter", 1)
    asked = []
    inputs = [torch.ones(WEIGHT.shape), 10**400, torch.ones(7, dtype=torch.float64)]
    before = [copied(each) for each in inputs]

    with pytest.raises((OverflowError, RuntimeError)):
        fuse(writing.program()).run(inputs, before=asked.append)

    assert all(map(same, before, inputs))
    assert not asked


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_weight_that_is_not_finite_is_told(bad):
    w = Writing()
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    w.write(w.do("sub", p, g, w.number(0.5)), "parameter", 0)
    fused = fuse(w.program())
    inputs = [torch.ones(4, 3), torch.ones(4, 3)]

    fused.run(inputs)
    sound = fused.finite
    inputs[1][2, 1] = bad
    fused.run(inputs)
    ill = fused.finite
    inputs[0].fill_(1.0)
    inputs[1].fill_(1.0)
    fused.run(inputs)

    assert (True, False, True) == (sound, ill, fused.finite)


def steps_of_sgd(program, threads, make, steps=3):
    torch.set_num_threads(threads)
    try:
        inputs = make()
        fused = fuse(program)
        for _ in range(steps):
            fused.run(inputs)
        return inputs
    finally:
        torch.set_num_threads(1)


def many_parameters():
    """Clipping by the norm of all gradients, and weights of many shapes."""
    w, shapes = Writing(), [(300, 301), (7,), (1,), (5000,), (40, 3, 3, 2)]
    kinds = [TensorType("float32", shape) for shape in shapes]
    p = [w.read("parameter", at, type=kind) for at, kind in enumerate(kinds)]
    g = [w.read("gradient", at, type=kind) for at, kind in enumerate(kinds)]
    total = w.number(0.0)
    for each in g:
        norm = w.do("norm", each, w.number(2), dim=None, keepdim=False, dtype=None)
        square = w.do("number.pow", w.do("item", norm), w.number(2))
        total = w.do("number.add", total, square)
    scale = w.do("number.div", w.number(-0.1), w.do("number.sqrt", total))
    for at, (weight, gradient) in enumerate(zip(p, g, strict=True)):
        moved = w.do("add", weight, w.do("mul", gradient, scale))
        w.write(moved, "parameter", at)

    def make():
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(shape, generator=generator) for shape in shapes * 2]

    return w.program(), make


def test_the_number_of_threads_changes_no_bit():
    program, make = many_parameters()

    one = steps_of_sgd(program, 1, make)
    two = steps_of_sgd(program, 2, make)

    assert all(map(torch.equal, one, two))


def test_tensors_that_do_not_lie_in_a_row_are_stepped_too():
    program, make = many_parameters()

    def scattered():
        inputs = make()
        inputs[0] = inputs[0].t().contiguous().t()
        inputs[9] = inputs[9].contiguous(memory_format=torch.channels_last)
        return inputs

    one = steps_of_sgd(program, 1, make)
    other = steps_of_sgd(program, 1, scattered)

    for wanted, got in zip(one, other, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.new_zeros(2, 3),
        lambda tensor: tensor.double(),
        lambda tensor: tensor[:1],
    ],
)
def test_memory_that_was_exchanged_between_steps_is_looked_at(change):
    w = Writing()
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    w.write(w.do("sub", p, g), "parameter", 0)
    weight = torch.nn.Parameter(torch.ones(4, 3))
    gradient = torch.ones(4, 3)
    fused = fuse(w.program())
    fused.run([weight, gradient])

    weight.data = change(weight.data)
    with pytest.raises(RuntimeError):
        fused.run([weight, gradient[:2, :2]])
    weight.data = torch.full((4, 3), 5.0)
    fused.run([weight, gradient])

    assert torch.equal(torch.full((4, 3), 4.0), weight.detach())


def test_a_strand_reads_what_another_one_writes_as_it_was_before():
    w = Writing()
    scale = w.read("state", 0, "scale", type=TensorType("float32", ()))
    p, old = w.read("parameter", 0), w.read("state", 0, "old")
    w.write(w.do("add", scale, w.number(1.0)), "state", 0, "scale")
    w.write(w.do("mul", p, scale), "parameter", 0)
    w.write(p, "state", 0, "old")
    w.write(w.do("transpose", old, dim0=0, dim1=1), "state", 0, "turned")
    w.write(w.do("abs", old), "state", 0, "new")
    inputs = [torch.tensor(3.0), torch.randn(4, 3), torch.randn(4, 3)]

    assert [] == agree(w.program(), inputs)


def test_matrices_and_what_lies_between_them_agree():
    w = Writing()
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    norm = w.do("norm", g, w.number(2), dim=None, keepdim=False, dtype=None)
    x = w.do("div", g, w.do("add", norm, w.number(1e-7)))
    for _ in range(2):
        turned = w.do("transpose", x, dim0=0, dim1=1)
        s = w.do("mm", x, turned)
        inner = w.do("add", w.do("mul", s, w.number(-4.7)), w.do("mm", s, s))
        x = w.do("add", w.do("mul", x, w.number(3.4)), w.do("mm", inner, x))
    w.write(w.do("sub", p, x, w.number(0.1)), "parameter", 0)
    program = w.program()
    inputs = [torch.randn(4, 3), torch.randn(4, 3)]
    wanted = interpret(program, [copied(each) for each in inputs])

    got, _ = fuse(program).run(inputs)

    want = wanted[program.outputs[0].value]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_counts_of_steps_that_part_are_counted_apart():
    w = Writing()
    p = [w.read("parameter", at) for at in range(3)]
    t = [w.read("state", at, "step", type="int") for at in range(3)]
    for at in range(3):
        step = w.do("number.add", t[at], w.number(1))
        w.write(step, "state", at, "step")
        rate = w.do("number.div", w.number(1.0), step)
        w.write(w.do("mul", p[at], rate), "parameter", at)
    program = w.program()
    weights = [torch.ones(4, 3) for _ in range(3)]

    fused, counts = fuse(program), [0, 0, 0]
    for step in range(3):
        if step == 2:
            counts[1] = 9
        got = fused.run([*weights, *counts])
        counts = [got[at] for at in (0, 2, 4)]

    assert [3, 10, 3] == counts
    assert [1 / 6, 1 / 20, 1 / 6] == pytest.approx([x[0, 0].item() for x in weights])


def test_zeros_of_either_sign_are_told_apart():
    w = Writing()
    p = w.read("parameter", 0)
    one = w.read("option", 0, "a", type="float")
    other = w.read("option", 0, "b", type="float")
    w.write(w.do("mul", p, one), "parameter", 0)
    w.write(w.do("mul", p, other), "state", 0, "other")

    first, second, _ = fuse(w.program()).run([torch.ones(4, 3), 0.0, -0.0])

    assert not first.signbit().any() and second.signbit().all()


def test_what_torch_makes_is_not_read_as_another_type(monkeypatch):
    writing = Writing()
    gradient = writing.read("gradient", 0)
    total = writing.do("cumsum", gradient, dim=0, dtype=None)
    writing.write(writing.do("mul", total, writing.number(2.0)), "parameter", 0)
    fused = fuse(writing.program())
    short = replace(TABLE["cumsum"], meaning=lambda tensor, **_: tensor[:1].clone())
    monkeypatch.setattr(numbers, "TABLE", TABLE | {"cumsum": short})

    with pytest.raises(RuntimeError, match="cumsum gives no"):
        fused.run([torch.ones(4, 3)], [torch.zeros(4, 3)])


@pytest.mark.parametrize("copied_ones", [False, True])
def test_whoever_asks_is_told_where_tensors_may_have_moved(copied_ones, monkeypatch):
    fused, inputs = fuse(adam()), adam_inputs()
    if (
        copied_ones
    ):  # a turned weight, of which kernels have a copy; in one place always
        weight = inputs[0]
        inputs[0] = weight.t().contiguous().t()
        place = torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype)
        monkeypatch.setattr(torch, "empty_strided", lambda *given, **named: place)
    told = []

    for _ in range(3):
        fused.run(inputs, moved=lambda: told.append(None))

    assert (3 if copied_ones else 1) == len(told)

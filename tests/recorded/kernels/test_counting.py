"""The numbers of a step, counted at once, held against the interpreter."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draw

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.number_operations import MEANINGS, TWO, kind_of_result
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing

NUMBERS = {"int": draw.integers(-9, 9), "float": draw.floats(-3, 3)}
NAMES = sorted(
    {"add", "sub", "mul", "div", "neg", "pow", "lt", "ge", "eq"} & {*MEANINGS}
)


@draw.composite
def counts(draw_from):
    """Programs of numbers, with what they begin with; all numbers are outputs."""
    w, kinds, given = Writing(), {}, [torch.ones(32)]
    p = w.read("parameter", 0, type=TensorType("float32", (32,)))
    for at, kind in enumerate(
        draw_from(draw.lists(draw.sampled_from([*NUMBERS]), min_size=2, max_size=4))
    ):
        value = w.read("state", at, type=kind)
        kinds[value] = kind
        given.append(draw_from(NUMBERS[kind]))
    lr = w.read("option", 0, "lr", type="float")
    kinds[lr] = "float"
    given.append(draw_from(NUMBERS["float"]))
    for _ in range(draw_from(draw.integers(1, 9))):
        name = draw_from(draw.sampled_from(NAMES))
        many = 2 if name in TWO else 1
        numbers = [at for at, kind in kinds.items() if kind != "bool"]
        taken = [draw_from(draw.sampled_from(numbers)) for _ in range(many)]
        made = w.do(f"number.{name}", *taken)
        kinds[made] = kind_of_result(name, [kinds[at] for at in taken])
        if kinds[made] == "bool" and draw_from(draw.booleans()):
            w.guard(made, draw_from(draw.booleans()))
    w.write(w.do("mul", p, lr), "parameter", 0)
    for value in kinds:
        if value >= len(w.inputs):
            w.write(value, "attribute", f"n{value}")
    return w.program(), given


def outcome(take):
    """What it gives, numbers with their types, or how it ends."""
    try:
        return [
            each.tolist()
            if isinstance(each, torch.Tensor)
            else (type(each), repr(each))
            for each in take()
        ]
    except GuardFailed as failed:
        return "guard", failed.index
    except (ArithmeticError, ValueError) as error:
        return type(error), str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])
@given(counts())
def test_numbers_are_those_that_the_interpreter_gives(drawn):
    program, inputs = drawn

    def slowly():
        values = interpret(program, [torch.ones(32), *inputs[1:]])
        return [values[each.value] for each in program.outputs]

    fused = fuse(program)
    for _ in range(2):  # the second time nothing is new
        got = outcome(lambda: fused.run([torch.ones(32), *inputs[1:]])[:-1])

        wanted = outcome(slowly)
        if got[0] == "guard" and wanted[0] in (ZeroDivisionError, OverflowError):
            continue  # numbers that guards ask first come before what raises
        assert wanted == got


def test_an_integer_has_its_bound():
    w = Writing()
    p = w.read("parameter", 0, type=TensorType("float32", (32,)))
    count, lr = (
        w.read("attribute", "count", type="int"),
        w.read("option", 0, "lr", type="float"),
    )
    w.write(w.do("mul", p, lr), "parameter", 0)
    w.write(w.do("number.mul", count, count), "attribute", "count")
    fused, weight = fuse(w.program()), torch.ones(32)

    fused.run([weight, 1 << 2000, 0.5])
    with pytest.raises(OverflowError, match="4096 bits"):
        fused.run([weight, 1 << 2100, 0.5])

    assert torch.equal(torch.full((32,), 0.5), weight)


def test_an_option_that_is_another_one_is_counted_anew():
    w = Writing()
    p = w.read("parameter", 0, type=TensorType("float32", (32,)))
    lr = w.read("option", 0, "lr", type="float")
    w.write(w.do("mul", p, w.do("number.neg", lr)), "parameter", 0)
    fused, weight = fuse(w.program()), torch.ones(32)

    made = []
    for lr in (2.0, 2.0, 3.0, 0.0, -0.0):
        fused.run([weight.fill_(1.0), lr])
        made.append((weight[0].item(), bool(weight[0].signbit())))

    assert [(-2.0, True), (-2.0, True), (-3.0, True), (0, True), (0, False)] == made


def test_weights_that_are_written_and_not_read_are_written_too():
    w = Writing()
    kind = TensorType("float32", (32,))
    average, lr = (
        w.read("state", 0, "z", type=kind),
        w.read("option", 0, "lr", type="float"),
    )
    count = w.read("state", 0, "step", type="int")
    counted = w.do("number.add", count, w.number(1))
    moved = w.do("mul", average, w.do("number.mul", lr, counted))
    w.write(moved, "state", 0, "z")
    w.write(moved, "parameter", 0)
    w.write(counted, "state", 0, "step")
    fused, weight, kept = fuse(w.program()), torch.zeros(32), torch.ones(32)
    fused.give([2])

    given = [fused.run([kept, 0.5, step], [None, weight, None]) for step in (3, 0)]

    assert [[4, None], [1, None]] == given
    assert torch.equal(torch.ones(32), weight)
    assert torch.equal(torch.ones(32), kept)

"""Divisions by a number that kernels do without one, held against true ones."""

import math

import pytest
import torch

from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.dividing import quotients
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.kernels.targets import CPU
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing

ELEMENTS = 1 << 14
ODD = [0.0, -0.0, math.inf, -math.inf, math.nan, 3.4e38, -3.4e38, 1e37, 2.0**-100]
DIVISORS = [
    *(1 - 0.9**t for t in (1, 2, 3, 7, 40)),
    *(1 - 0.999**t for t in (1, 5, 1000)),
    *(1.0, 3.0, 1 / 3, 7e5, 2.0**-20, 2.0**20, 1 - 2.0**-24, 1 + 2.0**-23),
]
# Divided as they stand: nothing is won by a shorter way for what no rule does.
OTHERS = [0.0, -0.0, -0.1, -3.0, 1e-30, 1e-42, 1e30, 3e38, math.inf, math.nan]


def program_of(dtype, *, root, elements=ELEMENTS):
    writing = Writing()
    kind = TensorType(dtype, (elements,))
    tensor = writing.read("state", 0, type=kind)
    number = writing.read("option", 0, "c", type="float")
    quotient = writing.do("div", tensor, number)
    writing.write(quotient, "state", 1)
    if root:
        writing.write(writing.do("sqrt", quotient), "state", 2)
    return writing.program()


def elements(dtype):
    generator = torch.Generator().manual_seed(0)
    made = torch.randn(ELEMENTS, dtype=torch.float64, generator=generator)
    made *= 10 ** (torch.rand(ELEMENTS, generator=generator) * 60 - 30)
    made[: len(ODD)] = torch.tensor(ODD, dtype=torch.float64)
    return made.to(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_a_quotient_is_that_of_a_division(dtype):
    tensor = elements(getattr(torch, dtype))
    fused = fuse(program_of(dtype, root=True))

    for number in (*DIVISORS, *OTHERS):
        quotient, *_ = fused.run([tensor, number])

        want = tensor / number
        same = (quotient == want) & (quotient.signbit() == want.signbit())
        same |= quotient.isnan() & want.isnan()
        if dtype == "float32":
            same |= want.abs() < 2.0**-100
            # `2 ** k / (1 - 2 ** -24)` is next to the middle of two floats.
            other = (~same).nonzero().flatten().tolist()
            assert tensor[other].tolist() in ([], [2.0**-100]), number
            same[other] = (quotient / want - 1).abs()[other] < 2.0**-22
        assert bool(same.all()), number


def test_of_the_smallest_numbers_a_quotient_is_next_to_the_right_one():
    tensor = 10.0 ** -torch.linspace(30, 45, ELEMENTS, dtype=torch.float64)
    tensor = torch.cat([tensor[::2], -tensor[1::2]]).float()
    fused = fuse(program_of("float32", root=True))

    for number in DIVISORS:
        quotient, *_ = fused.run([tensor, number])

        apart = quotient.view(torch.int32) - (tensor / number).view(torch.int32)
        assert int(apart.abs().max()) <= 1, number


def test_of_all_floats_between_two_powers_hardly_any_is_divided_otherwise():
    mantissas = 1 << 23
    bits = torch.arange(mantissas, dtype=torch.int32) + (127 << 23)
    tensor = bits.view(torch.float32)
    fused = fuse(program_of("float32", root=True, elements=mantissas))

    for number in (1 - 0.9**3, 1 - 0.999**5, 1 / 3, 1 - 2.0**-24):
        quotient, *_ = fused.run([tensor, number])

        divisor = torch.tensor(number, dtype=torch.float32)
        apart = quotient.view(torch.int32) - (tensor / divisor).view(torch.int32)
        assert int(apart.abs().max()) <= 1, number
        assert int(apart.count_nonzero()) <= 8, number


def test_where_all_else_is_exact_a_division_is_one():
    chains = {
        root: plan_of(program_of("float32", root=root), CPU).chains
        for root in (True, False)
    }

    assert [1] == [len(quotients(each)) for each in chains[True]]
    assert [0] == [len(quotients(each)) for each in chains[False]]

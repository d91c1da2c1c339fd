"""Numbers that a rule sorts: which comes first hangs on no branch."""

import math

import pytest
import torch

from dux_sandbox.recorded.number_operations import ranked
from dux_sandbox.recorded.typing_of import result_of
from tests.recorded.test_recording import steps_beside
from tests.sources import with_step

MEDIAN = with_step(
    """\
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                seen = [*s.get("seen", []), float(p.grad.norm())][-5:]
                s["seen"] = seen
                usual = sorted(seen)[len(seen) // 2]
                p.sub_(p.grad, alpha=min(1.0, usual / (seen[-1] + 1e-8)))
"""
)
TRIMMED = with_step(
    """\
        for group in self.param_groups:
            seen = [float(p.grad.abs().max()) for p in group["params"]] + [1, 0.5]
            seen.sort(reverse=True)
            rate = sum(seen[1:-1]) / len(seen)
            for p in group["params"]:
                p.sub_(p.grad, alpha=0.01 / (1 + rate))
"""
)


@pytest.mark.parametrize("source", [MEDIAN, TRIMMED], ids=["sorted", "list.sort"])
def test_numbers_out_of_tensors_are_sorted_in_the_program(source):
    replay, here, _, pairs = steps_beside(source, steps=20)

    for one, other in pairs:
        assert torch.allclose(other, one, rtol=1e-6, atol=1e-7)
    assert replay.recordings <= 6
    assert any(x.name == "number.ranked" for x in here.programs[-1].operations)


@pytest.mark.parametrize("numbers", [(3.0, 1, 2.5), (1, 1.0, True), (math.nan, 2, 1)])
@pytest.mark.parametrize("reverse", [True, False])
def test_a_place_is_what_python_sorts_there(numbers, reverse):
    found = [ranked(*numbers, rank=at, reverse=reverse) for at in range(3)]

    wanted = sorted(numbers, reverse=reverse)
    assert [(type(each), repr(each)) for each in wanted] == [
        (type(each), repr(each)) for each in found
    ]


@pytest.mark.parametrize("rank", [-1, 2, 1 << 40])
def test_a_place_beyond_the_numbers_is_refused(rank):
    with pytest.raises(IndexError, match="of 2 that are sorted"):
        result_of("number.ranked", ("float", "int"), {"rank": rank, "reverse": False})

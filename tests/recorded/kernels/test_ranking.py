"""Elements at ranks, found without sorting: the same to the last bit."""

import pytest
import torch

from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.operations_of_ranks import at_rank, at_ranks, median
from dux_sandbox.recorded.program import TensorType
from tests.recorded.kernels.test_many_weights import stepped
from tests.recorded.programs import Writing
from tests.recorded.test_both_ways import each_parameter

MANY = 1 << 16


def tensors():
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(MANY, generator=generator)
    some = normal.clone()
    some[::1000], some[7], some[9] = torch.nan, torch.inf, -torch.inf
    return {
        "normal": normal,
        "sizes": normal.abs().double(),
        "mostly zero": normal.relu() * (normal > 2),
        "rising": torch.arange(float(MANY)),
        "falling": torch.arange(float(MANY)).flip(0),
        "few values": (normal * 2).round(),
        "in waves": (torch.arange(float(MANY)) % 8) * 1e3 + normal,
        "not all numbers": some,
        "no numbers": torch.full((MANY,), torch.nan),
        "small": normal[:100],
    }


@pytest.mark.parametrize("name", tensors())
def test_an_element_at_a_rank_is_that_of_the_sorted_tensor(name):
    tensor = tensors()[name]
    wanted = tensor.sort().values

    for part in (0.0, 0.001, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0):
        rank = round(part * (len(tensor) - 1))
        found = at_rank(tensor, rank)
        assert torch.equal(wanted[rank].nan_to_num(-5.0), found.nan_to_num(-5.0))
    assert torch.equal(
        tensor.median().nan_to_num(-5.0), median(tensor).nan_to_num(-5.0)
    )


@pytest.mark.parametrize(
    ("ranks", "error"),
    [([3], ValueError), ([-1], ValueError), ([[0]], TypeError), ([0.0], TypeError)],
)
def test_a_rank_that_is_none_is_refused(ranks, error):
    with pytest.raises(error):
        at_ranks(torch.zeros(3), torch.tensor(ranks))


def bounded(make):
    """Weights less a gradient that is no larger than some elements of itself say."""
    w, kind = Writing(), TensorType("float32", (256, 256))
    p, g = (w.read(each, 0, type=kind) for each in ("parameter", "gradient"))
    flat = w.do("reshape", w.do("abs", g), shape=[MANY])
    most = make(w, flat)
    w.write(w.do("sub", p, w.do("clamp", g, w.do("neg", most), most)), "parameter", 0)
    return w.program()


def _sorted(w, flat, descending=False):
    given = {"dim": -1, "descending": descending, "stable": False}
    return w.do("part", w.do("sort", flat, **given), index=0)


def _gathered(w, flat):
    found = _sorted(w, flat)
    rank = w.do("full", w.number(50_000), size=[1], dtype="int64")
    one = w.do("gather", found, rank, dim=-1)
    along = {"dim": [-1], "keepdim": True}
    odd = w.do("any", w.do("isnan", found), **along)
    one = w.do("masked_fill", one, odd, w.number(0.5))
    return w.do("reshape", one, shape=[])


def _selected(w, flat, index=-700, descending=False):
    return w.do("select", _sorted(w, flat, descending), dim=0, index=index)


def _largest(w, flat, largest=True):
    given = {"k": 6000, "dim": 0, "largest": largest, "sorted": True}
    found = w.do("part", w.do("topk", flat, **given), index=0)
    return w.do("select", found, dim=0, index=-1)


def _summed(w, flat):
    along = {"dim": None, "keepdim": False, "dtype": None}
    return w.do("mean", _sorted(w, flat), **along)


@pytest.mark.parametrize(
    ("make", "spared"),
    [
        (_gathered, True),
        (_selected, True),
        (lambda w, flat: _selected(w, flat, 123, True), True),
        (_largest, True),
        (lambda w, flat: _largest(w, flat, False), True),
        (_summed, False),
    ],
)
@pytest.mark.parametrize("odd", [False, True])
def test_what_is_sorted_for_a_few_elements_is_not_sorted(make, spared, odd):
    program = bounded(make)
    generator = torch.Generator().manual_seed(0)
    inputs = list(torch.randn(2, 256, 256, generator=generator))
    if odd:
        inputs[1][3, 5] = torch.nan
    wanted = interpret(program, [each.clone() for each in inputs])

    fuse(program).run(inputs)

    plan = plan_of(program)
    done = [value for stage in plan.stages for value in stage.plain]
    names = {plan.program.operation_of(value).name for value in done}
    assert spared == names.isdisjoint(["sort", "topk"])
    off = 0.0 if spared else 1e-6
    want = wanted[program.outputs[0].value]
    torch.testing.assert_close(inputs[0], want, rtol=off, atol=off, equal_nan=True)


RULES = {
    "quantile": """\
most = torch.quantile(g.abs().flatten(), 0.9)
p.sub_(0.1 * torch.clamp(g, -most, most))""",
    "median": "p.sub_(0.01 * g / (g.abs().median() + 1e-8))",
    "largest": """\
size = g.abs().flatten()
most = size.topk(max(1, size.numel() // 10)).values[-1]
p.sub_(torch.where(g.abs() >= most, g, torch.zeros_like(g)), alpha=0.1)""",
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_of_ranks_is_stepped_as_inline(name):
    source, missing = each_parameter(RULES[name]), {(5, 0), (6, 1), (9, 2)}

    weights, rule, _ = stepped(source, "recorded", missing)
    others, _, _ = stepped(source, "inline", missing)

    assert "recorded" == rule.mode
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)

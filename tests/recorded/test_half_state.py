"""A rule that asks for it keeps its state in bfloat16, rounded by chance."""

import sys

import pytest
import torch

from dux_sandbox.executions import INLINE, ISOLATED, RECORDED
from dux_sandbox.half_state import GENERATOR, rounded_by_chance
from dux_sandbox.limits import Limits
from dux_sandbox.static_check import check
from tests.sources import counting, with_step

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
KINDS = {each.name: each for each in (INLINE, ISOLATED, RECORDED)}

ADAM = """m = state.setdefault("m", torch.zeros_like(p))
                v = state.setdefault("v", torch.zeros_like(p))
                m.lerp_(p.grad, 0.1)
                v.mul_(0.99).addcmul_(p.grad, p.grad, value=0.01)
                p.addcdiv_(m, v.sqrt().add_(1e-8), value=-lr)"""
AVERAGE = """state["mean"] = 0.999 * state.get("mean", 0 * p) + 0.001 * p.grad
                p.sub_(lr * state["mean"])"""


def asking(formula):
    return counting(formula).replace(
        "    def __init__", "    bfloat16_state = True\n\n    def __init__", 1
    )


class Run:
    """A rule over two parameters, stepped with gradients of one draw."""

    def __init__(
        self,
        kind,
        source,
        shapes=((30, 4), (4,)),
        dtype=torch.float32,
        limits=None,
    ):
        torch.manual_seed(0)
        self.parameters = [
            torch.nn.Parameter(torch.randn(*each).to(dtype)) for each in shapes
        ]
        groups = [{"params": self.parameters}]
        self.rule = KINDS[kind].build(source, groups, limits=limits or Limits(), seed=0)
        groups[0].update(self.rule.options[0])
        self.rule.bind(groups)

    def step(self, steps):
        for step in steps:
            draw = torch.Generator().manual_seed(step)
            for each in self.parameters:
                each.grad = torch.randn(each.shape, generator=draw).to(each.dtype)
            self.rule.step()

    def state(self):
        return self.rule.snapshot().state


@pytest.fixture
def run(request):
    def make(*given, **more):
        made = Run(*given, **more)
        request.addfinalizer(made.rule.close)
        return made

    return make


def test_the_mean_of_what_is_rounded_is_what_was_to_be():
    draw = torch.Generator().manual_seed(0)
    powers = torch.exp2(torch.arange(-30.0, 30.0))
    near = [powers * (1 + each) for each in (-(2.0**-12), 0.0, 2.0**-12)]
    drawn = torch.randn(500, generator=draw) * 100
    values = torch.cat([*near, drawn, -drawn, torch.zeros(3)])
    unit = torch.exp2(values.abs().clamp_min(1e-30).log2().floor() - 7)
    times = 4000

    rows = values.expand(times, -1).contiguous()
    rounded = rounded_by_chance(rows, draw).double()

    assert (rounded - values).abs().le(unit).all()
    off = (rounded.mean(0) - values).div(unit)
    # Six standard deviations of a mean of so many draws of at most half a unit's.
    assert off.abs().max() < 6 * 0.5 / times**0.5


def test_no_source_can_write_the_generator_of_its_chances():
    report = check(with_step(f"        self.{GENERATOR} = torch.Generator()"))

    assert {"write"} == {finding.rule for finding in report.findings}


@pytest.mark.parametrize("value", [0.0, 1.0, -0.15625, float("inf"), -float("inf")])
def test_what_needs_no_rounding_stays(value):
    given = torch.full((64,), value)

    assert torch.equal(given, rounded_by_chance(given, torch.Generator()).float())


@pytest.mark.parametrize("formula", [ADAM, AVERAGE], ids=["adam", "average"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_keeps_is_bfloat16_and_goes_on_to_the_last_bit(run, kind, formula):
    one, other = run(kind, asking(formula)), run(kind, asking(formula))

    one.step(range(5))
    with torch.no_grad():
        for mine, theirs in zip(other.parameters, one.parameters, strict=True):
            mine.copy_(theirs)
    other.rule.restore(one.rule.snapshot())
    one.step(range(5, 9))
    other.step(range(5, 9))

    tensors = [
        value
        for entry in one.state().values()
        for value in entry.values()
        if isinstance(value, torch.Tensor)
    ]
    assert {torch.bfloat16} == {each.dtype for each in tensors}
    for mine, theirs in zip(one.parameters, other.parameters, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("formula", [ADAM, AVERAGE], ids=["adam", "average"])
def test_it_takes_the_same_steps_wherever_it_runs(run, formula):
    runs = [run(kind, asking(formula)) for kind in KINDS]

    for each in runs:
        each.step(range(12))

    inline, isolated, recorded = (each.parameters for each in runs)
    assert "recorded" == runs[-1].rule.mode
    assert all(map(torch.equal, inline, isolated))
    for one, other in zip(inline, recorded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_half_the_bytes_are_known_before_it_runs(run):
    plain, half = (run("recorded", each) for each in (counting(ADAM), asking(ADAM)))
    known = plain.rule.state_bytes, half.rule.state_bytes

    half.step(range(1))

    weights = sum(each.numel() for each in half.parameters)
    generator = known[1] - 2 * 2 * weights
    assert 2 * 4 * weights == known[0]
    assert 0 < generator < 8192
    assert known[1] == half.rule.state_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_average_arrives_though_each_step_is_less_than_half_a_unit(run, kind):
    one = run(kind, asking(AVERAGE), shapes=((4000,),))

    for _ in range(600):
        one.parameters[0].grad = torch.ones(4000)
        one.rule.step()

    (entry,) = one.state().values()
    wanted = 1 - 0.999**600
    assert wanted == pytest.approx(float(entry["mean"].float().mean()), rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_bfloat16_weights_stays_as_the_rule_keeps_it(run, kind):
    asked, plain = (
        run(kind, each, dtype=torch.bfloat16) for each in (asking(ADAM), counting(ADAM))
    )

    asked.step(range(4))
    plain.step(range(4))

    assert all(map(torch.equal, asked.parameters, plain.parameters))


@pytest.mark.parametrize(("state", "mode"), [(3.0, "recorded"), (0.5, "isolated")])
def test_what_a_program_may_keep_is_an_option(run, state, mode):
    limits = Limits(memory=64 << 20, state=state)

    one = run("recorded", counting(ADAM), shapes=((1000, 1000),), limits=limits)

    assert mode == one.rule.mode, one.rule.why
    assert ("keep" in str(one.rule.why)) == (mode == "isolated")


SHARING = {
    "one tensor under many names": """if "0" not in state:
                    state.update({str(i): a for a in [p.clone()] for i in range(9)})
                state["0"].add_(p.grad)
                p.copy_(state["8"])""",
    "views of one": """if "a" not in state:
                    state["a"] = p.clone()
                    state["b"] = state["a"].view(-1)
                state["a"].add_(p.grad)
                p.copy_(state["b"].view_as(p))""",
    "the gradient": """state["g"] = p.grad
                p.sub_(lr * state["g"])""",
}


@pytest.mark.parametrize("formula", SHARING)
@pytest.mark.parametrize("kind", ["inline", "isolated"])
def test_what_shares_its_memory_goes_on_to_share_it(run, kind, formula):
    half = run(kind, asking(SHARING[formula]))
    plain = run(kind, counting(SHARING[formula]))

    half.step(range(3))
    plain.step(range(3))

    for one, other in zip(half.parameters, plain.parameters, strict=True):
        assert torch.equal(one, other)


def test_what_repeats_one_number_is_not_written_out():
    one = Run("inline", asking("state['x'] = torch.ones(1).expand(10**8)"))

    one.step(range(2))

    for entry in one.rule.state_by_parameter().values():
        assert 4 == entry["x"].untyped_storage().nbytes()

"""Rules that seed the random numbers of the process get the same ones, of their own."""

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.language import seeded_functions
from dux_sandbox.limits import Limits
from dux_sandbox.loading import load
from dux_sandbox.runtime.attributes import attributes_of, restore_attributes
from dux_sandbox.static_check import check
from tests.executions import both
from tests.rule_sources import one_parameter, rule, unguarded

DRAWS = {
    "like": "torch.randn_like(p) + torch.rand_like(p) + torch.randint_like(p, 0, 9)",
    "sizes": "torch.randn(3, 2) + torch.rand(p.shape, device=p.device) "
    "+ torch.randint(0, 9, (3, 2)) + torch.randperm(2)",
    "normal": "torch.normal(mean=0, std=1, size=p.size(), dtype=p.dtype) "
    "+ torch.normal(p, 0.5) + torch.normal(0.0, p.abs() + 1)",
    "into": "torch.empty_like(p).normal_(0, 2) + p.new_zeros(3, 2).uniform_(-1, 1)",
    "chances": "torch.bernoulli(torch.full_like(p, 0.5)) "
    "+ torch.multinomial(torch.ones(2), 2)",
    "by a helper": "noise(p)",
    "by a name": "draw(p)",
    "by a default": "other(p)",
    "by a table": 'TABLE["normal"](p)',
    "mapped": "next(iter(map(torch.randn_like, [p])))",
    "by a name of the import": "imported(p)",
}
_HELPER = """
from torch import rand_like as imported

TABLE = {"normal": torch.randn_like}
draw = torch.randn_like

def noise(p):
    return torch.randn_like(p)

def other(p, draw=torch.rand_like):
    return draw(p)
"""
_SEEDED = """
self.t += 1
torch.manual_seed(self.t)
torch.cuda.manual_seed_all(self.t)
first = {draw}
second = {draw}
torch.random.manual_seed(self.t)
assert torch.equal(first, {draw})
p.add_(first - second + p.grad, alpha=-0.1)
"""


def source_of(draw):
    return rule(_SEEDED.format(draw=draw), top=_HELPER)


def weight_after(step, parameter, steps=3):
    for _ in range(steps):
        parameter.grad = torch.ones_like(parameter)
        step()
    return parameter.detach().clone()


@both
@pytest.mark.parametrize("name", list(DRAWS))
def test_a_seed_gives_the_same_numbers_and_leaves_those_of_the_process(name, execution):
    source = source_of(DRAWS[name])
    plain, weight = one_parameter(), one_parameter()
    expected = weight_after(unguarded(source)([plain]).step, plain)
    groups = [{"params": [weight]}]
    built = EXECUTIONS[execution].build(source, groups, limits=Limits(), seed=0)
    groups[0].update(built.options[0])
    built.bind(groups)
    before = torch.get_rng_state()

    moved = weight_after(lambda: built.step(None), weight)
    built.close()

    assert torch.equal(expected, moved)
    assert torch.equal(before, torch.get_rng_state())


def test_a_draw_before_the_seed_goes_on_where_the_last_step_ended():
    source = rule(
        "noise = torch.randn_like(p)\ntorch.manual_seed(int(noise[0, 0] > 0))\n"
        "p.add_(noise + torch.randn_like(p))"
    )
    weights = one_parameter(), one_parameter()
    moved = []

    for made, weight in zip((load(source), unguarded(source)), weights, strict=True):
        torch.manual_seed(5)
        moved.append(weight_after(made([weight]).step, weight))

    assert torch.equal(*moved)


def test_the_seed_and_its_generators_are_saved_with_the_rule():
    source = rule(
        "p.add_(torch.randn_like(p))\nif self.t == 0:\n    torch.manual_seed(3)\n"
        "self.t += 1"
    )
    first, second = one_parameter(), one_parameter()
    made, other = load(source)([first]), load(source)([second])
    weight_after(made.step, first)
    restore_attributes(other, attributes_of(made))
    first.data.copy_(second)

    assert torch.equal(weight_after(made.step, first), weight_after(other.step, second))


def test_two_rules_of_one_source_share_no_numbers():
    source = rule(
        "if self.t == 0:\n    torch.manual_seed(3)\n"
        "self.t += 1\np.copy_(torch.rand(3, 2))"
    )
    kind = load(source)
    alone, one, other = one_parameter(), one_parameter(), one_parameter()
    expected = weight_after(kind([alone]).step, alone)
    rules = kind([one]), kind([other])

    for _ in range(3):
        for each in rules:
            each.step()

    assert torch.equal(expected, one.detach())
    assert torch.equal(expected, other.detach())


_IN_PHASES = """
import torch

class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        torch.manual_seed(3)

    @torch.no_grad()
    def first_step(self):
        for p in self.param_groups[0]["params"]:
            p.add_(torch.randn_like(p))

    @torch.no_grad()
    def second_step(self):
        for p in self.param_groups[0]["params"]:
            p.add_(torch.rand_like(p))
"""
_IN_A_BASE = """
import torch

class Base(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        torch.manual_seed(3)
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            self.move(p)

class Rule(Base):
    def move(self, p):
        p.add_(torch.randn_like(p))
"""
_WHEN_BUILT = rule("p.add_(torch.randn_like(p))").replace(
    "    @torch.no_grad()", "        torch.manual_seed(3)\n\n    @torch.no_grad()", 1
)


@pytest.mark.parametrize("source", [_WHEN_BUILT, _IN_A_BASE])
def test_a_seed_of_the_constructor_lasts_into_the_steps(source):
    weights = one_parameter(), one_parameter()
    moved = []

    for made, weight in zip((load(source), unguarded(source)), weights, strict=True):
        moved.append(weight_after(made([weight]).step, weight))

    assert torch.equal(*moved)


def test_a_seed_of_the_constructor_lasts_into_the_phases_of_a_step():
    weights = one_parameter(), one_parameter()
    kind = load(_IN_PHASES)
    made, other = kind([weights[0]]), kind([one_parameter()])
    plain = unguarded(_IN_PHASES)([weights[1]])
    torch.manual_seed(5)  # not the rule's

    for each in (other, made):
        each.step(lambda: torch.ones(()))
    torch.manual_seed(3)
    plain.first_step()
    plain.second_step()

    assert torch.equal(*weights)


REFUSED = {
    "an accelerator's alone": "torch.cuda.manual_seed(1)",
    "the entropy of the machine": "torch.seed()",
    "a state": "torch.manual_seed(1)\ntorch.set_rng_state(torch.zeros(9))",
    "what takes no generator": "torch.manual_seed(1)\np.add_(F.dropout(p, 0.5))",
    "what fills a tensor": "torch.manual_seed(1)\ntorch.nn.init.normal_(p)",
    "a method passed on": "torch.manual_seed(1)\ndraw = p.clone().normal_\ndraw()",
    "a function by its name": "torch.manual_seed(1)\ngetattr(torch, 'rand')(2)",
    "a method by its name": "torch.manual_seed(1)\ngetattr(p, 'normal_')()",
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_would_touch_the_numbers_of_the_process_is_refused(name):
    assert not check(rule(REFUSED[name])).ok


def test_a_seed_beside_an_optimizer_that_another_builds_is_refused():
    inner = _IN_A_BASE.replace("torch.manual_seed(3)", "pass")
    outer = _WHEN_BUILT.replace("self.t = 0", "self.inner = Base(params)")

    assert check(inner + outer.replace("torch.manual_seed(3)", "pass")).ok
    assert not check(inner + outer).ok


@pytest.mark.parametrize("name", ["dropout", "init", "svd_lowrank"])
def test_an_attribute_of_the_rules_own_may_be_called_like_what_draws(name):
    source = rule(f"self.{name} = 1\ntorch.manual_seed(1)\np.copy_(torch.rand(3, 2))")

    assert check(source).ok


_LIKE = {
    "randn_like": [{}, {"dtype": torch.bfloat16}, {"dtype": torch.complex64}],
    "rand_like": [{}, {"dtype": torch.float16}, {"dtype": torch.float64}],
    "randint_like": [
        {"high": 9},
        {"low": -3, "high": 300},
        {"high": 2, "dtype": torch.bool},
        {"high": 9, "dtype": torch.int64},
    ],
}


@pytest.mark.parametrize("name", list(_LIKE))
def test_what_is_drawn_like_a_tensor_has_torchs_bits_without_its_generator(
    name, monkeypatch
):
    written = {"torch_written_out": torch}
    exec(seeded_functions.WRITTEN, written)
    given = torch.ones(5, 700), torch.ones(3, 40).t(), torch.ones(())
    cases = [(x, options) for x in given for options in _LIKE[name]]
    torch.manual_seed(7)
    expected = [getattr(torch, name)(x, **options) for x, options in cases]
    # Torch 2.6 has no generator= of these.
    monkeypatch.delattr(torch, name)

    written["seeded_by"](7)
    drawn = [written[f"seeded_{name}"](x, **options) for x, options in cases]

    for one, other in zip(expected, drawn, strict=True):
        assert one.dtype == other.dtype and one.stride() == other.stride()
        assert torch.equal(one, other)


def test_a_seed_that_is_no_number_raises_in_the_rule():
    made = load(rule("torch.manual_seed('now')"))([one_parameter()])

    with pytest.raises(ValueError, match="int"):
        made.step()

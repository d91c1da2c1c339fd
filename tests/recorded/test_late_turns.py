"""Rules that turn out otherwise long after the first steps: as they are, or refused."""

import sys
from contextlib import closing

import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.recorded.asides import asides_of
from dux_sandbox.recorded.tape import Unrecordable
from tests.recorded.test_recording import groups_of, parameters_in, steps_beside

_HEAD = """
import math
import torch

TABLE = ["x" * 300, [[[[[[[[1.0]]]]]]]]]


class Late(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, every=2, betas=None):
        super().__init__(params, dict(lr=lr, every=every, betas=betas or [0.9, 0.99]))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        t, f = self.t, 1.0
BEFORE
        for group in self.param_groups:
            lr = group["lr"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, s = p.grad, self.state[p]
BODY
"""
_SUB = "p.sub_(g, alpha=lr * f)"


def late(body=_SUB, before=""):
    """A rule with these lines for each parameter, and those at the step's begin."""

    def indented(lines, by):
        return "".join(f"{' ' * by}{line}\n" for line in lines.splitlines())

    text = _HEAD.replace("BEFORE\n", indented(before, 8))
    return text.replace("BODY\n", indented(body, 16))


def assert_as_inline(source, steps=24, most=12, **more):
    replay, _, rule, pairs = steps_beside(source, steps, **more)

    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    assert replay.recordings <= most
    return replay, rule


# An int where the other argument of a minimum, or an exponent, is another number.
@pytest.mark.parametrize(
    "body",
    [
        "p.sub_(g * torch.tensor(min(1, 10 / t)), alpha=lr)",
        "p.sub_(g * torch.tensor(max(0, t - 9.5)), alpha=lr)",
        "p.sub_(g * torch.tensor(2 ** (6 - t)), alpha=lr)",
        "p.sub_(torch.full_like(g, min(1, 10 / t), dtype=None) * g, alpha=lr)",
        "one = torch.ones(1, dtype=torch.int64)\n"
        "p.sub_(g * (one * min(3, 20 / t)).sum(), alpha=lr)",
        "x = max(1, 10 - t * 0.7)\n"
        "p.sub_(g, alpha=lr * (2.0 if isinstance(x, int) else 1.0))",
        "x = max(1, 10 - t * 0.7)\n"
        "p.sub_(g, alpha=lr * (2.0 if type(x) is int else 1.0))",
        "p.sub_(g, alpha=lr * (2.0 if type(t) is int and type(lr) is float else 1.0))",
        "p.sub_(g, alpha=lr * (2.0 if (t / 8).is_integer() else 1.0))",
        "s['k'] = min(7, t / 2)\np.sub_(g, alpha=lr * s['k'])",
    ],
)
def test_a_number_that_becomes_another_kind_of_number_is_that(body):
    assert_as_inline(late(body))


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("f = math.log(t - 8)", "ValueError"),
        ("f = math.sqrt(t - 9)", "ValueError"),
        ("f = 1.0 / max(0, t - 12)", "ZeroDivisionError"),
        ("1 / (t - 12)", "ZeroDivisionError"),
        ("t % (t - 12)", "ZeroDivisionError"),
        ("f = float(max(0, t - 9)) ** -0.5", "ZeroDivisionError"),
        ("math.exp(710 if t == 12 else t)", "OverflowError"),
        ("f = min(1.0, 1 / float(self.param_groups[0]['params'][0].sum() * (t > 9)))",
         "ZeroDivisionError"),
        ("float(self.param_groups[0]['params'][0].sum()) / (t > 9)",
         "ZeroDivisionError"),
    ],
)  # fmt: skip
def test_what_is_raised_and_caught_is_a_branch(attempt, error):
    before = f"try:\n    {attempt}\nexcept {error}:\n    f = 0.25"

    assert_as_inline(late(before=before), most=20)


def test_what_a_source_says_aside_is_found():
    source = "try:\n    y = 1 / x\nfinally:\n    print(x,\n          x)"

    assert asides_of(source).catches
    assert {4, 5} == asides_of(source).told
    assert not asides_of("x = 1\nprint(x)\n").catches


def test_a_text_is_of_the_number_and_what_is_printed_may_be_any():
    body = (
        "print(f'step {t} of {g.norm()}, %.3f' % float(g.norm()))\n"
        "m = s.setdefault(f'm{t % 3}', torch.zeros_like(p))\n"
        "m.add_(g)\np.sub_(m, alpha=lr * float('%.1f' % (t // 12)))"
    )

    replay, rule = assert_as_inline(late(body))

    assert {"m0", "m1", "m2"} == replay.kept.state().state[0].keys()
    assert rule.snapshot().state[0].keys() == replay.kept.state().state[0].keys()


def test_a_text_of_what_a_tensor_holds_is_not_recorded():
    with pytest.raises(Unrecordable, match="a text"):
        steps_beside(late("s[f'{float(g.norm()):.3f}'] = t"))
    with pytest.raises(Unrecordable, match="a text"):
        steps_beside(late("s[str(g.norm())] = t"))


# Functions that go another way for each number.
@pytest.mark.parametrize(
    "body",
    [
        "for c in g.flatten().split(k):\n    p.sub_(c.norm() * lr)",
        "for c in g.flatten().chunk(k):\n    p.sub_(c.norm() * lr)",
        "p.sub_(torch.diagonal(g.view(-1, 1), k - 2).sum() * lr)",
        "p.sub_(g.mean().expand(k).sum() * lr)",
        "p.sub_(torch.arange(0, 1, 1 / k).sum() * lr)",
        "p.sub_(torch.zeros(k, dtype=torch.bool).logical_not().sum() * lr)",
        "p.sub_(torch.linalg.matrix_power(g.sum().view(1, 1), k).sum() * lr)",
    ],
)
def test_a_number_that_a_function_branches_on_stays_what_it_is(body):
    assert_as_inline(late(f"k = group['every'] + t // 9\n{body}"))


def test_an_argument_that_no_program_has_is_refused():
    with pytest.raises(Unrecordable, match="round a decimals"):
        steps_beside(late("p.sub_(torch.round(g, decimals=t // 9) * lr)"))


def test_what_a_rule_keeps_stays_in_the_order_in_which_it_came():
    after = (
        "s['m'] = g.clone()\np.sub_(next(iter(self.state.values()))['m'].sum() * lr)"
    )
    missing = {(step, 0) for step in range(6)}

    replay, rule = assert_as_inline(late(after), missing=missing)

    assert list(rule.snapshot().state) == list(replay.kept.state().state)
    assert [1, 2, 3, 4, 0] == list(replay.kept.state().state)


@pytest.mark.parametrize(
    "before",
    [
        "self.defaults['lr'] *= 0.9\nf = self.defaults['lr']",
        "if t > 9:\n    TABLE[0] = TABLE[0] + 'y'\nf = 1 / len(TABLE[0])",
        "if t > 9:\n    TABLE[1][0][0][0][0][0][0][0].append(1)\n"
        "f = 1 / len(TABLE[1][0][0][0][0][0][0][0])",
    ],
)
def test_what_is_kept_outside_of_a_rule_is_not_recorded(before):
    with pytest.raises(Unrecordable, match="outside of the rule"):
        steps_beside(late(before=before), 16)


def runs(kind, source, between, steps=20, seed=0):
    """The weights after some steps, between which the loop does something."""
    groups = groups_of()
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=seed)
    generator = torch.Generator().manual_seed(2)
    with closing(rule):
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options)
        rule.bind(groups)
        for step in range(steps):
            for each in parameters_in(groups):
                each.grad = torch.randn(each.shape, generator=generator)
            between(step, groups)
            rule.step()
        return parameters_in(groups), getattr(rule, "mode", kind)


def freeze(step, groups):
    groups[0]["params"][0].requires_grad_(not 9 <= step < 15)


def write_to_a_list(step, groups):
    for group in groups if step == 9 else ():
        group["betas"][0] = 0.5


def cut(step, groups):
    parameter = groups[0]["params"][0]
    if step >= 9:
        gradient, parameter.grad = parameter.grad, None
        parameter.data = parameter.data[:3]
        parameter.grad = gradient[:3].clone()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
@pytest.mark.parametrize(
    ("body", "between", "mode"),
    [
        ("if p.requires_grad:\n    m = s.setdefault('m', torch.zeros_like(p))\n"
         "    m.lerp_(g, 0.1)\n    p.sub_(m, alpha=lr)", freeze, "recorded"),
        ("m = s.setdefault('m', torch.zeros_like(p))\n"
         "m.lerp_(g, 1 - group['betas'][0])\np.sub_(m, alpha=lr)",
         write_to_a_list, "recorded"),
        ("p.sub_(g.sum() / p.numel(), alpha=lr)", cut, "isolated"),
    ],
    ids=["freezes", "writes to a list", "cuts a weight"],
)  # fmt: skip
def test_what_the_loop_changes_in_mid_training_is_met(body, between, mode):
    weights, found = runs("recorded", late(body), between)
    others, _ = runs("inline", late(body), between)

    assert mode == found
    for one, other in zip(others, weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
def test_a_list_that_the_loop_writes_to_is_told_to_a_process():
    body = "p.sub_(g, alpha=lr * group['betas'][0])"
    weights, _ = runs("isolated", late(body), write_to_a_list)
    others, _ = runs("inline", late(body), write_to_a_list)

    assert all(map(torch.equal, weights, others))


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
def test_a_rule_that_is_built_with_another_seed_draws_other_numbers():
    source = late("p.sub_(g + torch.randn_like(p), alpha=lr)")
    nothing = lambda step, groups: None  # noqa: E731

    first, again, other, isolated = (
        runs(kind, source, nothing, 3, seed)[0]
        for kind, seed in [*[("recorded", s) for s in (3, 3, 4)], ("isolated", 4)]
    )

    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    for one, expected in zip(other, isolated, strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-7)


def test_a_mask_over_a_single_number_is_recorded():
    body = "g[g.abs() > 0.2] = 0.1\np[p > 0.3] = t * 0.01\np.sub_(g, alpha=lr)"
    groups = groups_of([(4, 3), (), (5,), (), (1,)])

    replay, _ = assert_as_inline(late(body), groups=groups)

    assert replay.recordings <= 3


def test_what_comes_out_alike_of_several_parameters_is_asked_once():
    body = (
        "f = 0.1 if g.sum() > 0 else 1.0\n"
        "c = torch.tensor(0) + 1\n"
        "if 0.9 ** c.item() > 0.5:\n    f *= 0.5\n"
        "p.sub_(g, alpha=lr * f)"
    )

    assert_as_inline(late(body), 16, most=12)


def test_what_no_program_computes_with_a_number_is_not_for_the_rule_to_catch():
    before = "try:\n    f = 1 / (1 << t % 3)\nexcept AttributeError:\n    f = 0.5"

    with pytest.raises(Unrecordable, match="as no program can"):
        steps_beside(late(before=before))


def test_a_function_of_math_is_given_its_options():
    before = "f = 1.0 if math.isclose(t // 8, 1, abs_tol=0.1) else 0.5"

    assert_as_inline(late(before=before))

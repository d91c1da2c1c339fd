"""Rates that a loop keeps in tensors and the like stay the very objects."""

import sys
from contextlib import closing, contextmanager
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from dux_sandbox.executions import EXECUTIONS
from dux_sandbox.limits import Limits
from dux_sandbox.process.told_groups import ToldGroups
from dux_sandbox.tensor_numbers import TensorNumbers, number_inside
from tests.late_device import nobody_waits
from tests.sources import with_step


@contextmanager
def bound(source, kind, groups, rate):
    """A rule over groups that have this for their rate."""
    rule = EXECUTIONS[kind].build(source, groups, limits=Limits(), seed=0)
    with closing(rule):
        for group, options in zip(groups, rule.options, strict=True):
            group.update(options, lr=rate)
        rule.bind(groups)
        yield rule


COUNTS = with_step(
    """\
        for group in self.param_groups:
            group["beta"] = 1 / (1 + self.t)
            for p in group["params"]:
                if "m" not in self.state[p]:
                    self.state[p]["m"] = torch.zeros_like(p)
                self.state[p]["m"].mul_(group["beta"]).add_(p.grad)
                p.sub_(self.state[p]["m"], alpha=float(group["lr"]))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["recorded", "isolated", "inline"])
def test_a_rate_in_a_tensor_stays_that_tensor(kind, dtype):
    weight = torch.nn.Parameter(torch.ones(3))
    groups = [{"params": [weight]}]
    rate = torch.tensor(0.1, dtype=dtype)
    moved, betas = [], []
    with bound(COUNTS, kind, groups, rate) as rule:
        for step in range(4):
            weight.grad = torch.ones(3)
            if step == 2:
                rate.fill_(0.0)
            before = weight.detach().clone()
            rule.step()
            moved.append(not torch.equal(before, weight))
            betas.append(groups[0]["beta"])

        assert groups[0]["lr"] is rate
    assert [True, True, False, False] == moved
    assert [1 / 2, 1 / 3, 1 / 4, 1 / 5] == betas


DECAYS = with_step(
    """\
        for group in self.param_groups:
            group["lr"] *= 0.5
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["recorded", "isolated", "inline"])
def test_a_rule_that_writes_its_rate_writes_into_the_loops_tensor(kind, dtype):
    weight = torch.nn.Parameter(torch.zeros(3))
    groups = [{"params": [weight]}]
    rate = torch.tensor(0.5, dtype=dtype)
    found = []
    with bound(DECAYS, kind, groups, rate) as rule:
        for step in range(4):
            weight.grad = torch.ones(3)
            if step == 2:
                rate.fill_(1.0)
            rule.step()
            found.append(float(rate))

        assert groups[0]["lr"] is rate
    assert [0.25, 0.125, 0.5, 0.25] == found
    assert torch.equal(torch.full((3,), -1.125), weight.detach())


HALVES = with_step(
    """\
        for group in self.param_groups[: SOME]:
            group["lr"] = 0.5 * float(group["lr"])
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
@pytest.mark.parametrize("some", [1, 2])
@pytest.mark.parametrize("kind", ["recorded", "isolated", "inline"])
def test_groups_that_share_a_rate_have_their_own_where_a_rule_says_so(kind, some):
    weights = [torch.nn.Parameter(torch.zeros(3)) for _ in range(2)]
    groups = [{"params": [weight]} for weight in weights]
    rate, source = torch.tensor(0.5), HALVES.replace("SOME", str(some))
    with bound(source, kind, groups, rate) as rule:
        for _ in range(2):
            for weight in weights:
                weight.grad = torch.ones(3)
            rule.step()

        found = [float(group["lr"]) for group in groups]
        kept = [group["lr"] is rate for group in groups]
    both = some == 2
    assert [0.125, 0.125 if both else 0.5] == found
    assert kind == "inline" or [both, True] == kept
    gone = [weight[0].item() for weight in weights]
    assert [-0.375, -0.375 if both else -1.0] == gone


@pytest.mark.skipif(sys.platform != "linux", reason="needs the jail")
@pytest.mark.parametrize("rate", [Fraction(1, 4), Decimal("0.25"), np.float32(0.25)])
@pytest.mark.parametrize("kind", ["recorded", "isolated", "inline"])
def test_a_rate_of_another_kind_stays_what_the_loop_wrote(kind, rate):
    weight = torch.nn.Parameter(torch.zeros(3))
    groups = [{"params": [weight]}]
    with bound(COUNTS, kind, groups, rate) as rule:
        weight.grad = torch.ones(3)

        rule.step()

        assert groups[0]["lr"] is rate
    assert torch.equal(torch.full((3,), -2 * 0.25), weight.detach())


def test_a_number_in_a_tensor_is_read_again_where_it_was_written_to():
    numbers, rate = TensorNumbers(everywhere=True), torch.tensor(0.5)
    numbers.of(rate)

    with nobody_waits():
        found = [numbers.of(rate) for _ in range(9)]
        rate.mul_(0.5)

    assert [0.5] * 9 == found
    assert 0.25 == numbers.of(rate)
    assert 0.75 == numbers.of(torch.tensor(0.75))


def test_what_torch_does_not_count_is_seen_within_some_steps():
    numbers, rate = TensorNumbers(everywhere=True), torch.tensor(0.5)
    numbers.of(rate)

    rate.data.fill_(0.25)
    found = [numbers.of(rate) for _ in range(100)]

    assert 0.25 == found[-1]


def test_a_number_in_a_tensor_on_the_cpu_is_always_read():
    rate = torch.tensor(0.5)
    number_inside(rate)

    rate.data.fill_(0.25)

    assert 0.25 == number_inside(rate)


def test_an_unknown_count_of_writes_is_no_reason_to_fail():
    with torch.inference_mode():
        rate = torch.tensor(0.5)

    assert 0.5 == TensorNumbers(everywhere=True).of(rate)


class _Counting(torch.Tensor):
    """Says how often the host would have waited for it on a device."""

    read = 0

    @property
    def device(self):
        return torch.device("cuda")

    def item(self):
        type(self).read += 1
        return super().item()


def test_rates_on_a_device_are_waited_for_only_where_they_changed():
    rates = [torch.tensor(0.5).as_subclass(_Counting) for _ in range(2)]
    groups = [{"params": [], "lr": rate, "eps": 1e-8} for rate in rates]
    told = ToldGroups(groups, [{"lr": 0.5, "eps": 1e-8}] * 2)
    _Counting.read = 0

    quiet = [told.news() for _ in range(10)]
    read = _Counting.read
    with torch.no_grad():
        rates[1].fill_(0.25)
    news = [len(told.news()), len(told.news())]

    assert [[]] * 10 == quiet
    assert 2 == read
    assert [1, 0] == news
    assert 3 == _Counting.read

"""`LossFeedTestCase`: our feeds pass it, and each broken one is caught."""

import unittest

import pytest
import torch

from dux_agent import testing
from dux_agent.training.loss_feed import LossFeed


class TestOnTheCpu(testing.LossFeedTestCase):
    def make(self):
        return LossFeed()


class TestOfALateDevice(testing.LossFeedTestCase):
    def make(self):
        return LossFeed(testing.LateLosses())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
class TestOnCuda(testing.LossFeedTestCase):
    def make(self):
        return LossFeed()

    def loss(self, value):
        return torch.tensor(value, device="cuda")


def test_a_loss_on_the_cpu_comes_at_once():
    feed = LossFeed()

    assert [(1, 0.5)] == feed.push(torch.tensor(0.5))
    assert [] == feed.drain()


@pytest.mark.parametrize("most_late", [0, 1, 4])
def test_a_late_loss_is_waited_for_when_so_many_have_come_after_it(most_late):
    device = testing.LateLosses()
    feed = LossFeed(device, most_late=most_late)

    come = [feed.push(torch.tensor(float(number))) for number in range(6)]

    expected = [[]] * most_late + [
        [(number + 1, float(number))] for number in range(6 - most_late)
    ]
    assert expected == come
    assert 6 - most_late == device.waited


class Hoarding(LossFeed):
    def drain(self):
        return []


class Twice(LossFeed):
    def drain(self):
        return [(1, 1.0)]


class Backwards(LossFeed):
    def push(self, loss, step=None):
        return super().push(loss, step)[::-1]


class Rounding(LossFeed):
    def push(self, loss, step=None):
        return [(at, round(value, 1)) for at, value in super().push(loss, step)]


class Counting(LossFeed):
    def push(self, loss, step=None):
        return super().push(loss)


class Lenient(LossFeed):
    def push(self, loss, step=None):
        try:
            return super().push(loss, step)
        except ValueError:
            return []


class Peeking(LossFeed):
    def __init__(self):
        super().__init__(lambda loss: lambda: float(loss))


BROKEN = {
    Hoarding: "every_value_comes_once_in_order_and_with_its_step",
    Twice: "every_value_comes_once_in_order_and_with_its_step",
    Backwards: "a_number_brings_all_before_it",
    Rounding: "values_come_as_they_are",
    Counting: "a_step_that_is_given_is_handed_on",
    Lenient: "what_is_no_scalar_is_refused_and_not_taken",
    Peeking: "a_loss_is_what_it_was_when_it_was_pushed",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_feed_is_caught(broken):
    class Tried(testing.LossFeedTestCase):
        def make(self):
            if broken in (Hoarding, Backwards):
                return broken(testing.LateLosses())
            return broken()

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Tried).run(result)

    found = {case.id().rpartition(".test_")[2] for case, _ in result.failures}
    found |= {case.id().rpartition(".test_")[2] for case, _ in result.errors}
    assert BROKEN[broken] in found


class TestThreadRanks(testing.RanksTestCase):
    def make(self):
        return testing.ThreadRanks.of(3)

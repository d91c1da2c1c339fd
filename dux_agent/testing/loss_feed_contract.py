"""What a feed of losses promises, as tests that anybody's feed inherits."""

import math
from typing import Any

import torch

from dux_agent.testing.contract import ContractTestCase
from dux_agent.training.loss_feed import LossFeed, OnItsWay, read_loss

_VALUES = (0.1, 2.5, -0.0, math.inf, -math.inf, math.nan, 1e-45, 3.0)


class LateLosses:
    """A device whose losses come late, on the CPU: `LossFeed(LateLosses())`.

    Attributes:
        waited: how many of them were waited for.
    """

    def __init__(self) -> None:
        self.waited = 0

    def __call__(self, loss: Any) -> float | OnItsWay:
        """What waits for the value of a tensor; a number is there at once."""
        value = float(read_loss(loss))  # type: ignore[arg-type]

        def wait() -> float:
            self.waited += 1
            return value

        return wait if isinstance(loss, torch.Tensor) else value


class LossFeedTestCase(ContractTestCase):
    """Tries one feed; for pytest and unittest alike.

    class TestMine(LossFeedTestCase):
        def make(self):
            return MyFeed()
    """

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no feed to try; inherit it and make one"

    def make(self) -> LossFeed:
        """A feed that nothing was pushed into yet."""
        raise NotImplementedError("override make()")

    def loss(self, value: float) -> torch.Tensor:
        """A loss as a training has it; override it for another device or dtype."""
        return torch.tensor(value)

    def test_every_value_comes_once_in_order_and_with_its_step(self) -> None:
        feed, come = self.make(), []
        for number in range(20):
            come += feed.push(self.loss(float(number)))
        come += feed.drain()

        expected = [(number + 1, float(number)) for number in range(20)]
        self.assertEqual(expected, come)
        self.assertEqual([], feed.drain(), "drain() hands a loss on a second time")

    def test_values_come_as_they_are(self) -> None:
        feed = self.make()
        losses = [self.loss(value) for value in _VALUES]
        come = [each for loss in losses for each in feed.push(loss)] + feed.drain()

        expected = [repr(loss.item()) for loss in losses]
        self.assertEqual(expected, [repr(value) for _, value in come])

    def test_a_loss_is_what_it_was_when_it_was_pushed(self) -> None:
        feed, loss = self.make(), self.loss(1.0)
        come = feed.push(loss)
        loss.fill_(2.0)

        self.assertEqual([(1, 1.0)], come + feed.drain())

    def test_a_number_brings_all_before_it(self) -> None:
        feed = self.make()
        come = feed.push(self.loss(1.0)) + feed.push(2.0)

        self.assertEqual([(1, 1.0), (2, 2.0)], come)

    def test_a_step_that_is_given_is_handed_on(self) -> None:
        feed = self.make()
        come = feed.push(self.loss(1.0), 7) + feed.push(self.loss(2.0)) + feed.drain()

        self.assertEqual([(7, 1.0), (8, 2.0)], come)

    def test_a_graph_and_a_shape_of_one_element_do_not_matter(self) -> None:
        feed = self.make()
        loss = self.loss(0.5).reshape(1, 1).requires_grad_() * 2

        self.assertEqual([(1, 1.0)], feed.push(loss) + feed.drain())

    def test_what_is_no_scalar_is_refused_and_not_taken(self) -> None:
        feed = self.make()
        for odd in (self.loss(1.0).repeat(2), "no number", None):
            with self.assertRaises(ValueError):
                feed.push(odd)

        self.assertEqual([(1, 1.0)], feed.push(self.loss(1.0)) + feed.drain())

    def test_a_loss_that_is_looked_at_comes_when_it_would_have(self) -> None:
        one, other, third = self.make(), self.make(), self.make()
        for number in range(20):
            loss = self.loss(float(number))
            third.send(one.coming())
            come = other.push(loss)
            self.assertEqual(come, one.push(loss))
            self.assertEqual(come, third.push(loss, number + 1))

    def test_how_late_a_value_comes_depends_on_no_clock(self) -> None:
        one, other = self.make(), self.make()
        for number in range(20):
            loss = self.loss(float(number))
            self.assertEqual(one.push(loss), other.push(loss))

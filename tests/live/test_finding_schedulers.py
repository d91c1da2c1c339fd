"""Which schedulers are found over an optimizer, whoever else holds it."""

from dux_agent.live.schedulers import schedulers_over
from tests import models
from tests.talking import sgd


class Telling:
    """Wraps an optimizer, and has the methods of a scheduler."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def get_last_lr(self):
        return [each["lr"] for each in self.optimizer.param_groups]

    def step(self):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Warming(Telling):
    """A scheduler over that."""


class Proxy:
    """Has no attributes to show while nothing is behind it."""

    __slots__ = ("optimizer",)

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def __dict__(self):
        raise RuntimeError("nothing is behind it")


def test_a_scheduler_over_a_wrapper_that_tells_of_rates_itself_is_found():
    optimizer = sgd(models.make("mlp"))
    schedule = Warming(Telling(optimizer))

    assert [schedule] == schedulers_over([optimizer])


def test_a_proxy_that_refuses_to_be_looked_at_is_left_alone():
    optimizer = sgd(models.make("mlp"))
    schedule, proxy = Warming(optimizer), Proxy(optimizer)

    assert [schedule] == schedulers_over([optimizer])
    assert optimizer is proxy.optimizer

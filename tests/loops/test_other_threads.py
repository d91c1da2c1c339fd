"""What the trainer's other threads do is theirs: a loader, a logger, a prefetcher.

A thread that builds a tuple from an iterator loses it, with a SystemError, where
anybody else holds that tuple at the end: whoever has asked for all objects holds it.
"""

import gc
import inspect
import threading
from functools import partial

import pytest
from torch.optim.lr_scheduler import LRScheduler, StepLR

from dux_agent.live.schedulers import schedulers_over
from dux_sandbox import load
from dux_sandbox.dropping import drop
from tests import models
from tests.talking import sgd

SUSPENDED = '''
import torch


class Suspended(torch.optim.Optimizer):
    """Keeps a generator that has not come to its end."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, dict(lr=lr))
        self.parts = (p.add_(1) for p in self.param_groups[0]["params"])

    def step(self, closure=None):
        with torch.no_grad():
            next(self.parts)
'''


class Tuple:
    """A thread that is building a tuple; `finish` has it come to its end.

    Attributes:
        raised: what that came to, None where it went well.
    """

    def __init__(self):
        self.raised = None
        self._go_on, begun = threading.Event(), threading.Event()

        def items():
            yield from range(20)  # more than a tuple is begun with
            begun.set()
            self._go_on.wait(60)

        def build():
            try:
                tuple(items())
            except SystemError as error:
                self.raised = error

        self._thread = threading.Thread(target=build)
        self._thread.start()
        assert begun.wait(60)

    @property
    def finished(self):
        return not self._thread.is_alive()

    def finish(self):
        self._go_on.set()
        self._thread.join(60)


class Telling(StepLR):
    """Lets a thread finish while it is itself looked at."""

    building = None

    def __getattribute__(self, name):
        building = super().__getattribute__("building")
        if name == "__dict__" and building is not None:
            building.finish()
        return super().__getattribute__(name)


def test_the_tuple_of_another_thread_is_not_held_while_schedulers_are_looked_for():
    optimizer = sgd(models.make("mlp"))
    schedule: LRScheduler = Telling(optimizer, 3)
    schedule.building = building = Tuple()

    found = schedulers_over([optimizer])

    assert [schedule] == found
    assert building.raised is None


def told_meanwhile(asked, building, *arguments):
    """What the collector tells, held for as long as the thread needs to finish."""
    told = asked(*arguments)
    building.finish()
    return told


def test_nor_while_the_generators_of_a_rule_are_ended(monkeypatch):
    model = models.make("mlp")
    rule = load(SUSPENDED)(list(model.parameters()))
    rule.step()
    generator, building = rule.parts, Tuple()
    for name in ("get_referrers", "get_objects"):
        asked = getattr(gc, name)
        monkeypatch.setattr(gc, name, partial(told_meanwhile, asked, building))

    drop(rule)

    monkeypatch.undo()
    assert building.finished
    assert building.raised is None
    with pytest.raises(StopIteration):
        next(generator)


def test_a_generator_of_others_that_holds_a_function_of_the_rule_goes_on():
    def loader(held):
        yield 1
        yield held

    rule = load(SUSPENDED)(list(models.make("mlp").parameters()))
    rule.step()
    batches = loader(inspect.unwrap(type(rule).step))
    next(batches)

    drop(rule)

    assert callable(next(batches))

"""Under every schedule a rule's rate, and what comes back after it, are what they were.

Each training stands beside its twin: the same loop with the same scheduler over the
plain optimizer, in which nothing was ever swapped.
"""

import pytest

from dux_agent.live.swap import swap
from tests import models
from tests.schedulers_table import TORCH, of_transformers, two_groups
from tests.swapping import ADAM, MOMENTUM, live_over

SCHEDULERS = TORCH | {f"transformers: {k}": v for k, v in of_transformers().items()}
# A copy in its own arithmetic: nothing is lost but the last bit of a quotient.
CLOSE = 1e-12


class Loop:
    """One training step by step, and the rates that it ran at."""

    def __init__(self, optimizer, model, step, scheduler):
        self.optimizer, self.model = optimizer, model
        self.scheduler, self._step = scheduler, step
        self.at = 0

    def rates(self):
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def momenta(self):
        return [group.get("momentum") for group in self.optimizer.param_groups]

    def run(self, steps):
        """The rates of each group at these steps, and after the last."""
        found = []
        for _ in range(steps):
            self.optimizer.zero_grad()
            models.objective(self.model, models.batches()[self.at % 3]).backward()
            found.append(self.rates())
            self.optimizer.step()
            self._step(self.scheduler, self.at)
            self.at += 1
        return [*found, self.rates()]


def pair(make, step, where):
    """A live loop and its twin."""
    twin_model, model = models.make("mlp"), models.make("mlp")
    plain = two_groups(twin_model)
    twin = Loop(plain, twin_model, step, make(plain))
    base = two_groups(model)
    scheduler = make(base) if where == "base" else None
    live = live_over(model, base)
    return Loop(live, model, step, scheduler or make(live)), twin


def expected_rates(optimizer):
    """Those of ADAM by the shares of the groups' initial rates, else of their own."""
    own = [group.get("initial_lr") for group in optimizer.param_groups]
    own = [0.1, 0.02] if None in own else own
    return [0.01 * rate / max(own) for rate in own]


def follows(found, expected, start):
    """Every live rate is that of the swap times what the schedule did since then.

    Args:
        start: per group the live rate at the swap, and the schedule's own.
    """
    for live, own in zip(found, expected, strict=True):
        for rate, one, (rule, before) in zip(live, own, start, strict=True):
            assert rate == pytest.approx(rule * (one / before), rel=CLOSE, abs=0)


def is_the_twins(live, twin):
    """The rates and momenta to the last bit, and all that the scheduler knows."""
    assert twin.rates() == live.rates()
    assert twin.momenta() == live.momenta()
    own, others = live.scheduler.state_dict(), twin.scheduler.state_dict()
    assert without_rates(others) == without_rates(own)


def without_rates(state):
    """A scheduler's state but for the rates that it read from the groups."""
    kept = {}
    for name, value in state.items():
        if name == "_schedulers":
            kept[name] = [without_rates(each) for each in value]
        elif name not in ("_last_lr", "anneal_func"):
            kept[name] = value if not callable(value) else None
    return kept


@pytest.mark.parametrize("where", ["live", "base"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_a_rule_runs_at_its_rate_times_what_the_schedule_did(name, where):
    live, twin = pair(*SCHEDULERS[name], where)
    before = live.run(5), twin.run(5)

    swap(live.optimizer, ADAM)
    start = list(zip(live.rates(), twin.rates(), strict=True))
    found, expected = live.run(12), twin.run(12)

    assert before[0] == before[1]
    assert pytest.approx(expected_rates(live.optimizer)) == [rate for rate, _ in start]
    follows(found, expected, start)
    assert without_rates(twin.scheduler.state_dict()) == without_rates(
        live.scheduler.state_dict()
    )


@pytest.mark.parametrize("where", ["live", "base"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_one_rollback_gives_the_twins_rates_back(name, where):
    live, twin = pair(*SCHEDULERS[name], where)
    live.run(5), twin.run(5)
    swap(live.optimizer, ADAM)
    live.run(7), twin.run(7)

    live.optimizer.guard.breach("for the test")

    is_the_twins(live, twin)
    assert twin.run(12) == live.run(12)
    is_the_twins(live, twin)


@pytest.mark.parametrize("where", ["live", "base"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_two_rollbacks_give_each_incumbent_its_own_rate(name, where):
    live, twin = pair(*SCHEDULERS[name], where)
    live.run(3), twin.run(3)
    swap(live.optimizer, ADAM)
    adam = list(zip(live.rates(), twin.rates(), strict=True))
    live.run(4), twin.run(4)
    swap(live.optimizer, MOMENTUM)
    momentum = list(zip(live.rates(), twin.rates(), strict=True))
    follows(live.run(4), twin.run(4), momentum)

    live.optimizer.guard.breach("for the test")
    follows(live.run(4), twin.run(4), adam)
    live.optimizer.guard.breach("for the test")

    is_the_twins(live, twin)
    assert twin.run(8) == live.run(8)


@pytest.mark.parametrize("where", ["live", "base"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_a_scheduler_that_owns_the_rate_sets_it_for_every_rule(name, where):
    live, twin = pair(*SCHEDULERS[name], where)
    live.run(5), twin.run(5)

    swap(live.optimizer, ADAM, lr_owner="scheduler")
    at_swap = live.rates()
    found, expected = live.run(8), twin.run(8)
    live.optimizer.guard.breach("for the test")

    assert expected[0] == at_swap
    assert expected == found
    is_the_twins(live, twin)

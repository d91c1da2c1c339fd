"""Swaps, rollbacks, schedules, groups, loads and rebinds in any order."""

from __future__ import annotations

import io
import math
import sys

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from torch import nn

from dux_agent import Agent, attach
from dux_agent.live.swap import swap
from dux_sandbox.closures import number_of
from tests import models
from tests.sources import SGD
from tests.swapping import ADAM, MOMENTUM

SOURCES = {
    "adam": ADAM,
    "momentum": MOMENTUM.replace("lr=0.05", "lr=0.01"),
    "plain": SGD.replace("lr=0.1", "lr=0.02"),
}
BATCHES = models.batches(4)


class Both(nn.Module):
    """A model, and a layer that joins the training later."""

    def __init__(self) -> None:
        super().__init__()
        self.main = models.mlp()
        self.extra = nn.Linear(6, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.main(inputs) + self.extra(inputs)


class Side:
    """One training: a model, its live optimizer, a schedule over it."""

    def __init__(self, execution: str) -> None:
        torch.manual_seed(0)
        self.model = Both()
        self.agent = self._attach(execution)
        self.live = self.agent.optimizer
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.live, _decay)
        self.grown = False

    def _attach(self, execution: str) -> Agent:
        base = torch.optim.SGD(
            [
                {"params": self.model.main[0].parameters(), "lr": 0.02},
                {"params": self.model.main[2].parameters(), "lr": 0.005},
            ],
            lr=0.01,
            momentum=0.9,
        )
        return attach(self.model, base, models.objective, execution=execution)

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return models.objective(self.model, batch)

    def parameters(self) -> list[torch.Tensor]:
        return list(self.model.parameters())

    def rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.live.param_groups]


def _decay(step: int) -> float:
    return 1.0 / (1.0 + 0.1 * step)


class AnyOrder(RuleBasedStateMachine):
    """The same moves on both sides; only where a rule's code runs is different."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side("inline"), Side("isolated")]
        self.steps = 0

    @rule(count=st.integers(1, 3))
    def train(self, count: int) -> None:
        for _ in range(count):
            batch = BATCHES[self.steps % len(BATCHES)]
            self.steps += 1
            for side in self.sides:
                side.live.zero_grad()
                loss = side.loss(batch)
                loss.backward()
                side.live.step()

    @rule()
    def train_with_a_closure(self) -> None:
        batch = BATCHES[self.steps % len(BATCHES)]
        self.steps += 1
        for side in self.sides:

            def closure(side: Side = side) -> torch.Tensor:
                side.live.zero_grad()
                loss = side.loss(batch)
                loss.backward()
                return loss

            assert math.isfinite(number_of(side.live.step(closure)))

    @rule(name=st.sampled_from(sorted(SOURCES)))
    def swap(self, name: str) -> None:
        for side in self.sides:
            swap(side.live, SOURCES[name])

    @rule()
    def roll_back(self) -> None:
        for side in self.sides:
            side.live.guard.breach("the test says so")

    @rule()
    def schedule(self) -> None:
        for side in self.sides:
            side.schedule.step()

    @precondition(lambda self: not self.sides[0].grown)
    @rule()
    def add_group(self) -> None:
        for side in self.sides:
            side.grown = True
            side.live.add_param_group({"params": list(side.model.extra.parameters())})
            # As torch has it: a schedule knows the groups that it was made over.
            side.schedule = torch.optim.lr_scheduler.LambdaLR(side.live, _decay)

    @rule(frozen=st.booleans())
    def freeze(self, frozen: bool) -> None:
        for side in self.sides:
            side.model.main[0].requires_grad_(not frozen)

    @rule(factor=st.sampled_from([1.0, 0.5]))
    def rebind(self, factor: float) -> None:
        for side in self.sides:
            for parameter in side.parameters():
                parameter.data = parameter.data * factor

    @rule(to_none=st.booleans())
    def zero_grad(self, to_none: bool) -> None:
        for side in self.sides:
            side.live.zero_grad(set_to_none=to_none)

    @rule()
    def save_and_load(self) -> None:
        for side in self.sides:
            written = io.BytesIO()
            torch.save(side.live.state_dict(), written)
            written.seek(0)
            side.live.load_state_dict(torch.load(written, weights_only=True))

    @invariant()
    def both_sides_are_alike(self) -> None:
        one, other = self.sides
        for here, there in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(here, there)
            assert bool(torch.isfinite(here).all())
        assert one.rates() == other.rates()
        assert one.live.running.digest == other.live.running.digest

    @invariant()
    def what_is_the_users_stays_theirs(self) -> None:
        for side in self.sides:
            assert side.live is side.agent.optimizer
            assert not any(p.is_shared() for p in side.parameters())
            assert not any(p._backward_hooks for p in side.parameters())
            count = 3 if side.grown else 2
            assert count == len(side.live.param_groups) == len(side.live.owned)

    def teardown(self) -> None:
        for side in self.sides:
            side.agent.close()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.skipif(sys.platform != "linux", reason="the jail is for Linux")
class TestAnyOrder(AnyOrder.TestCase):
    settings = settings(max_examples=12, stateful_step_count=15, deadline=None)

"""A loop that tells of losses without batches, at first, now and then or always."""

import pytest
import torch

import dux_agent
from dux_sandbox.random_state import RandomState

STEPS = 60
MICRO = 2
BATCH = torch.ones(4, 3), torch.zeros(4, 1)


def objective(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


@pytest.fixture
def taken(monkeypatch):
    """A list that is one longer for each time the random numbers are taken."""
    times, take = [], RandomState.take
    monkeypatch.setattr(RandomState, "take", lambda: times.append(1) or take())
    return times


def train(shows, *, tells=True, accumulated=1, after_step=lambda agent: None):
    """The agent of a loop that shows its batch at the steps that `shows` says."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with dux_agent.attach(model, optimizer, objective, lm="offline", every=None) as it:
        for step in range(STEPS):
            it.optimizer.zero_grad()
            for _ in range(accumulated):
                loss = objective(model, BATCH) / accumulated
                loss.backward()
            it.optimizer.step()
            if tells:
                it.observe(loss, BATCH if shows(step) else None)
            after_step(it)
    return it


@pytest.mark.parametrize("tells", [True, False])
def test_random_numbers_are_not_taken_for_ever_where_no_batch_is_shown(taken, tells):
    by_step = []

    train(
        lambda step: False, tells=tells, after_step=lambda _: by_step.append(len(taken))
    )

    assert by_step[0] < by_step[5]  # the next loss might have come with its batch
    assert by_step[20] == by_step[-1]


@pytest.mark.parametrize(
    "shows",
    [
        lambda step: step > 40,
        lambda step: step % 10 == 9,
        lambda step: step in (40, 50),
    ],
)
def test_the_scale_is_found_where_batches_are_shown_later(shows):
    agent = train(shows, accumulated=MICRO)

    assert 1 / MICRO == agent.training.intake.scale.value


def test_losses_without_batches_count_as_those_with_them():
    with_batches, without = train(lambda step: True), train(lambda step: False)

    both = [each.training.statistics for each in (with_batches, without)]
    assert both[0].state_dict() == both[1].state_dict()
    assert (STEPS, STEPS) == (with_batches.step_count, without.step_count)
    assert with_batches.newest_loss == without.newest_loss


def test_a_loop_that_shows_no_batch_is_told_once_that_nobody_is_asked(caplog):
    def decides(agent):
        if agent.step_count % 20 == 10:
            agent.decide()

    agent = train(lambda step: step > 40, after_step=decides)

    told = [r.getMessage() for r in caplog.records if "nobody is asked" in r.message]
    assert [True, True, False] == ["no batch" in d.reason for d in agent.decisions]
    assert 1 == len(told)
    assert told[0].endswith(agent.decisions[0].reason)

"""What an agent's state holds and costs, in bytes of the weights."""

import io
import logging

import pytest
import torch
from torch import nn

from dux_agent import attach
from dux_agent.live.saved_checkpoint import CheckpointRefused
from tests import swapping
from tests.swapping import SGD
from tests.talking import scripted

EXECUTIONS = ("inline", "isolated")
ADAM = swapping.ADAM.replace("lr=0.01", "lr=0.0002")
OTHER_ADAM = ADAM.replace("lr=0.0002", "lr=0.0001")


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 64))


def objective(model, batch):
    return (model(batch) - batch).square().mean()


def batch():
    return torch.randn(2, 64, generator=torch.Generator().manual_seed(3))


def run(*sources, execution, steps=12, model=None):
    """AdamW in plain torch, then these rules one after the other."""
    model = model or net()
    base = torch.optim.AdamW(model.parameters(), lr=1e-3)
    lm = scripted(*(sources or [SGD]))
    agent = attach(model, base, objective, lm=lm, execution=execution)
    for _ in range(steps):
        agent.step(batch())
    for _ in sources:
        assert "applied" == agent.decide().verdict
        for _ in range(steps):
            agent.step(batch())
    return agent


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def cost(state, model):
    """Bytes of all storages in it, each once, in bytes of the weights."""
    storages = {
        each.untyped_storage().data_ptr(): each.untyped_storage().nbytes()
        for each in tensors_in(state)
    }
    return sum(storages.values()) / sum(each.nbytes for each in model.parameters())


RUNS = {"the base": (), "a rule": (ADAM,), "two rules": (ADAM, OTHER_ADAM)}
MOST = {
    # With everything, with what one rollback needs, without snapshots; 1/10 is for the
    # batches and the random numbers beside so small a model.
    "the base": (2, 2, 2),
    "a rule": (5, 5, 2),
    "two rules": (7, 5, 2),
}


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("kind", list(RUNS))
def test_an_agents_state_costs_as_many_times_the_weights_as_it_says(kind, execution):
    with run(*RUNS[kind], execution=execution) as agent:
        costs = [
            cost(agent.state_dict(snapshots=each), agent.model)
            for each in ("all", True, False)
        ]

    for most, found in zip(MOST[kind], costs, strict=True):
        assert most <= found < most + 0.1


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_snapshot_that_has_not_proved_itself_is_in_the_whole_state_only(execution):
    with run(ADAM, execution=execution) as agent:
        guard = agent.optimizer.guard
        for _ in range(120):
            agent.step(batch())
        assert guard.watch.pending is not None

        assert 6 <= cost(agent.state_dict(snapshots="all"), agent.model) < 6.1
        assert 5 <= cost(agent.state_dict(), agent.model) < 5.1


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("closed", [False, True])
def test_no_tensor_of_a_checkpoint_is_shared_memory_or_a_live_tensor(execution, closed):
    with run(ADAM, OTHER_ADAM, execution=execution) as agent:
        if closed:
            agent.close()
        state = agent.state_dict(snapshots="all")
        live = {
            each.untyped_storage().data_ptr()
            for parameter in agent.model.parameters()
            for each in (parameter, parameter.grad)
            if each is not None
        }
        live |= {
            each.untyped_storage().data_ptr()
            for each in tensors_in(list(agent.optimizer.state.values()))
        }

    found = list(tensors_in(state))
    assert found and not any(each.is_shared() for each in found)
    assert closed or live.isdisjoint(
        each.untyped_storage().data_ptr() for each in found
    )


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("snapshots", ["all", True, False])
def test_a_file_of_it_is_no_larger_and_is_read_with_weights_only(execution, snapshots):
    with run(ADAM, OTHER_ADAM, execution=execution) as agent:
        state = agent.state_dict(snapshots=snapshots)
        buffer = io.BytesIO()
        torch.save(state, buffer)
        tensors = sum(each.nbytes for each in tensors_in(state))

        assert buffer.tell() < tensors + 100_000
        buffer.seek(0)
        assert list(state) == list(torch.load(buffer, weights_only=True))


def resumed(agent, snapshots, caplog=None):
    """Another agent over the same weights that goes on from the first one's state."""
    state, weights = agent.state_dict(snapshots=snapshots), agent.model.state_dict()
    model = net()
    model.load_state_dict(weights)
    base = torch.optim.AdamW(model.parameters(), lr=1e-3)
    twin = attach(
        model,
        base,
        objective,
        lm=scripted(SGD),
        execution=agent.settings.execution,
    )
    twin.load_state_dict(state)
    return twin


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_without_snapshots_a_rollback_begins_anew_at_the_load_and_it_says_so(
    execution, caplog
):
    with run(ADAM, OTHER_ADAM, execution=execution) as agent:
        with caplog.at_level(logging.WARNING):
            twin = resumed(agent, snapshots=False)
    at_the_load = [each.detach().clone() for each in twin.model.parameters()]
    for _ in range(5):
        twin.step(batch())

    twin.optimizer.guard.breach("for the test")

    assert all(map(torch.equal, at_the_load, twin.model.parameters()))
    assert twin.optimizer.running is twin.optimizer.base_rule
    assert {} == dict(twin.optimizer.base.state)
    assert ["applied", "rolled_back"] == [each.verdict for each in twin.decisions]
    assert "taken without snapshots" in caplog.text
    twin.step(batch())
    twin.close()


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("snapshots, rollbacks", [(True, 1), ("all", 2)])
def test_a_resumed_run_rolls_back_as_the_one_that_died_would_have(
    snapshots, rollbacks, execution
):
    with run(ADAM, OTHER_ADAM, execution=execution) as agent:
        twin = resumed(agent, snapshots)
        for each in (agent, twin):
            for _ in range(rollbacks):
                each.step(batch())
                each.optimizer.guard.breach("for the test")
            for _ in range(3):
                each.step(batch())

        assert agent.optimizer.running.digest == twin.optimizer.running.digest
        assert all(map(torch.equal, agent.model.parameters(), twin.model.parameters()))
        twin.close()


def test_after_a_second_rollback_the_base_begins_without_its_state():
    with run(ADAM, OTHER_ADAM, execution="inline") as agent:
        twin = resumed(agent, snapshots=True)
        for _ in range(2):
            twin.step(batch())
            twin.optimizer.guard.breach("for the test")

        assert twin.optimizer.running is twin.optimizer.base_rule
        assert {} == dict(twin.optimizer.base.state)
        twin.close()


@pytest.mark.parametrize("snapshots", [True, False])
def test_a_guard_without_a_model_costs_no_more(snapshots):
    model = net()
    base = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with attach(model, base, objective, lm=None) as agent:
        for _ in range(135):
            agent.step(batch())

        found = cost(agent.state_dict(snapshots=snapshots), model)

    assert found < (5.1 if snapshots else 2.1)


class Caching(nn.Sequential):
    """Makes a buffer in its first forward pass, as rotary embeddings do."""

    def forward(self, inputs):
        if not hasattr(self, "cache"):
            self.register_buffer("cache", torch.ones(3), persistent=False)
        return super().forward(inputs) * self.cache.mean()


@pytest.mark.parametrize("older", [False, True])
def test_a_model_that_has_not_made_its_buffers_yet_takes_a_checkpoint(older):
    torch.manual_seed(0)
    model, other = Caching(nn.Linear(64, 64)), Caching(nn.Linear(64, 64))
    with run(SGD, execution="inline", model=model) as agent:
        state, weights = agent.state_dict(), model.state_dict()
    snapshot = state["guard"]["snapshot"]
    if older:  # a list, of a model that has them all
        snapshot["buffers"] = list(snapshot["buffers"].values())
        other(batch())
    base = torch.optim.AdamW(other.parameters(), lr=1e-3)
    with attach(other, base, objective, lm=scripted(SGD), execution="inline") as agent:
        other.load_state_dict(weights)

        agent.load_state_dict(state)
        agent.step(batch())
        agent.optimizer.guard.breach("for the test")

        assert torch.equal(torch.ones(3), other.cache)
        assert torch.equal(snapshot["values"][0], other[0].weight)


def test_a_snapshot_of_a_model_with_other_parts_is_refused():
    torch.manual_seed(0)
    model = Caching(nn.Linear(64, 64))
    with run(SGD, execution="inline", model=model) as agent:
        state = agent.state_dict()
        state["guard"]["snapshot"]["buffers"] = {"2.running_mean": torch.ones(2)}

        with pytest.raises(CheckpointRefused, match="with a buffer '2.running_mean'"):
            agent.load_state_dict(state)

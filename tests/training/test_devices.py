"""A training on each device there is: one that is late must change nothing."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from dux_agent import attach
from dux_agent.errors import BadArgument
from tests import models
from tests.sources import MOMENTUM
from tests.talking import scripted

GENTLE = MOMENTUM.replace("lr=0.05", "lr=0.01")
NO_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device"
)
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, NO_CUDA])]


def made(device):
    torch.manual_seed(0)
    model = models.mlp().to(device)
    base = torch.optim.AdamW(model.parameters(), lr=0.01)
    batches = [tuple(part.to(device) for part in each) for each in models.batches(5)]
    return model, base, batches


def bare(device, steps):
    model, base, batches = made(device)
    losses = []
    for step in range(steps):
        base.zero_grad()
        loss = models.objective(model, batches[step % 5])
        loss.backward()
        base.step()
        losses.append(loss.item())
    return losses


def trained(agent, batches, steps, *, spike=None):
    losses = []
    for step in range(*steps):
        batch = batches[step % 5]
        agent.optimizer.zero_grad()
        loss = models.objective(agent.model, batch)
        loss.backward()
        agent.optimizer.step()
        agent.observe(loss * 1e6 if step == spike else loss, batch, scale=1.0)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("device", DEVICES)
def test_an_agent_that_never_decides_changes_no_loss(device):
    model, base, batches = made(device)

    with attach(model, base, models.objective, lm="offline") as agent:
        losses = trained(agent, batches, (0, 40))

    assert bare(device, 40) == losses


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("snapshots", ["device", "host"])
def test_a_breach_is_found_and_what_was_before_comes_back(device, snapshots):
    model, base, batches = made(device)
    options = {"execution": "inline", "max_attempts": 1, "snapshots": snapshots}

    with attach(
        model, base, models.objective, lm=scripted(GENTLE), every=10, **options
    ) as agent:
        trained(agent, batches, (0, 20), spike=14)

    assert "rolled_back" == agent.decisions[0].verdict
    assert "the loss" in agent.decisions[0].reason
    assert all(each.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("device", DEVICES)
def test_a_saved_agent_goes_on_to_the_same_losses(device):
    model, base, batches = made(device)
    options = {"execution": "inline", "max_attempts": 1, "every": 10}
    with attach(
        model, base, models.objective, lm=scripted(GENTLE, GENTLE), **options
    ) as agent:
        trained(agent, batches, (0, 15))
        weights = {name: each.clone() for name, each in model.state_dict().items()}
        state = agent.state_dict()
        expected = trained(agent, batches, (15, 25))

    again, base, batches = made(device)
    again.load_state_dict(weights)
    with attach(again, base, models.objective, lm=scripted(GENTLE), **options) as agent:
        agent.load_state_dict(state)
        losses = trained(agent, batches, (15, 25))

    assert expected == losses


@pytest.mark.parametrize("device", DEVICES)
def test_a_checkpoint_that_is_read_to_the_host_goes_on_to_the_same_losses(
    device, tmp_path
):
    """As frameworks read them; the next decision tries rules on its batches."""
    options = {"execution": "inline", "max_attempts": 1, "every": 6}
    model, base, batches = made(device)
    with attach(model, base, models.objective, lm=scripted(GENTLE), **options) as agent:
        trained(agent, batches, (0, 15))
        saved = {"model": model.state_dict(), "agent": agent.state_dict()}
        torch.save(saved, tmp_path / "saved")
        expected = trained(agent, batches, (15, 20))
        verdicts = [each.verdict for each in agent.decisions]

    again, base, batches = made(device)
    saved = torch.load(tmp_path / "saved", map_location="cpu")
    again.load_state_dict(saved["model"])
    with attach(again, base, models.objective, lm=scripted(GENTLE), **options) as agent:
        agent.load_state_dict(saved["agent"])
        losses = trained(agent, batches, (15, 20))

    assert expected == losses
    assert ["applied"] * 3 == verdicts == [each.verdict for each in agent.decisions]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("execution", ["inline", "recorded"])
def test_an_agent_is_closed_whose_state_was_moved_to_the_host(device, execution):
    """As Lightning does at the end of a training."""
    model, base, batches = made(device)
    options = {"execution": execution, "max_attempts": 1, "every": 10}
    agent = attach(model, base, models.objective, lm=scripted(GENTLE), **options)
    trained(agent, batches, (0, 15))

    state = agent.optimizer.state
    for parameter, entry in list(state.items()):
        state[parameter] = {
            name: value.cpu() if torch.is_tensor(value) else value
            for name, value in entry.items()
        }
    agent.close()

    assert ["applied"] == [each.verdict for each in agent.decisions]


@contextmanager
def nobody_waits():
    torch.cuda.set_sync_debug_mode("error")  # raises where something waits
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def stepped(agent, batches):
    for batch in batches:
        agent.optimizer.zero_grad()
        loss = models.objective(agent.model, batch)
        loss.backward()
        agent.optimizer.step()
        agent.observe(loss, batch, scale=1.0)


@pytest.mark.cuda
@NO_CUDA
def test_a_step_that_nobody_decides_in_waits_for_no_device():
    model, base, batches = made("cuda")

    with attach(model, base, models.objective, lm="offline", every=10**9) as agent:
        trained(agent, batches, (0, 10))
        with nobody_waits():
            stepped(agent, batches[:4])

    assert 14 == agent.step_count


@pytest.mark.cuda
@NO_CUDA
@pytest.mark.parametrize("execution", ["inline", "recorded"])
def test_a_step_under_a_rule_waits_for_no_device(execution):
    model, base, batches = made("cuda")
    options = {"execution": execution, "max_attempts": 1, "every": 10}

    with attach(model, base, models.objective, lm=scripted(GENTLE), **options) as agent:
        trained(agent, batches, (0, 15))
        with nobody_waits():
            stepped(agent, batches[:4])

    assert ["applied"] == [each.verdict for each in agent.decisions]


@pytest.mark.cuda
@NO_CUDA
def test_a_step_of_a_guarded_run_waits_for_no_device():
    model, base, batches = made("cuda")

    with attach(model, base, models.objective, lm=None) as agent:
        trained(agent, batches, (0, 5))
        with nobody_waits():
            stepped(agent, batches[:4])

    assert 0 == agent.rollbacks


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("execution", ["inline", "recorded"])
def test_weights_that_are_not_finite_are_taken_back(device, execution):
    model, base, batches = made(device)
    options = {"execution": execution, "max_attempts": 1, "every": 10}

    with attach(model, base, models.objective, lm=scripted(GENTLE), **options) as agent:
        trained(agent, batches, (0, 10))
        swapped = [each.detach().clone() for each in model.parameters()]
        agent.optimizer.zero_grad()
        models.objective(model, batches[0]).backward()
        model[0].weight.grad.fill_(torch.nan)
        agent.optimizer.step()
        late = agent.optimizer.running is not agent.optimizer.base_rule
        agent.optimizer.zero_grad()
        models.objective(model, batches[1]).backward()
        agent.optimizer.step()
        verdict, reason = agent.decisions[0].verdict, agent.decisions[0].reason
        here = [each.detach().clone() for each in model.parameters()]

    assert "rolled_back" == verdict
    assert "a parameter was not finite after 1 steps" in reason
    assert late == ("told a step later" in reason)
    assert not late or all(map(torch.equal, swapped, here))


@pytest.mark.cuda
@NO_CUDA
def test_snapshots_on_the_host_lie_in_pinned_memory():
    model, base, batches = made("cuda")
    options = {"execution": "inline", "max_attempts": 1, "snapshots": "host"}

    with attach(
        model, base, models.objective, lm=scripted(GENTLE), every=10, **options
    ) as agent:
        trained(agent, batches, (0, 10))
        values = agent.optimizer.guard.watch.snapshot.values

    assert all(each.is_pinned() for each in values)


@pytest.mark.cuda
@NO_CUDA
@pytest.mark.parametrize("kind", ["capturable", "fused"])
def test_state_that_a_base_optimizer_keeps_on_the_device_comes_back_there(kind):
    model, _, batches = made("cuda")
    base = torch.optim.AdamW(model.parameters(), lr=0.01, **{kind: True})
    options = {"execution": "inline", "max_attempts": 1, "every": 10}

    with attach(model, base, models.objective, lm=scripted(GENTLE), **options) as agent:
        trained(agent, batches, (0, 20), spike=14)
        steps = [float(each["step"]) for each in base.state.values()]
        devices = {each["step"].device.type for each in base.state.values()}

    assert "rolled_back" == agent.decisions[0].verdict
    assert {"cuda"} == devices
    assert 1 == len(set(steps))


@contextmanager
def default_device(device):
    """The loop makes its tensors there; on a CPU alone one that holds no values."""
    torch.set_default_device("meta" if device == "cpu" else device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("execution", ["inline", "recorded"])
def test_a_default_device_of_the_loop_changes_no_loss(device, execution):
    options = {"execution": execution, "max_attempts": 1, "every": 10}
    found = []

    for changed in (False, True):
        model, _, batches = made(device)
        # Some torch makes the step count of its Adam on the default device.
        base = torch.optim.SGD(model.parameters(), lr=0.01)
        with (
            default_device(device) if changed else nullcontext(),
            attach(
                model, base, models.objective, lm=scripted(GENTLE), **options
            ) as agent,
        ):
            found.append(trained(agent, batches, (0, 15)))
        assert ["applied"] == [each.verdict for each in agent.decisions]

    assert found[0] == found[1]


@pytest.mark.parametrize("capturing", [False, True])
def test_a_step_is_no_part_of_a_graph(capturing, monkeypatch):
    model, base, batches = made("cpu")
    monkeypatch.setattr("dux_agent.live.optimizer._MAY_BE_CAPTURED", True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing)

    with attach(model, base, models.objective, lm="offline") as agent:
        before = [each.detach().clone() for each in model.parameters()]
        refused = pytest.raises(BadArgument, match="while a CUDA graph is captured")
        with refused if capturing else nullcontext():
            agent.step(batches[0])
        stood = all(map(torch.equal, before, model.parameters()))

    assert capturing == stood


@pytest.mark.cuda
@NO_CUDA
def test_a_graph_that_would_hold_a_step_is_refused_and_the_next_one_captured():
    model, base, batches = made("cuda")

    with attach(model, base, models.objective, lm="offline") as agent:
        trained(agent, batches, (0, 3))
        graph = torch.cuda.CUDAGraph()
        with pytest.raises(BadArgument, match="graph"), torch.cuda.graph(graph):
            models.objective(model, batches[0]).backward()
            agent.optimizer.step()
        agent.optimizer.zero_grad()
        losses = trained(agent, batches, (3, 6))

    assert bare("cuda", 6)[3:] == losses

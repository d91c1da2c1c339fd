"""A live optimizer's checkpoint: torch's layout, any process, never trusted."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from dux_agent.live.checkpoint import CheckpointRefused
from dux_agent.live.swap import swap
from dux_sandbox.findings import digest_of
from tests import models
from tests.states import ROADS, through_torch
from tests.swapping import ADAM, MOMENTUM, live_over, train


def trained(source, kind="mlp", steps=7):
    """A model and its live optimizer, some steps into a rule."""
    model = models.make(kind)
    live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9))
    train(live, model, 4)
    if source is not None:
        swap(live, source)
    train(live, model, steps)
    return model, live


def fresh(model):
    """The same weights under a new live optimizer."""
    twin = copy.deepcopy(model)
    return twin, live_over(
        twin, torch.optim.SGD(twin.parameters(), lr=0.02, momentum=0.9)
    )


@pytest.mark.parametrize("road", list(ROADS))
@pytest.mark.parametrize("source", [None, MOMENTUM, ADAM])
def test_a_loaded_checkpoint_takes_the_same_next_steps(source, road):
    model, live = trained(source)
    twin, other = fresh(model)

    other.load_state_dict(ROADS[road](live.state_dict()))
    train(live, model, 5, first=11)
    train(other, twin, 5, first=11)

    assert source == other.running.source
    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert live.state_dict()["param_groups"] == other.state_dict()["param_groups"]


def test_a_checkpoint_of_another_rule_than_the_live_one_loads():
    model, live = trained(MOMENTUM)
    twin, other = fresh(model)
    swap(other, ADAM)
    train(other, twin, 2)
    twin.load_state_dict(model.state_dict())

    other.load_state_dict(copy.deepcopy(live.state_dict()))
    train(live, model, 5)
    train(other, twin, 5)

    assert all(map(torch.equal, model.parameters(), twin.parameters()))
    assert "betas" not in other.param_groups[0]


def test_a_live_optimizer_loads_its_own_state():
    model, live = trained(MOMENTUM)
    twin, other = fresh(model)
    other.load_state_dict(copy.deepcopy(live.state_dict()))

    live.load_state_dict(live.state_dict())
    train(live, model, 3)
    train(other, twin, 3)

    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_a_plain_checkpoint_of_the_base_optimizer_loads():
    model = models.make("mlp")
    plain = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.8)
    train(plain, model, 4)
    twin, live = fresh(model)
    swap(live, ADAM)

    live.load_state_dict(copy.deepcopy(plain.state_dict()))
    train(plain, model, 4)
    train(live, twin, 4)

    assert live.running is live.base_rule
    assert live.param_groups is live.base.param_groups
    assert 0.8 == live.param_groups[0]["momentum"]
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_it_has_torchs_layout_and_carries_source_and_digest_in_the_first_group():
    _, live = trained(MOMENTUM)

    state = live.state_dict()

    assert {"state", "param_groups"} == set(state)
    assert [0, 1, 2, 3] == state["param_groups"][0]["params"]
    record = state["param_groups"][0]["dux"]
    assert (MOMENTUM, digest_of(MOMENTUM)) == (record["source"], record["digest"])
    assert "dux" not in live.param_groups[0]


def test_a_scheduler_goes_on_after_a_load():
    model, live = trained(None)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(live, 0.05, total_steps=60)
    train(live, model, 5, scheduler=scheduler)
    swap(live, ADAM)
    train(live, model, 5, scheduler=scheduler)
    twin, other = fresh(model)
    follower = torch.optim.lr_scheduler.OneCycleLR(other, 0.05, total_steps=60)

    other.load_state_dict(through_torch(live.state_dict()))
    follower.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    train(live, model, 5, scheduler=scheduler)
    train(other, twin, 5, scheduler=follower)

    assert live.param_groups[0]["lr"] == other.param_groups[0]["lr"]
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def tampered(change):
    _, live = trained(MOMENTUM)
    state = copy.deepcopy(live.state_dict())
    change(state["param_groups"][0]["dux"])
    return state


def forge(record):
    record["source"] = record["source"].replace("self.t += 1", "self.t += 2")


def forge_with_digest(record):
    record["source"] = "import os\n" + record["source"]
    record["digest"] = digest_of(record["source"])


def break_the_build(record):
    record["source"] = record["source"].replace("self.t = 0", "self.t = 1 // 0")
    record["digest"] = digest_of(record["source"])


def break_the_record(record):
    record["kept"] = '{"attributes": {"t": {"~tensor": 99}}}'


@pytest.mark.parametrize(
    "change, said",
    [
        (forge, "not the one that its digest names"),
        (forge_with_digest, "import"),
        (break_the_build, "ZeroDivisionError"),
        (break_the_record, "record cannot be read"),
    ],
)
def test_a_tampered_checkpoint_is_refused_and_nothing_changes(change, said):
    model, live = trained(ADAM)
    before = copy.deepcopy(live.state_dict())
    weights = [p.detach().clone() for p in model.parameters()]
    rule = live.running

    with pytest.raises(CheckpointRefused, match=said):
        live.load_state_dict(tampered(change))

    assert live.running is rule
    assert before["param_groups"] == live.state_dict()["param_groups"]
    assert all(map(torch.equal, weights, model.parameters()))
    train(live, model, 2)
    assert ADAM == live.running.source


def test_state_that_is_no_plain_data_is_refused():
    model, live = trained(MOMENTUM)
    state = copy.deepcopy(live.state_dict())
    state["state"][0]["m"] = print

    with pytest.raises(CheckpointRefused, match="no plain data"):
        live.load_state_dict(state)


def test_another_number_of_parameters_is_refused_in_so_many_words():
    _, live = trained(MOMENTUM)
    state = copy.deepcopy(live.state_dict())
    state["param_groups"][0]["params"].pop()

    with pytest.raises(ValueError, match=r"groups of \[3\] parameters .* \[4\]"):
        live.load_state_dict(state)


def test_the_base_optimizer_behind_a_loaded_rule_has_its_options():
    model, live = trained(MOMENTUM)
    twin, other = fresh(model)
    other.param_groups[0]["momentum"] = 0.1

    other.load_state_dict(copy.deepcopy(live.state_dict()))
    train(other, twin, 1)
    other.guard.breach("for the test")

    assert 0.9 == other.param_groups[0]["momentum"]


def test_weights_loaded_after_the_optimizer_are_what_a_rollback_restores():
    model, live = trained(MOMENTUM)
    blank = models.make("mlp")
    other = live_over(blank, torch.optim.SGD(blank.parameters(), lr=0.02, momentum=0.9))

    other.load_state_dict(copy.deepcopy(live.state_dict()))
    blank.load_state_dict(model.state_dict())
    train(other, blank, 3)
    other.guard.breach("for the test")

    assert all(map(torch.equal, model.parameters(), blank.parameters()))


@pytest.mark.parametrize("source", [None, MOMENTUM])
def test_it_survives_distributed_checkpointing_in_memory(source):
    model, live = trained(source)
    twin, other = fresh(model)

    state = copy.deepcopy(get_optimizer_state_dict(model, live))
    set_optimizer_state_dict(twin, other, state)
    train(live, model, 4)
    train(other, twin, 4)

    assert source == other.running.source
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_it_survives_distributed_checkpointing_on_disk(tmp_path):
    model, live = trained(MOMENTUM)
    saved = get_optimizer_state_dict(model, live)
    with_warnings_off(lambda: dcp.save({"o": saved}, checkpoint_id=tmp_path, no_dist=1))
    twin = copy.deepcopy(model)
    train(live, model, 4)
    expected = [p.detach().clone() for p in model.parameters()]

    model.load_state_dict(twin.state_dict())
    target = {"o": get_optimizer_state_dict(model, live)}
    with_warnings_off(lambda: dcp.load(target, checkpoint_id=tmp_path, no_dist=1))
    set_optimizer_state_dict(model, live, target["o"])
    train(live, model, 4)

    assert all(map(torch.equal, expected, model.parameters()))


def with_warnings_off(work):
    """torch's own checkpointing warns of its own storage classes."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work()


def test_a_checkpoint_loads_in_a_new_process(tmp_path):
    model, live = trained(MOMENTUM)
    torch.save((live.state_dict(), model.state_dict()), tmp_path / "saved.pt")
    script = """
import sys, torch
from tests import models
from tests.swapping import live_over, train
optimizer, weights = torch.load(sys.argv[1] + "/saved.pt", weights_only=True)
model = models.make("mlp")
live = live_over(model, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9))
live.load_state_dict(optimizer)
model.load_state_dict(weights)
train(live, model, 4)
torch.save(model.state_dict(), sys.argv[1] + "/after.pt")
"""

    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        env={"PYTHONPATH": ":".join(each for each in sys.path if each)},
    )
    train(live, model, 4)

    found = torch.load(tmp_path / "after.pt", weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, found[name])


def test_hooks_on_saving_and_loading_are_called():
    model, live = trained(MOMENTUM)
    seen = []
    live.register_state_dict_pre_hook(lambda o: seen.append("before saving"))
    live.register_state_dict_post_hook(lambda o, s: seen.append("saved"))
    live.register_load_state_dict_pre_hook(lambda o, s: seen.append("before loading"))
    live.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))

    live.load_state_dict(live.state_dict())

    assert ["before saving", "saved", "before loading", "loaded"] == seen

"""A checkpoint is input: what was changed in it never runs, and changes nothing."""

from __future__ import annotations

import copy
import json
import os

import pytest
import torch

from dux_agent.errors import DuxError
from dux_sandbox.findings import digest_of
from tests import models, sources
from tests.talking import agent_over, run

SENTINEL = "/tmp/dux_escape_sentinel_checkpoint"
EVIL = f"import os\nos.system('touch {SENTINEL}')\n" + sources.MOMENTUM


@pytest.fixture
def applied():
    """An agent with a generated rule live, inline."""
    if os.path.lexists(SENTINEL):
        os.unlink(SENTINEL)
    model = models.make("mlp")
    with agent_over(model, sources.MOMENTUM, dry_run_steps=2) as agent:
        run(agent, 3)
        assert "applied" == agent.decide().verdict
        run(agent, 3)
        yield agent


def record(state):
    return state["param_groups"][0]["dux"]


def with_kept(state, **fields):
    kept = json.loads(record(state)["kept"])
    record(state)["kept"] = json.dumps({**kept, **fields})


def another_source(state):
    record(state)["source"] = EVIL


def another_source_and_its_digest(state):
    record(state).update(source=EVIL, digest=digest_of(EVIL))


def one_letter(state):
    record(state)["source"] = record(state)["source"].replace("0.01", "0.02")


def no_digest(state):
    record(state)["digest"] = None


def source_is_bytes(state):
    record(state)["source"] = record(state)["source"].encode()


def source_is_code(state):
    record(state)["source"] = compile("1", "x", "eval")


def record_is_text(state):
    state["param_groups"][0]["dux"] = "x"


def record_is_number(state):
    state["param_groups"][0]["dux"] = 5


def kept_is_no_json(state):
    record(state)["kept"] = "{"


def kept_is_number(state):
    record(state)["kept"] = "5"


def kept_is_deep(state):
    record(state)["kept"] = "[" * 100_000


def tensors_is_number(state):
    record(state)["tensors"] = 5


def attributes_are_a_list(state):
    with_kept(state, attributes=[1])


def attributes_point_nowhere(state):
    with_kept(state, attributes={"t": {"~tensor": 99}})


def attributes_are_unknown(state):
    with_kept(state, attributes={"t": {"~pickle": "x"}})


def owned_is_number(state):
    with_kept(state, owned=5)


def owned_names_params(state):
    with_kept(state, owned=[["params", "dux", "lr"]])


def base_options_are_numbers(state):
    with_kept(state, base_options=[5])


def state_holds_a_function(state):
    state["state"][0]["m"] = print


def state_is_a_list(state):
    state["state"] = []


def groups_are_numbers(state):
    state["param_groups"] = [5]


def no_groups(state):
    state["param_groups"] = []


def params_are_a_number(state):
    state["param_groups"][0]["params"] = 5


REFUSED = [
    another_source,
    another_source_and_its_digest,
    one_letter,
    no_digest,
    source_is_bytes,
    source_is_code,
    record_is_text,
    record_is_number,
    kept_is_no_json,
    kept_is_number,
    kept_is_deep,
    tensors_is_number,
    attributes_are_a_list,
    attributes_point_nowhere,
    attributes_are_unknown,
    owned_is_number,
    base_options_are_numbers,
    state_holds_a_function,
    state_is_a_list,
    groups_are_numbers,
    no_groups,
    params_are_a_number,
]


@pytest.mark.parametrize("tamper", REFUSED, ids=lambda tamper: tamper.__name__)
def test_a_tampered_checkpoint_is_refused_and_changes_nothing(applied, tamper):
    live = applied.optimizer
    state = copy.deepcopy(live.state_dict())
    tamper(state)
    before = copy.deepcopy(live.state_dict())
    weights = [p.detach().clone() for p in applied.model.parameters()]

    with pytest.raises((DuxError, ValueError)):
        live.load_state_dict(state)

    assert not os.path.lexists(SENTINEL)
    after = live.state_dict()
    assert repr(before) == repr(after)
    for one, other in zip(weights, applied.model.parameters(), strict=True):
        assert torch.equal(one, other)
    run(applied, 2)  # and training goes on


HOSTILE = {
    name: 1.0
    for name in (
        "step zero_grad state_dict load_state_dict param_groups state defaults "
        "_patch_step_function _optimizer_step_pre_hooks __class__ __dict__ "
        "__reduce__ dux_source add_param_group profile_hook_step"
    ).split()
}


def test_attributes_under_hostile_names_do_not_shadow_the_optimizer(applied):
    live = applied.optimizer
    state = copy.deepcopy(live.state_dict())
    with_kept(state, attributes={**HOSTILE, "t": 3})

    live.load_state_dict(state)
    rule = live.running.optimizer

    assert callable(rule.step) and callable(rule.state_dict)
    assert type(rule).__name__ == "Momentum"
    assert rule.param_groups is not None and rule.param_groups != 1.0
    run(applied, 3)
    assert ["applied"] == [each.verdict for each in applied.decisions]


@pytest.mark.parametrize("groups", [1.0, [1.0], "lr", [None, None], True])
def test_groups_of_a_rule_that_are_none_end_no_load(applied, groups):
    live = applied.optimizer
    state = copy.deepcopy(live.state_dict())
    with_kept(state, attributes={"param_groups": groups})

    live.load_state_dict(state)

    assert {"params", "lr", "beta"} == {*live.running.optimizer.param_groups[0]}
    run(applied, 3)
    assert ["applied"] == [each.verdict for each in applied.decisions]


def test_owned_names_from_a_checkpoint_cannot_take_the_parameters_away(applied):
    live = applied.optimizer
    state = copy.deepcopy(live.state_dict())
    owned_names_params(state)
    wanted = [id(p) for p in live.param_groups[0]["params"]]

    live.load_state_dict(state)
    applied.decide()
    live.guard.breach("to see what comes back")
    run(applied, 2)

    assert wanted == [id(p) for p in live.param_groups[0]["params"]]


@pytest.mark.parametrize("rate", ["fast", None, [1], float("nan"), 10**400])
def test_a_rate_from_a_checkpoint_that_is_no_number_never_ends_a_training(
    applied, rate
):
    live = applied.optimizer
    state = copy.deepcopy(live.state_dict())
    state["param_groups"][0]["lr"] = rate

    try:
        live.load_state_dict(state)
    except (DuxError, ValueError):
        pass  # refused: as good

    run(applied, 3)
    assert all(bool(torch.isfinite(p).all()) for p in applied.model.parameters())

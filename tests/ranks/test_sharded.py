"""FSDP2: rules on parts of parameters do what they do to whole ones in one process."""

import pytest
import torch

from dux_agent.training.by_parts import found_by_parts
from dux_sandbox.limits import Limits
from dux_sandbox.zoo import entry
from tests import models
from tests.ranks import shardings
from tests.ranks.test_ranks import begun, ended, together
from tests.sources import counting

BOTH = ("inline", "isolated")
SAVERS = (), (0,), (0, 1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Of each scenario what both ranks told; one start of the processes for all."""
    scenarios = [
        *(["of_elements", each] for each in BOTH),
        ["spiking", "isolated"],
        *(["saved_late", *who] for who in SAVERS),
        ["of_wholes"],
        ["spoilt_part"],
        ["evaluated"],
        ["evaluated_spiking"],
        ["of_some"],
        ["crowded", 0],
        ["crowded", 1],
        ["uncopied"],
        ["ungathered"],
        ["accelerated"],
        ["in_transformers"],
    ]
    told = together(tmp_path_factory.mktemp("sharded"), *scenarios)
    return {
        tuple(scenario): [each[at] for each in told]
        for at, scenario in enumerate(scenarios)
    }


def assert_alike(told, expected):
    first = told[0]
    for each in told:
        assert first["weights"] == each["weights"]
        assert first["verdicts"] == each["verdicts"]
    assert expected["verdicts"] == first["verdicts"]
    for one, other in zip(expected["weights"], first["weights"], strict=True):
        # Gradients are means of two means: the same but for their rounding.
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)
    assert first["recent"] == pytest.approx(expected["recent"], rel=1e-3)
    assert first["norms"] == pytest.approx(expected["norms"], rel=1e-3)


@pytest.mark.parametrize("who", SAVERS[1:])
def test_what_a_late_device_has_yet_to_tell_of_parts_stays_so_where_ranks_save(
    pairs, who
):
    told, unsaved = pairs["saved_late", *who], pairs["saved_late",]

    for each, other in zip(told, unsaved, strict=True):
        assert other["weights"] == each["weights"]
        assert other["reasons"] == each["reasons"]
        assert other["verdicts"] == each["verdicts"]
    assert "rank 1: a parameter was not finite" in told[0]["reasons"][0]


def test_what_another_rank_has_saved_of_its_part_is_refused(pairs):
    first, second = (each["refused"][0] for each in pairs["saved_late",])

    assert "that rank 1 holds, and this is rank 0; let each rank save" in first
    assert "that rank 0 holds, and this is rank 1; let each rank save" in second


@pytest.mark.parametrize("execution", BOTH)
def test_rules_of_elements_do_to_parts_what_they_do_to_wholes(pairs, execution):
    told = pairs["of_elements", execution]

    alone = shardings.alone(
        [shardings.GENTLE, shardings.SMOOTHED, shardings.SGD], execution
    )

    assert ["applied"] * 2 == told[0]["verdicts"][-1]
    assert_alike(told, alone)


@pytest.mark.parametrize("execution", BOTH)
def test_a_plan_tells_what_the_first_rank_needs_for_a_whole_copy(pairs, execution):
    sources = [shardings.GENTLE, shardings.SMOOTHED, shardings.SGD]
    alone = shardings.alone(sources, execution)["plan"]

    told = [each["plan"] for each in pairs["of_elements", execution]]

    state = alone["incumbent copy"] - alone["clone"]
    child = alone["child"]
    incumbent = alone["incumbent copy"] + (child if execution == "isolated" else 0)
    tried = max(incumbent, alone["clone"] + child + alone["rule's state"])
    expected = alone["clone"] // 2 + state + tried
    assert [expected] * 2 == [each["whole copy"] for each in told]
    assert "whole copy" not in alone
    assert all(0 < each["child"] < child for each in told)


@pytest.mark.parametrize("how", ["evaluated", "of_some", "ungathered"])
def test_models_of_which_parts_are_held_whole_decide_as_one_process_does(pairs, how):
    told = pairs[how,]

    alone = shardings.alone([shardings.GENTLE, shardings.SMOOTHED], "inline")

    assert ["applied"] * 2 == told[0]["verdicts"][-1]
    assert_alike(told, alone)


@pytest.mark.parametrize(
    ("how", "execution"),
    [(("spiking", "isolated"), "isolated"), (("evaluated_spiking",), "inline")],
    ids=["parts", "wholes"],
)
def test_a_spike_of_one_rank_takes_all_parts_back(pairs, how, execution):
    told = pairs[how]

    alone = shardings.alone(
        [shardings.GENTLE, shardings.SMOOTHED],
        execution,
        plant=shardings.spike_alone,
        every=shardings.EVERY + 1,
    )

    assert ["rolled_back"] == told[0]["verdicts"][8]
    for one, other in zip(alone["weights"], told[0]["weights"], strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)
    assert told[0]["weights"] == told[1]["weights"]
    assert alone["verdicts"] == told[0]["verdicts"] == told[1]["verdicts"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (("crowded", 0), "rank 0 could not make the model whole: "),
        (("crowded", 1), "rank 1 could not make the model whole: "),
        (("uncopied",), "rank 0 could not make the model whole: ValueError: there is"),
    ],
    ids=["memory of the first", "memory of another", "copy"],
)
def test_weights_that_one_rank_cannot_make_whole_cost_one_decision(pairs, how, why):
    first, second = pairs[how]

    assert first["verdicts"] == second["verdicts"]
    assert "failed" == first["verdicts"][-1][0]
    assert first["reasons"] == second["reasons"]
    assert f"the decision failed: {why}" in first["reasons"][0]
    assert "crowded" not in how or "can't allocate memory" in first["reasons"][0]
    assert first["weights"] == second["weights"]
    if how == ("uncopied",):
        assert ["failed", "applied"] == first["verdicts"][-1]


def test_what_accelerate_has_sharded_decides_as_one_process_does(pairs):
    first, second = pairs["accelerated",]

    alone = shardings.alone([shardings.GENTLE, shardings.SMOOTHED], "inline")

    assert ["applied"] * 2 == first["verdicts"] == second["verdicts"]
    assert first["weights"] == second["weights"]
    for one, other in zip(alone["weights"], first["weights"], strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)


def test_a_trainer_that_shards_by_itself_is_refused_on_each_rank(pairs):
    first, second = pairs["in_transformers",]

    assert first == second
    assert not first["shards"]  # on a CPU
    assert "it shards its model in train() (FSDP)" in first["refused"]
    assert "leave fsdp out" in first["refused"]


def test_a_rule_that_needs_whole_parameters_is_refused_with_the_reason(pairs):
    first, second = pairs["of_wholes",]

    assert 3 == first["asked"]  # two went back with their findings
    assert ["passed after 3 tries"] == first["reasons"] == second["reasons"]
    assert first["weights"] == second["weights"]


def test_nobody_is_asked_where_the_part_of_another_rank_is_not_finite(pairs):
    first, second = pairs["spoilt_part",]

    assert (0, 0) == (first["asked"], second["asked"])
    assert ["kept"] == first["verdicts"][-1] == second["verdicts"][-1]
    assert first["reasons"] == second["reasons"]
    assert first["reasons"][0].startswith("on rank 1 the weights are not finite")


@pytest.mark.parametrize(
    "source",
    [shardings.NORMED, shardings.MIXED]
    + [entry(each).source for each in ("muon", "prodigy")],
    ids=["norm", "product", "muon", "prodigy"],
)
def test_what_speaks_against_it_names_the_parts(source):
    wholes = [{"params": list(models.make("mlp").parameters())}]
    parts = [torch.Size([4, 6]), torch.Size([4]), torch.Size([1, 8]), torch.Size([1])]

    found = found_by_parts(source, wholes, parts, Limits())

    assert "sharded over ranks (FSDP)" in found.message
    assert "of a part of shape (4, 6) of parameter 0" in found.message
    assert "of all of shape (8, 6)" in found.message
    assert "moves each element by its own gradient" in found.instead


def test_one_of_each_shape_is_tried_and_told_by_its_number():
    params = [torch.nn.Parameter(torch.randn(4)) for _ in range(6)]
    wide = [torch.nn.Parameter(torch.randn(8, 4)) for _ in range(500)]
    wholes = [{"params": params}, {"params": wide}]
    parts = [torch.Size([4])] * 6 + [torch.Size([4, 4])] * 500
    whole_ones = counting("p.sub_(lr * p.grad / (p.grad.norm() if n < 9 else 1.0))")
    counted = counting("p.sub_(0 * p.grad + 1.0 * (p.shape[0] == 8))")

    assert "parameter 6 " in found_by_parts(whole_ones, wholes, parts, Limits()).message
    assert "parameter 6 " in found_by_parts(counted, wholes, parts, Limits()).message


@pytest.mark.parametrize(
    "source",
    [shardings.SMOOTHED, entry("adamw").source],
    ids=["momentum", "adamw"],
)
def test_nothing_speaks_against_rules_of_elements(source):
    wholes = [{"params": list(models.make("mlp").parameters())}]
    parts = [torch.Size([4, 6]), torch.Size([4]), torch.Size([1, 8]), torch.Size([0])]

    assert found_by_parts(source, wholes, parts, Limits()) is None


def test_a_default_device_of_the_loop_is_not_where_parts_are_tried():
    wholes = [{"params": list(models.make("mlp").parameters())}]
    parts = [torch.Size([4, 6]), torch.Size([4]), torch.Size([1, 8]), torch.Size([1])]

    with torch.device("meta"):
        found = found_by_parts(shardings.SMOOTHED, wholes, parts, Limits())

    assert found is None


@pytest.mark.slow
@pytest.mark.parametrize("how", ["entry", "optimizer"])
def test_a_saved_training_goes_on_to_the_last_bit(tmp_path, how):
    told = together(tmp_path, ["resumed", how, str(tmp_path / "saved")])

    (first,), (second,) = told
    assert first["weights"] == first["again"] == second["weights"] == second["again"]
    assert first["live"] == second["live"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("execution", BOTH)
def test_parts_that_two_ranks_hold_each_go_the_same_way(tmp_path, execution):
    told = together(tmp_path, ["of_elements", execution, True], count=4)

    alone = shardings.alone(
        [shardings.GENTLE, shardings.SMOOTHED, shardings.SGD], execution
    )

    assert_alike([each[0] for each in told], alone)


@pytest.mark.wall
def test_a_rank_that_is_killed_as_all_gather_ends_in_words_on_the_others(tmp_path):
    ran = begun(tmp_path, [["ended_in_gathering", "killed"]], 4)

    told = ended(ran, dead=[1])

    assert [] == told.pop(1)
    assert all("hears no more of the others" in each[0]["error"] for each in told)


@pytest.mark.slow
def test_what_ends_the_gathering_of_one_rank_alone_ends_all_in_words(tmp_path):
    told = together(tmp_path, ["ended_in_gathering", "raises"], count=4)

    assert all("hears no more of the others" in each[0]["error"] for each in told)
    why = "Before that, on this rank: MemoryError: no room for another"
    assert [why] == told[1][0]["notes"]

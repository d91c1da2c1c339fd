"""FSDP2 where no rank can hold the model whole: all ranks try proposals on parts."""

import pytest
import torch

from dux_agent.training.by_parts import found_by_parts
from dux_sandbox.limits import Limits
from dux_sandbox.zoo import entry
from tests.ranks.test_ranks import begun, ended, together

WHY = "rank 0 could not make the model whole: MemoryError: no room for all of it; "
SCENARIOS = (
    ["on_parts", "all"],
    ["on_wholes", "all"],
    ["refused_on_parts"],
    ["undecided"],
    ["with_a_closure"],
)


def told_of(folder, *scenarios, count=2):
    """Of each scenario what all ranks told."""
    told = together(folder, *scenarios, count=count)
    return {
        tuple(scenario): [each[at] for each in told]
        for at, scenario in enumerate(scenarios)
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return told_of(tmp_path_factory.mktemp("parts"), *SCENARIOS)


def test_on_parts_the_same_is_refused_and_applied_as_on_a_whole_copy(pairs):
    first, second = pairs["on_parts", "all"]

    whole, _ = pairs["on_wholes", "all"]

    assert ["applied", "applied"] == first["verdicts"] == second["verdicts"]
    refused = [["harm"], ["raised"], ["sharded"], ["nonfinite"]]
    assert [*refused, [], []] == first["found"] == whole["found"]
    assert first["reasons"] == whole["reasons"]
    assert first["weights"] == second["weights"] == whole["weights"]


def test_what_one_rank_finds_in_its_part_is_refused_on_all(pairs):
    first, second = pairs["on_parts", "all"]

    assert first["found"] == second["found"] and first["said"] == second["said"]
    assert "parameter 2 of shape (4,) holds NaN or infinity" in first["said"][-1]


def test_dry_runs_on_parts_leave_the_training_as_it_was(pairs):
    for tried, untried in zip(
        pairs["refused_on_parts",], pairs["undecided",], strict=True
    ):
        assert ["kept", "kept"] == tried["verdicts"]
        for name in ("weights", "momentum", "random"):
            assert tried[name] and untried[name] == tried[name]


def test_what_cannot_be_tried_on_parts_fails_with_both_reasons(pairs):
    first, second = pairs["with_a_closure",]

    assert ["failed", "failed"] == first["verdicts"] == second["verdicts"]
    assert first["reasons"] == second["reasons"]
    assert WHY in first["reasons"][0]
    assert "rank 0 could not copy its part: ValueError: its loop" in first["reasons"][0]


@pytest.mark.parametrize("name", ["muon", "prodigy", "adamw"])
def test_rules_are_found_by_parts_of_large_weights_without_values(name):
    whole = torch.empty(50_000, 3_000, device="meta")
    wholes = [{"params": [whole, torch.empty(3_000, device="meta")]}]
    parts = [torch.Size([12_500, 3_000]), torch.Size([750])]

    found = found_by_parts(entry(name).source, wholes, parts, Limits())

    assert (found is None) == (name == "adamw")


@pytest.mark.parametrize("name", ["lamb", "adamw"])
def test_rules_are_found_by_parts_of_many_weights_that_are_alike(name):
    drawn = torch.Generator().manual_seed(0)
    wholes = [{"params": [torch.randn(1024, 1024, generator=drawn)]}]
    before = wholes[0]["params"][0].clone()

    found = found_by_parts(
        entry(name).source, wholes, [torch.Size([512, 1024])], Limits()
    )

    assert (found is None) == (name == "adamw")
    assert torch.equal(before, wholes[0]["params"][0])


@pytest.mark.wall
def test_a_rank_that_is_killed_in_a_dry_run_on_parts_ends_it_in_words(tmp_path):
    ran = begun(tmp_path, [["killed_on_parts"]], 2)

    first, second = ended(ran, dead=[1])

    assert [] == second
    assert first[0]["error"].startswith("RanksLost: rank 0 of 2 hears no more")


@pytest.mark.slow
def test_an_objective_that_raises_on_one_rank_leaves_none_waiting(tmp_path):
    scenarios = ["failing", "value"], ["failing", "memory"], ["failing", "key"]

    told = told_of(tmp_path, *scenarios)

    first, second = told["failing", "value"]
    assert ["applied", "applied"] == first["verdicts"] == second["verdicts"]
    assert [["objective"], [], []] == first["found"] == second["found"]
    assert "on rank 1: after 1 steps the objective raised ValueError" in first["said"]
    assert first["weights"] == second["weights"]
    first, second = told["failing", "memory"]
    assert ["failed", "applied"] == first["verdicts"] == second["verdicts"]
    assert f"{WHY}rank 1 could not try on its part: MemoryError" in first["reasons"][0]
    assert first["weights"] == second["weights"]
    first, second = told["failing", "key"]
    assert "KeyError: 'it cannot be'" == second["error"]
    assert "RanksLost: rank 1 has failed in a dry run (KeyError" in first["error"]


@pytest.mark.slow
def test_each_rank_validates_as_often_as_the_first(tmp_path):
    told = told_of(tmp_path, ["validated_on_parts"])

    first, second = told["validated_on_parts",]
    assert ["applied", "applied"] == first["verdicts"] == second["verdicts"]
    assert 3 == len(first["seen"]) == len(second["seen"])  # once at `attach`


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["inline", "isolated"])
def test_parts_that_two_ranks_hold_each_are_tried_alike(tmp_path, execution):
    scenario = ["on_parts", "good", execution, True]

    told = told_of(tmp_path, scenario, count=4)[tuple(scenario)]

    for each in told:
        assert ["applied", "applied"] == each["verdicts"]
        assert told[0]["weights"] == each["weights"]

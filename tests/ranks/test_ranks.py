"""Several processes train one model, over gloo, and decide as one."""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import distributed as dist

from dux_agent import testing
from dux_agent.errors import BadArgument, RanksLost
from dux_agent.refusals import check_ranks
from dux_agent.training.process_ranks import ProcessRanks
from tests import models
from tests.rule_with_sensors import SENSORS

SECONDS = 600  # for the whole of it; on a quiet machine it takes ten


def begun(folder, scenarios, count):
    """Processes, one a rank, and the files that they tell in."""
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(each for each in sys.path if each),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    ran = []
    for rank in range(count):
        out = folder / f"told-{rank}"
        command = [sys.executable, "-W", "ignore", "-m", "tests.ranks.trainings"]
        given = [str(rank), str(count), str(folder / "store"), str(out)]
        process = subprocess.Popen(
            [*command, *given, json.dumps(scenarios)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        ran.append((process, out))
    return ran


def ended(ran, *, dead=()):
    """What each rank told of each scenario."""
    told = []
    for rank, (process, out) in enumerate(ran):
        try:
            _, errors = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        assert rank in dead or 0 == process.returncode, errors
        lines = out.read_text().splitlines() if out.exists() else []
        told.append([json.loads(line) for line in lines])
    return told


def together(folder, *scenarios, count=2):
    return ended(begun(folder, scenarios, count))


# What stands against recording on one rank alone, and where the rule of step 10 has run
# on both by step 20.
DIFFERENT = {
    "fallen": {"recorded", "isolated"},
    "unrecorded": {"isolated"},
    "uncompiled": {"recorded"},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Of each scenario what every rank told; one start of the processes for all."""
    folder = tmp_path_factory.mktemp("ranks")
    names = (
        *("replies", "isolated", "spike", "unbuilt", "fault", "saved", "apart"),
        *DIFFERENT,
        "sensed",
        "mistaken",  # it ends the processes
    )
    told = together(folder, *[[name] for name in names])
    return dict(zip(names, zip(*told, strict=True), strict=True))


def test_other_replies_on_each_rank_leave_no_rank_with_other_weights(pairs):
    first, second = pairs["replies"]

    assert first["weights"] == second["weights"]
    assert ["applied"] * 5 == first["verdicts"][-1][1:] == second["verdicts"][-1][1:]
    assert first["verdicts"] == second["verdicts"]
    assert first["live"] == second["live"] is not None
    assert first["recent"] == second["recent"]


def test_the_first_rank_alone_asks(pairs):
    first, second = pairs["replies"]

    assert (5, 0) == (first["asked"], second["asked"])


def test_each_rank_tells_a_rule_the_same_of_the_run(pairs):
    first, second = pairs["sensed"]

    assert first["weights"] == second["weights"]
    assert first["seen"] == second["seen"]
    assert all(any(row[name] for row in first["seen"]) for name in SENSORS)


def test_a_spike_of_one_rank_rolls_all_of_them_back_at_the_same_step(pairs):
    first, second = pairs["spike"]

    assert first["weights"] == second["weights"]
    assert [15, "rolled_back"] in first["verdicts"]
    assert first["verdicts"] == second["verdicts"]
    assert first["reasons"] == second["reasons"]


def test_a_rule_that_one_rank_cannot_build_is_live_on_none(pairs):
    first, second = pairs["unbuilt"]

    assert first["weights"] == second["weights"]
    assert [10, "rolled_back"] in first["verdicts"]
    assert first["live"] is second["live"] is None
    for each in (first, second):
        assert "rank 1: " in each["reasons"][0]
        assert "out of memory" in each["reasons"][0]


def test_a_rule_that_fails_in_a_step_of_one_rank_is_taken_out_of_all(pairs):
    first, second = pairs["fault"]

    assert first["weights"] == second["weights"]
    assert [14, "rolled_back"] in first["verdicts"]
    assert first["verdicts"] == second["verdicts"]
    assert "rank 1: " in first["reasons"][0]


def test_what_one_rank_rolls_back_between_steps_all_do_before_the_next(pairs):
    first, second = pairs["saved"]

    assert first["weights"] == second["weights"]
    assert first["live"] == second["live"]
    assert (
        "rolled_back" in first["verdicts"][-1]
        and "rolled_back" in second["verdicts"][-1]
    )


def test_what_a_late_device_tells_one_rank_takes_the_rule_out_of_all(tmp_path):
    # In mid-run all hear of it in the step after; before a decision all catch up.
    told = together(tmp_path, ["late", 14], ["late", 19])

    for at in (0, 1):
        first, second = (each[at] for each in told)
        assert ["rolled_back", "applied"] == first["verdicts"][-1][1:]
        assert first["verdicts"] == second["verdicts"]
        assert first["weights"] == second["weights"]
    assert (
        "rank 1: a parameter was not finite after 5 steps" in told[0][0]["reasons"][0]
    )
    assert "another rank" in told[0][1]["reasons"][0]


SAVERS = (), (0,), (0, 1)


@pytest.fixture(scope="module")
def savers(tmp_path_factory):
    """What came of trainings of which some ranks save, and of those that go on."""
    folder = tmp_path_factory.mktemp("saved")
    scenarios = {}
    for asks in (True, False):
        for who in SAVERS:
            to = folder / f"{asks}-{len(who)}"
            to.mkdir()
            scenarios["saving", asks, who] = ["saving", asks, str(to), *who]
            if asks and who:
                for step in (14, 17):
                    again = ["resumed", str(to), step, *who]
                    scenarios["resumed", step, who] = again
    told = together(folder, *scenarios.values())
    return dict(zip(scenarios, zip(*told, strict=True), strict=True))


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("who", SAVERS[1:])
def test_ranks_that_save_train_on_as_if_they_had_not(savers, who, asks):
    told, unsaved = savers["saving", asks, who], savers["saving", asks, ()]

    for each, other in zip(told, unsaved, strict=True):
        assert other["weights"] == each["weights"]
        assert repr(other["recent"]) == repr(each["recent"])
        assert other["verdicts"] == each["verdicts"]
        assert other["reasons"] == each["reasons"]
    assert told[0]["weights"] == told[1]["weights"]


@pytest.mark.parametrize("who", SAVERS[1:])
def test_losses_that_are_on_their_way_are_saved_so(savers, who):
    told, unbroken = savers["resumed", 17, who], savers["saving", True, who]

    for each, other in zip(told, unbroken, strict=True):
        assert other["weights"] == each["weights"]
        assert other["verdicts"][-1] == each["verdicts"][-1]
        assert len(other["recent"]) == len(each["recent"])
        same = repr(other["recent"]) == repr(each["recent"])
        assert (len(who) == 2) is same  # with one file for all, not their means


@pytest.mark.parametrize("who", SAVERS[1:])
def test_weights_that_were_spoilt_as_ranks_saved_are_put_back_after_a_load(savers, who):
    first, second = savers["resumed", 14, who]

    assert first["weights"] == second["weights"]
    assert [16, "rolled_back"] in first["verdicts"]
    assert all(math.isfinite(each) for row in first["weights"] for each in row)


def test_weights_that_are_apart_are_told_and_nothing_is_decided(pairs):
    for each in pairs["apart"]:
        assert [10, "kept"] in each["verdicts"]
        assert "the weights of rank 1 are not those of rank 0" in each["reasons"][0]


def test_nobody_is_asked_where_the_weights_of_a_rank_are_not_finite(tmp_path):
    told = together(tmp_path, ["spoilt", 1], ["spoilt", 0, 1])

    for at, rank in ((0, 1), (1, 0)):
        first, second = (each[at] for each in told)
        assert (0, 0) == (first["asked"], second["asked"])
        assert [10, "kept"] in first["verdicts"]
        assert first["reasons"] == second["reasons"]
        said = f"on rank {rank} the weights are not finite"
        assert first["reasons"][0].startswith(said)


def test_a_parameter_that_no_loss_comes_from_and_isolated_rules(pairs):
    first, second = pairs["isolated"]

    assert first["weights"] == second["weights"]
    assert first["verdicts"] == second["verdicts"]
    assert "applied" in first["verdicts"][-1]


@pytest.mark.parametrize("why", DIFFERENT)
def test_ranks_of_which_one_cannot_run_a_rule_as_the_others_do_run_it_alike(pairs, why):
    first, second = pairs[why]

    assert first["weights"] == second["weights"]
    assert first["ran"] == second["ran"]
    assert DIFFERENT[why] == set(first["ran"][10:20])
    assert first["verdicts"] == second["verdicts"]
    assert ["applied"] * 2 == first["verdicts"][-1][1:3]


@pytest.mark.wall
@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_is_killed_ends_in_words_on_all_others(tmp_path, count):
    ran = begun(tmp_path, [["killed"]], count)

    told = ended(ran, dead=[1])

    assert [] == told.pop(1)
    assert all(each[0]["error"] for each in told)


@pytest.mark.wall
def test_a_rank_that_is_killed_in_a_decision_ends_it(tmp_path):
    never = str(tmp_path / "never")
    ran = begun(tmp_path, [["killed_while_deciding", never]], 2)

    first, second = ended(ran, dead=[1])

    assert [] == second
    assert first[0]["error"].startswith("RanksLost: rank 0 of 2 hears no more")


@pytest.mark.wall
@pytest.mark.parametrize("count", [2, 4])
def test_a_rank_that_is_killed_once_all_have_built_a_rule_ends_all_in_words(
    tmp_path, count
):
    ran = begun(tmp_path, [["ended_before_swap", "killed"]], count)

    told = ended(ran, dead=[1])

    assert [] == told.pop(1)
    assert all(each[0]["error"].startswith("RanksLost: ") for each in told)


def test_what_ends_the_swap_of_one_rank_is_told_on_all(tmp_path):
    first, second = together(tmp_path, ["ended_before_swap", "no memory"])

    why = "MemoryError: no room for another snapshot"
    assert why == second[0]["error"]
    assert first[0]["error"].startswith("RanksLost: rank 1 has failed in a decision")
    assert why in first[0]["error"]


@pytest.mark.parametrize("count", [2, 4])
def test_nobody_waits_for_a_rank_whose_loop_has_ended_and_whose_process_has_not(
    tmp_path, count
):
    told = together(tmp_path, ["left", str(tmp_path / "heard")], count=count)

    assert "the agent is closed" in told.pop(1)[0]["error"]
    for rank in told:
        assert rank[0]["error"].startswith("RanksLost: ")
        assert "Timed out" not in rank[0]["error"]


class Unsendable:
    def __reduce__(self):
        raise KeyError("nobody may have it")


def test_a_rank_whose_word_could_not_be_sent_says_nothing_more():
    def tell(rank):
        with pytest.raises(KeyError if rank.rank == 1 else RanksLost):
            rank.gather(Unsendable() if rank.rank == 1 else "plain data")
        with pytest.raises(RanksLost, match="hears no more of the others"):
            rank.gather(0.0)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(tell, TestProcessRanks().make()))


def test_a_loop_in_which_ranks_step_unevenly_ends_in_words_at_once(tmp_path):
    told = together(tmp_path, ["uneven"])

    for (each,) in told:
        assert each["error"].startswith("BadArgument: the loop is inside model.join()")


def test_a_mistake_of_one_rank_is_told_on_all(pairs):
    first, second = pairs["mistaken"]

    assert "KeyError: 'the validation set is gone'" == first["error"]
    assert second["error"].startswith("RanksLost: rank 0 has failed in a decision")
    assert "the validation set is gone" in second["error"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_a_decision_may_take_longer_than_any_message_waits(tmp_path, count):
    until = tmp_path / "answered"
    ran = begun(tmp_path, [["slow", str(until)]], count)
    try:
        ran[0][0].wait(60)
    except subprocess.TimeoutExpired:
        until.touch()

    told = ended(ran)

    assert 1 == len({json.dumps(each[0]["weights"]) for each in told})
    assert all("applied" in each[0]["verdicts"][-1] for each in told)


@pytest.mark.slow
def test_four_ranks_decide_as_one(tmp_path):
    scenarios = ["replies"], ["spike"], ["unbuilt"], ["fault"]

    told = together(tmp_path, *scenarios, count=4)

    for scenario in range(len(scenarios)):
        assert 1 == len({json.dumps(each[scenario]["weights"]) for each in told})
        assert 1 == len({json.dumps(each[scenario]["verdicts"]) for each in told})


class TestProcessRanks(testing.RanksTestCase):
    """Groups of gloo in threads of one process, each with a connection of its own."""

    def make(self):
        store, count = dist.HashStore(), 3

        def group(rank):
            made = dist.ProcessGroupGloo(store, rank, count)
            return ProcessRanks(made)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(group, range(count)))


@pytest.mark.parametrize("said", [0.5, "plain data"])
def test_what_ranks_say_is_said_on_the_cpu_whatever_the_default_device(said):
    def tell(rank):
        with torch.device("meta"):
            return rank.gather(said)

    with ThreadPoolExecutor(3) as pool:
        heard = list(pool.map(tell, TestProcessRanks().make()))

    assert [[said] * 3] * 3 == heard


@pytest.mark.parametrize("name", ["background", "keep_best"])
def test_what_ranks_cannot_do_yet_is_refused(name):
    chosen = {"background": False, "keep_best": False, name: True}

    with pytest.raises(BadArgument, match=f"{name} is True and 2 ranks"):
        check_ranks(2, models.mlp(), **chosen)
    check_ranks(1, models.mlp(), **chosen)


class FSDPModule:
    """As `fully_shard` mixes it into the class of a unit."""


class Sharded(FSDPModule, torch.nn.Linear):
    pass


@pytest.mark.parametrize("name", ["background", "keep_best"])
def test_what_a_sharded_model_of_one_rank_cannot_do_is_refused(name):
    chosen = {"background": False, "keep_best": False, name: True}

    with pytest.raises(BadArgument, match=f"{name} is True and the model is sharded"):
        check_ranks(1, torch.nn.Sequential(Sharded(2, 1)), **chosen)

import html
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.benchmarks.evolve import cheap
from dux_agent.cli import app
from dux_agent.engines.processes import processes
from dux_agent.errors import BadArgument, DuxError
from dux_agent.evolving.evolve import evolve, resume
from dux_agent.evolving.plan import PRICES, EvolvePlan
from dux_agent.evolving.reading import (
    Row,
    SearchTold,
    change,
    over_seeds,
    read_search,
)
from dux_agent.exporting.winner import export_winner
from dux_agent.report.page import write_report
from dux_agent.run_folder.trace import read
from dux_graphs.evolution.racing import difference
from dux_graphs.evolution.simplifying import ablated
from tests.evolving import tiny_tasks

_FILE = tiny_tasks.__file__
_NEVER_BUILT = dict(task=f"{_FILE}:never_built", seed=0, share=1.0, split="val")


def _plan(**options):
    return EvolvePlan(
        **{
            "tasks": (f"{_FILE}:chosen_by",),
            "validation": (f"{_FILE}:validated_on",),
            "report": (f"{_FILE}:reported_on",),
            "start": ("sgd", "lion"),
            "budget": 6,
            "baselines": ("adamw",),
            "finalists": 2,
            "validation_seeds": 1,
            "report_seeds": 2,
        }
        | options
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a search that nobody disturbed."""
    return evolve(_plan(), tmp_path_factory.mktemp("searches") / "whole")


def _found(folder):
    """Everything that a search found out but the times that it took."""
    found = []
    for event in read(folder):
        if event.kind != "trial":
            continue
        answer = dict(event.data["report"]["answer"])
        answer.pop("seconds", None)
        config, told = event.data["config"]["source"], event.data["report"]
        values = told.get("values")
        found.append((told["arm"], config, told["stage"], answer, values))
    return sorted(found, key=repr)


def test_a_search_and_its_baseline_are_reported_on_tasks_that_selected_nobody(whole):
    told = read_search(whole)

    reported = told.reported()

    assert {"search", "adamw"} == reported.keys()
    assert all(2 == len(each.seeds) for each in reported.values())
    assert "adamw" in told.verdict()


def test_each_baseline_is_told_with_an_interval_and_beside_the_search(whole):
    told = read_search(whole)
    found = told.reported()

    page = html.unescape(write_report([whole]).read_text())

    ours, theirs = found["search"], found["adamw"]
    assert "" == told.beside(ours)
    mean, half = difference(ours.seeds, theirs.seeds)
    assert change(mean, half) == told.beside(theirs)
    for told_of in (told.beside(theirs), *map(over_seeds, (ours.seeds, theirs.seeds))):
        assert "to" in told_of and told_of in page


def _reported(arm, seeds, validation):
    values = {"report: r": seeds, "validation": [validation]}
    row = Row(arm, 1, arm, "first", (), 0, "", values=values)
    row.reported = 1
    return row


def test_whoever_beats_only_the_best_on_the_validation_does_not_beat_the_baselines():
    rows = (
        _reported("search", [-1.0, -1.1], -0.1),
        _reported("muon", [0.0, -0.1], -0.9),
        _reported("zoo", [-1.2, -0.9], -0.5),
    )
    plan = _plan(validation=("v",), report=("r",))

    told = SearchTold(Path(), plan, rows)
    alone = SearchTold(Path(), plan, rows[:2])

    assert "None beats the best tuned baseline, zoo, by more" in told.verdict()
    assert "Beats the best tuned baseline, muon: -63.2 %" in alone.verdict()


def test_the_validation_is_told_by_its_seeds(tmp_path):
    plan = _plan(validation_seeds=3, validation=(*_plan().validation, "logistic"))

    told = read_search(evolve(plan, tmp_path / "run", engine=cheap))

    for each in told.reported().values():
        twins = [
            r for r in told.rows if (r.arm, r.number) == (each.row.arm, each.row.number)
        ]
        [values] = [r.values["validation"] for r in twins if "validation" in r.values]
        assert 6 == len(values)
        assert (
            tuple((a + b) / 2 for a, b in zip(values[::2], values[1::2], strict=True))
            == each.validation
        )


def test_the_report_of_a_search_shows_its_winner_and_what_was_stopped(whole):
    page = write_report([whole]).read_text()

    assert read_search(whole).verdict() in html.unescape(page)
    assert "The winner" in page
    assert "Beside its first parent" in page or "Its source" in page


def test_each_part_of_the_winner_is_taken_out_once_and_told(whole):
    told = read_search(whole)

    found = told.ablation()

    source = told.source(told.reported()["search"].row)
    assert [part for part, _ in ablated(source)] == [part for part, _ in found]
    assert found and any("of the loss" in effect for _, effect in found)
    page = html.unescape(write_report([whole]).read_text())
    assert all(part in page and effect in page for part, effect in found)


@pytest.mark.parametrize("name", [None, "Winner"])
def test_the_winner_is_exported_as_a_single_class(whole, name):
    source = read_search(whole).reported()["search"].row
    made = {}

    text = export_winner(whole, name)

    exec(compile(text, "winner", "exec"), made)
    rules = [each for each in made.values() if isinstance(each, type)]
    rules = [each for each in rules if each.__module__ == "builtins"]
    assert 1 == len(rules) and name in (None, rules[0].__name__)
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    rules[0]([weight]).step()
    assert not torch.equal(torch.ones(2), weight)
    assert source.digest in text and "dux_" not in text


@pytest.mark.parametrize("command", ["trace", "replay"])
def test_what_is_for_trainings_says_what_to_use_for_a_search(whole, command):
    said = CliRunner().invoke(app, [command, str(whole)])

    assert 2 == said.exit_code
    told = " ".join(said.stderr.split())
    assert "dux report" in told and "--resume" in told and "dux export" in told


@pytest.mark.parametrize("option", ["--schedule", "--smaller", "--program"])
def test_what_is_of_runs_alone_is_refused_of_a_search(whole, option):
    said = CliRunner().invoke(app, ["export", str(whole), option])

    assert 2 == said.exit_code
    assert "search of dux evolve" in " ".join(said.stderr.split())


def test_searches_are_not_compared_on_one_page(whole):
    with pytest.raises(BadArgument, match="searches are not compared"):
        write_report([whole, whole])


@pytest.mark.wall
def test_two_workers_find_what_one_finds(whole, tmp_path):
    evolve(_plan(workers=2), tmp_path / "two")

    assert _found(whole) == _found(tmp_path / "two")


def test_a_search_that_is_over_is_not_done_again_when_it_is_resumed(whole):
    before = (whole / "trace.jsonl").read_bytes()

    resume(whole)

    assert before == (whole / "trace.jsonl").read_bytes()


@pytest.mark.parametrize(
    "options", [{"tasks": ("nosuch",)}, {"model": "nobody:x"}], ids=str
)
def test_what_is_not_there_is_refused_before_a_folder_is_made(options, tmp_path):
    said = []

    with pytest.raises(DuxError):
        evolve(_plan(**options), tmp_path / "run", said.append)

    assert [] == said and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"report": (f"{_FILE}:chosen_by",)}, "among tasks and report"),
        ({"validation": ("digits@adam",), "report": ("digits",)}, "among validation"),
        ({"tasks": ()}, "a task at least"),
        ({"budget": 0}, "budget is 0"),
        ({"prices": {"beauty": 1.0}}, ", ".join(PRICES)),
        ({"start": ("adamww",)}, "start is 'adamww'"),
        ({"start": ()}, "an optimizer at least"),
        ({"execution": "elsewhere"}, "isolated, inline"),
        ({"trial_seconds": 0}, "seconds above 0"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused_in_words(options, words):
    with pytest.raises(BadArgument, match=words):
        _plan(**options)


def test_an_individual_that_hangs_costs_its_limit_and_the_search_goes_on():
    nothing = {
        "do": "dux_agent.evolving.training:train",
        "source": "",
        "trainings": [],
        "execution": "inline",
    }
    hangs = {**nothing, "trainings": [_NEVER_BUILT]}
    with processes(1) as workers:
        late, sound = workers.map([(hangs, 0.5), (nothing, 250.0)])

    assert "it took more than 0.5 s" == late["why"]
    assert [] == sound["losses"]

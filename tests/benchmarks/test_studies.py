"""Methods of tuning are compared beside random search, which always stands there."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.benchmarks.methods import methods_of
from dux_agent.benchmarks.scripted_model import ScriptedModel
from dux_agent.benchmarks.studies import compare
from dux_agent.benchmarks.study_measures import DEFAULTS, SEEDED, measures_of
from dux_agent.benchmarks.study_page import write_page
from dux_agent.benchmarks.study_tables import as_text, cell
from dux_agent.cli import app
from dux_agent.errors import BadArgument, DuxError
from dux_agent.tuning_tasks.measures import RANDOM
from dux_agent.tuning_tasks.toys import TOYS


def test_random_search_and_the_defaults_stand_beside_every_method():
    found = compare("svm:wine,lr:wine", ["offline"], budgets=(3, 5), pool=6)

    for told in found.measures.values():
        assert {"offline", RANDOM, "defaults", "defaults + random"} == set(
            told["validation"]
        )
        assert 0.0 == told["validation"][RANDOM]["mean_change"][0]
    five = found.errors["5"]
    assert all(
        five["offline"][task][0][0] <= found.errors["3"]["offline"][task][0][0]
        for task in ("svm:wine", "lr:wine")
    )
    assert "offline rule" in as_text(found)
    assert "6 at 3, 6 at 5 evaluations" in as_text(found)


def test_programs_stand_beside_random_perceptrons():
    found = compare("code:diabetes", ["offline"], budgets=(2,), pool=3)

    told = found.measures["2"]
    assert {"offline", RANDOM, DEFAULTS, SEEDED} == set(told["validation"])
    assert {"validation", "test"} == set(told)
    (pair,) = found.errors["2"]["offline"]["code:diabetes"]
    assert 0.4 < pair[0] < 0.8
    with pytest.raises(BadArgument, match="about numbers"):
        compare("code:diabetes", ["tpe"], budgets=(2,), pool=3)


def test_a_method_with_seeds_has_an_interval():
    found = compare("toy:branin", ["random"], budgets=(4,), pool=8, seeds=range(3))

    value, half = found.measures["4"]["validation"]["random"]["mean_error"]
    assert math.isfinite(value)
    assert "test" not in found.measures["4"]


def test_a_hybrid_is_named_by_who_goes_on():
    found = compare("toy:branin", ["offline>random"], budgets=(6,), pool=8)

    assert "offline rule, then random" in as_text(found)


def test_tasks_with_and_without_a_test_error_or_defaults_go_together():
    found = compare("svm:wine,toy:branin", ["offline"], budgets=(3,), pool=6)

    told = found.measures["3"]
    assert {"validation", "test"} == set(told)
    assert set(told["test"]) == set(told["validation"]) >= {SEEDED, DEFAULTS, RANDOM}
    assert 0.0 == told["validation"][SEEDED]["beats_seeded"][0]


def test_a_suite_that_random_search_solves_has_no_change_to_tell_of():
    rows = measures_of({RANDOM: {"a": [(0.0, 0.0)]}, "ours": {"a": [(0.1, 0.0)]}})

    assert math.isnan(rows["validation"]["ours"]["median_change"][0])
    assert "–" == cell(1, *rows["validation"]["ours"]["median_change"])


def test_of_an_odd_seed_count_the_interval_is_students():
    found = {RANDOM: {"a": [(1.0, 1.0)]}, "ours": {"a": [(0.1, 0.1), (0.3, 0.1)]}}

    value, half = measures_of(found)["validation"]["ours"]["mean_error"]

    assert pytest.approx(0.2) == value
    assert pytest.approx(12.71 * math.sqrt(0.02) / math.sqrt(2)) == half


def test_what_is_kept_is_neither_evaluated_nor_searched_again(tmp_path, monkeypatch):
    asked = dict(methods=["offline", "random"], budgets=(3, 4), pool=5, folder=tmp_path)
    first = compare("toy:branin", seeds=(0, 1), **asked)

    monkeypatch.setitem(TOYS, "branin", replace(TOYS["branin"], function=refused))
    again = compare("toy:branin", seeds=(0, 1), **asked)

    assert first.as_json() == again.as_json()


def refused(x1, x2):
    raise AssertionError("it was evaluated again")


def test_a_line_that_a_kill_cut_is_evaluated_again_and_spoils_no_other(tmp_path):
    first = compare("toy:ackley", ["offline"], budgets=(3,), pool=5, folder=tmp_path)
    (kept,) = (tmp_path / "evaluations").iterdir()
    kept.write_text(kept.read_text()[:-9])
    for row in (tmp_path / "rows").iterdir():
        row.write_text(row.read_text()[:-9])

    again = compare("toy:ackley", ["offline"], budgets=(3,), pool=5, folder=tmp_path)

    assert first.as_json() == again.as_json()
    last = compare("toy:ackley", ["offline"], budgets=(3,), pool=5, folder=tmp_path)
    assert first.as_json() == last.as_json()


@pytest.mark.parametrize("method", ["scripted", "scripted>random", "scripted%random"])
def test_a_model_that_was_ended_in_the_midst_is_gone_on_with(
    method, tmp_path, monkeypatch
):
    asked = dict(budgets=(12,), pool=12, folder=tmp_path)
    whole = compare("toy:branin", [method], budgets=(12,), pool=12)
    answered, paid = ScriptedModel._generate, []

    def ending(self, messages, *rest, **options):
        if len(paid) == 1:
            paid.append(None)
            raise KeyboardInterrupt
        paid.append(tuple(message.text for message in messages))
        return answered(self, messages, *rest, **options)

    monkeypatch.setattr(ScriptedModel, "_generate", ending)
    with pytest.raises(KeyboardInterrupt):
        compare("toy:branin", [method], **asked)
    after = compare("toy:branin", [method], **asked)

    assert whole.as_json() == after.as_json()
    assert len(set(paid)) == len(paid)


def test_no_row_of_a_model_stands_without_random_search_from_the_defaults(tmp_path):
    found = compare("lr:wine", ["scripted"], budgets=(3,), pool=5, folder=tmp_path)

    page = write_page(found, tmp_path).read_text()

    for text in (page, (tmp_path / "tables.md").read_text()):
        assert "scripted (no language model)" in text
        assert SEEDED in text and RANDOM in text
    assert "no figure of them is to be quoted" in page
    assert json.loads((tmp_path / "figures.json").read_text())["budgets"] == [3]


@pytest.mark.parametrize("model", ["scripted", "scripted>random", "scripted%random"])
def test_beside_a_model_stands_the_written_rule_and_the_text_says_who_it_was(model):
    found = compare("lr:wine", [model], budgets=(3,), pool=5)

    assert {model, "offline", RANDOM, DEFAULTS, SEEDED} == set(found.errors["3"])
    assert "no figure of them is to be quoted" in as_text(found)
    assert "machine" in found.versions


@pytest.mark.parametrize(
    ("names", "run"),
    [
        (["tpe", "defaults"], ["scripted", "tpe", "offline"]),
        (["lm>random", "lm"], ["scripted>random", "scripted", "offline"]),
        (["offline", "lm%random"], ["offline", "scripted%random"]),
        (["defaults"], ["scripted", "offline"]),
    ],
)
def test_the_model_that_lm_names_is_run_as_the_methods_say(names, run):
    assert run == [method.name for method in methods_of(names, "scripted")]


def test_without_a_model_that_is_named_none_can_be_run():
    assert () == methods_of(["defaults"], None)
    with pytest.raises(BadArgument, match="--lm"):
        methods_of(["lm>tpe"], None)


def test_the_page_has_the_courses_and_the_ranks_by_budget(tmp_path):
    found = compare("lr:wine", ["offline"], budgets=(3, 2), pool=5)

    page = write_page(found, tmp_path).read_text()

    assert [(1, 2, 3)] == [
        tuple(number for number, _ in found.courses["validation"]["offline"])
    ]
    for label in ("Mean validation error of the best", "Mean rank by test error"):
        assert label in page


@pytest.mark.parametrize(
    "method", ["nobody:at-all", "offline>nobody", "offline>tpe>gp", ">tpe", ""]
)
def test_a_method_that_means_nothing_is_refused_before_anything_is_evaluated(
    method, monkeypatch
):
    monkeypatch.setitem(TOYS, "branin", replace(TOYS["branin"], function=refused))

    with pytest.raises(DuxError):
        compare("toy:branin", ["offline", method], budgets=(2,), pool=3)


def test_a_folder_that_cannot_be_written_ends_in_one_line(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")

    done = CliRunner().invoke(
        app,
        ["bench", "tune", "--suite", "toys", "--budgets", "2", "--folder", str(taken)],
    )

    assert 2 == done.exit_code
    assert "--folder" in done.output


def test_a_pool_smaller_than_a_budget_is_refused():
    with pytest.raises(BadArgument, match="pool is 5"):
        compare("toy:branin", ["offline"], budgets=(10,), pool=5)


def test_the_command_prints_the_table_and_keeps_the_figures(tmp_path):
    words = ["bench", "tune", "--suite", "toys", "--budgets", "3", "--pool", "4"]
    words += ["--lm", "scripted", "--methods", "lm,offline"]

    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "figures.json")])

    assert 0 == done.exit_code, done.output
    kept = json.loads((tmp_path / "figures.json").read_text())
    assert ("toys", {"3": 4}, [0]) == (kept["suite"], kept["pools"], kept["seeds"])
    assert ["scripted", "offline"] == kept["methods"]
    assert 10 == len(kept["errors"]["3"]["offline"])


def test_budgets_that_are_no_numbers_end_in_one_line():
    done = CliRunner().invoke(app, ["bench", "tune", "--budgets", "many"])

    assert 2 == done.exit_code


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_offline_rule_keeps_its_bar_over_the_papers_tasks():
    data = Path(os.environ.get("DUX_DATA", ".")) / "hpo"
    if not data.is_dir():
        pytest.skip("DUX_DATA names no folder with hpo/")

    # A smaller pool than the usual one moves what is expected by a task or two.
    found = compare("paper32", ["offline"], budgets=(10,))

    told = found.measures["10"]
    assert told["validation"]["offline"]["beats_random"][0] >= 100 * 29 / 32
    assert told["test"]["offline"]["beats_random"][0] >= 100 * 21 / 32

"""The paper's table against what people would use instead, and what is kept of it."""

import json
import math
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from dux_agent import tasks
from dux_agent.benchmarks.table1 import dux_rows, search_rows
from dux_agent.benchmarks.table1.course import Course, Training, stepping
from dux_agent.benchmarks.table1.named_rows import (
    ABLATIONS,
    TABLE1,
    quick_rows,
    rows_of,
)
from dux_agent.benchmarks.table1.named_tasks import tasks_of
from dux_agent.benchmarks.table1.pace import Pace
from dux_agent.benchmarks.table1.plain_rows import hidden_matrices, of_zoo
from dux_agent.benchmarks.table1.row import Asked
from dux_agent.benchmarks.table1.table import Entry, Table, make_table
from dux_agent.benchmarks.table1.table_page import page_of, write_table
from dux_agent.benchmarks.table1.table_text import as_text
from dux_agent.cli import app
from dux_agent.errors import BadArgument, DuxError
from dux_agent.runs.training import train
from dux_graphs.intervals import probability
from tests.swapping import ADAM, SGD
from tests.talking import scripted

TASK = "tests.foreign_tasks:build"
TRAINED = [
    name
    for name, row in rows_of(TABLE1).items()
    if not row.asks and "offline" not in name
]


def asked(tmp_path, task=TASK, seed=0):
    return Asked(task, seed, tmp_path / "run")


@pytest.mark.parametrize("name", TRAINED)
def test_a_row_trains_epoch_by_epoch_from_the_same_weights_and_says_its_cost(
    name, tmp_path
):
    row = rows_of(TABLE1)[name]
    task = tasks.build(TASK, 0)

    first, again = (
        [find(asked(tmp_path)) for find in row.ways.values()] for _ in range(2)
    )

    for one, other in zip(first, again, strict=True):
        assert (one.train, one.val, one.test) == (other.train, other.val, other.test)
        assert task.epochs == len(one.test)
        assert row.trainings == one.trainings
        assert row.trainings * task.epochs * task.steps_per_epoch == one.gradients
        assert 0 == one.tokens


def test_the_control_and_the_rules_are_those_of_a_run(tmp_path):
    known = rows_of(TABLE1)

    run = train(TASK, control=True, execution="inline")
    control, offline = (
        known[name].ways[""](asked(tmp_path)) for name in ("control", "offline")
    )

    assert tuple(each.test for each in run.control) == control.test
    assert tuple(each.test for each in run.epochs) == offline.test
    assert offline.gradients > control.gradients
    assert not (tmp_path / "run").exists()


def test_what_the_paper_names_has_a_row_each():
    names = {
        *("control", "adamw", "onecycle", "schedule-free", "lion", "muon", "soap"),
        *("adam-oracle", "sgd-oracle", "random", "tpe", "recipe", "pbt", "offline"),
        *("offline-paper", "lm", "lm-task", "lm-paper", "lm-paper-task"),
    }

    assert names == set(rows_of(TABLE1, "ollama:none"))
    assert names - {n for n in names if n.startswith("lm")} == set(rows_of(TABLE1))


def test_an_average_of_weights_is_what_is_evaluated_and_what_is_trained_goes_on():
    task = tasks.build("logistic", 0)

    step = of_zoo("schedule_free_adamw", {}, task)
    for batch in task.train_batches(0):
        step(batch)
    trained = [p.clone() for p in task.model.parameters()]
    task.evaluate("test")
    averaged = [p.clone() for p in task.model.parameters()]
    with torch.no_grad():
        task.objective(task.model, batch)

    moved = zip(trained, averaged, task.model.parameters(), strict=True)
    assert all(not one.equal(other) and one.allclose(now) for one, other, now in moved)


def test_muon_gets_hidden_matrices_and_neither_embeddings_nor_the_head():
    transformer = tasks.build("transformer", 0).model
    digits = tasks.build("digits", 0).model

    hidden = hidden_matrices(transformer)
    names = {
        name
        for name, parameter in transformer.named_parameters()
        if any(parameter is each for each in hidden)
    }

    assert [(64, 64)] == [tuple(each.shape) for each in hidden_matrices(digits)]
    assert names
    assert not any("embed" in name or "head" in name for name in names)


def test_of_a_grid_the_best_mean_is_chosen_and_all_is_paid(tmp_path):
    found = make_table(TABLE1, ["adam-oracle"], tasks={TASK: range(2)}, folder=tmp_path)

    entry = found.entries[TASK]["adam-oracle"]
    losses = {}
    for kept in (tmp_path / "rows").glob("*adam-oracle*"):
        row = json.loads(kept.read_text())
        losses.setdefault(row["key"]["way"], []).append(row["row"]["test"][-1])
    best = min(losses, key=lambda way: fmean(losses[way]))
    assert best == entry.way
    assert fmean(losses[best]) == fmean(entry.losses)
    assert [6, 6] == [course.trainings for course in entry.courses]


def test_a_search_keeps_what_validates_best(monkeypatch, tmp_path):
    seen = []
    run = Training.run

    def remembered(self, *given):
        seen.append(run(self, *given))
        return seen[-1]

    monkeypatch.setattr(search_rows.Training, "run", remembered)

    found = rows_of(TABLE1)["random"].ways[""](asked(tmp_path))

    assert 5 == len(seen) == found.trainings
    best = min(seen, key=lambda course: course.val[-1])
    assert (best.val, best.test) == (found.val, found.test)


def diverging(task):
    return stepping(task, torch.optim.SGD(task.model.parameters(), lr=1e38))


def decomposing(task):
    step = diverging(task)

    def spoilt(batch):
        step(batch)
        return float(torch.linalg.eigh(torch.full((3, 3), math.nan))[0].sum())

    return spoilt


@pytest.mark.parametrize("begin", [diverging, decomposing])
def test_a_training_that_diverges_is_none_and_counts_as_such(begin):
    task = tasks.build(TASK, 0)

    course = Training(task, begin(task)).run()

    assert not math.isfinite(course.test[-1])
    again = Course.of_row(json.loads(json.dumps(course.as_row(), allow_nan=False)))
    assert task.epochs == len(again.test)
    assert course.gradients == again.gradients
    assert not math.isfinite(again.test[-1])


def test_what_does_not_use_the_base_is_trained_once_for_all_bases(tmp_path):
    known = rows_of(TABLE1)

    assert "logistic@sgd" == known["adamw"].trained_on("logistic@adam-slow")
    assert "logistic@adam-slow" == known["recipe"].trained_on("logistic@adam-slow")
    assert known["tpe"].trained_on("logistic@adam-slow") is None
    assert "logistic@sgd" == known["tpe"].trained_on("logistic@adam")
    assert "digits" == known["adamw"].trained_on("digits")


def test_what_is_kept_is_read_and_the_page_says_everything(tmp_path, monkeypatch):
    given = dict(tasks={TASK: range(2)}, folder=tmp_path)
    first = make_table(TABLE1, ["adamw", "recipe"], **given)
    monkeypatch.delattr("dux_agent.tasks.build")
    again = make_table(TABLE1, ["adamw", "recipe"], **given)

    assert first == again
    page = write_table(again, tmp_path).read_text()
    text = (tmp_path / "tables.md").read_text()
    assert text == as_text(again)
    for title in again.titles.values():
        assert title in page
        assert title in text
    assert "noise" in text or "better" in text or "worse" in text
    assert "<svg" in page
    assert json.loads((tmp_path / "figures.json").read_text())["suite"] == TABLE1


def test_a_page_of_a_whole_family_plots_some_and_tells_of_all():
    course = Course((2.0, 1.0), (2.0, 1.0), (2.0, 1.0), gradients=2, seconds=0.1)
    names = [f"task {at}" for at in range(30)]
    found = Table(
        suite=TABLE1,
        titles={"control": "control: the base alone", "adamw": "AdamW 1e-3"},
        seeds=dict.fromkeys(names, (0, 1)),
        entries={
            name: dict.fromkeys(("control", "adamw"), Entry("", (course, course)))
            for name in names
        },
        versions={},
    )

    page, text = page_of(found), as_text(found)

    assert 2 * 12 == page.count('<svg class="chart')
    assert [] == [name for name in names if f"## {name}\n" not in text]
    assert "seeds 0, 1 of 30 tasks" in text


@pytest.mark.slow
def test_several_workers_find_what_one_does(tmp_path):
    given = dict(tasks={"logistic": [0]})
    one = make_table(TABLE1, ["adamw"], **given)
    two = make_table(TABLE1, ["adamw"], **given, workers=2)

    for row, entry in one.entries["logistic"].items():
        assert entry.losses == two.entries["logistic"][row].losses


def test_over_recorded_replies_the_rows_repeat_to_the_last_digit(tmp_path):
    model = scripted(ADAM, SGD)
    given = dict(tasks={TASK: [1]})
    first = make_table(
        TABLE1, ["lm", "lm-paper"], **given, lm=model, folder=tmp_path / "first"
    )

    recorded = f"recorded:{tmp_path / 'first'}"
    again = make_table(
        TABLE1, ["lm", "lm-paper"], **given, lm=recorded, folder=tmp_path / "again"
    )

    for row in ("control", "lm", "lm-paper"):
        one, other = (found.entries[TASK][row].courses for found in (first, again))
        for mine, theirs in zip(one, other, strict=True):
            assert (mine.train, mine.val, mine.test) == (
                theirs.train,
                theirs.val,
                theirs.test,
            )
            assert mine.gradients == theirs.gradients
    assert first.entries[TASK]["lm"].losses != first.entries[TASK]["control"].losses


def test_a_recorded_table_without_that_run_is_told_so(tmp_path):
    (tmp_path / "runs").mkdir()

    with pytest.raises(DuxError, match="holds no run .*-lm-0"):
        make_table(TABLE1, ["lm"], tasks={TASK: [0]}, lm=f"recorded:{tmp_path}")


def test_a_run_that_died_is_gone_on_with_and_no_reply_is_asked_twice(
    tmp_path, monkeypatch
):
    model = scripted(ADAM)
    given = dict(tasks={TASK: [0]}, lm=model, folder=tmp_path)

    def dying(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(dux_rows, "read_story", dying)
        with pytest.raises(KeyboardInterrupt):
            make_table(TABLE1, ["lm"], **given)
    found = make_table(TABLE1, ["lm"], **given)

    assert 1 == found.entries[TASK]["lm"].courses[0].calls


def test_a_model_that_cannot_be_asked_leaves_no_row(tmp_path):
    model = scripted(*[PermissionError("no key")] * 9)

    with pytest.raises(DuxError, match="could not be asked"):
        make_table(TABLE1, ["lm"], tasks={TASK: [0]}, lm=model, folder=tmp_path)

    assert not list((tmp_path / "rows").glob("*-lm-*"))


def test_a_model_that_none_can_be_made_of_is_told_before_anything_is_trained(tmp_path):
    with pytest.raises(BadArgument, match="nosuch"):
        make_table(
            TABLE1, ["lm"], tasks={TASK: [0]}, lm="recorded:nosuch", folder=tmp_path
        )

    assert not list(tmp_path.iterdir())


def test_ablations_differ_from_the_default_by_their_options(tmp_path):
    found = make_table(
        ABLATIONS,
        ["offline", "offline-blind", "offline-keep-best"],
        tasks={TASK: [0]},
        folder=tmp_path,
    )

    held = found.entries[TASK]
    assert {"control", "offline", "offline-blind", "offline-keep-best"} == set(held)
    assert (
        held["offline"].courses[0].train == held["offline-keep-best"].courses[0].train
    )


@pytest.mark.parametrize("name", rows_of(ABLATIONS))
def test_every_ablation_is_a_run_with_options_that_exist(name, tmp_path):
    course = rows_of(ABLATIONS)[name].ways[""](asked(tmp_path))

    assert all(math.isfinite(loss) for loss in course.test)


@pytest.mark.parametrize("count", range(2, 14))
def test_the_probability_is_that_of_students_t_test(count):
    values = [math.sin(1.7 * at) + 0.4 for at in range(count)]

    assert stats.ttest_1samp(values, 0).pvalue == pytest.approx(probability(values))


def test_tasks_are_the_papers_and_the_family_and_sine_has_five_seeds(monkeypatch):
    monkeypatch.delenv("DUX_DATA", raising=False)

    assert {"sine": range(5), "digits": range(3)} == tasks_of(None, quick=True)
    assert 17 * 8 + 2 == len(tasks_of(None))
    monkeypatch.setenv("DUX_DATA", "somewhere")
    assert ["mnist", "sine", "imdb", "digits"] == list(tasks_of(None, quick=True))
    assert 32 == len(tasks_of("validation", seeds=2))
    with pytest.raises(BadArgument, match="no task 'nosuch'"):
        tasks_of("digits,nosuch")


def test_a_quick_table_trains_each_row_once():
    left_out = set(rows_of(TABLE1, "offline")) - set(quick_rows(TABLE1, "offline"))

    assert {"adam-oracle", "sgd-oracle", "random", "tpe", "pbt"} == left_out
    assert list(rows_of(ABLATIONS)) == quick_rows(ABLATIONS)


def test_the_command_writes_the_table_and_names_wrong_rows():
    run = CliRunner()

    done = run.invoke(
        app,
        [
            *("bench", "table1", "--tasks", TASK, "--rows", "adamw"),
            *("--seeds", "1", "--workers", "1"),
        ],
    )
    wrong = run.invoke(app, ["bench", "table1", "--rows", "adamx", "--tasks", TASK])

    assert 0 == done.exit_code, done.output
    assert "AdamW 1e-3" in done.stdout
    assert 2 == wrong.exit_code
    assert "there is no row 'adamx'" in wrong.stderr


def test_what_there_is_to_do_is_told_first_and_how_far_it_is(tmp_path):
    told = []
    given = dict(tasks={TASK: range(2)}, folder=tmp_path, say=told.append)

    make_table(TABLE1, ["adamw"], **given)
    make_table(TABLE1, ["adamw", "recipe"], **given)

    assert "4 rows to train, 0 kept from before" == told[0]
    assert "[4 of 4]" in told[4]
    assert told[5].startswith("2 rows to train, 4 kept from before, about ")
    assert "[1 of 2, about " in told[6] and "[2 of 2]" in told[7]


def test_the_rest_is_told_by_what_trainings_of_the_same_task_took():
    course = Course((1.0,), (1.0,), (1.0,), gradients=1, seconds=30.0)
    jobs = {"a 0": ("a", 1), "a 1": ("a", 1), "a tpe": ("a", 10), "b 0": ("b", 1)}

    pace = Pace.of(jobs, [("a 0", course)], workers=2)

    assert 30 * (1 + 10 + 1) / 2 == pace.seconds_left()
    assert "[1 of 3, about 3 min left]" == pace.over("b 0", course)
    assert "[2 of 3, about 10 s left]" == pace.over(
        "a tpe", replace(course, seconds=200.0, trainings=10)
    )


def test_the_papers_table_is_a_file_short_enough_for_a_readme(tmp_path):
    found = make_table(TABLE1, ["adamw"], tasks={TASK: range(2), "logistic": [0]})

    write_table(found, tmp_path)

    head, _, *rows = (tmp_path / "table1.md").read_text().splitlines()
    assert f"| row | trainings | {TASK} | logistic | ratio to the control |" == head
    assert {"| control", "| AdamW 1"} == {row[:9] for row in rows[:2]}
    assert 4 == len(rows) and "seeds 0, 1 of" in rows[-1]

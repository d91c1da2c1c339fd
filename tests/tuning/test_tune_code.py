"""Code as a hyperparameter: a model writes programs, and what comes of each is told."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dux_agent
from dux_agent import CodeTask, tune_code
from dux_agent.cli import app
from dux_agent.errors import BadArgument, DuxError
from dux_agent.run_folder import trace
from dux_agent.tuning.programs import objective_over
from dux_agent.tuning.reading import read_study
from dux_agent.tuning.tune import resume
from dux_agent.tuning_tasks.code import code_task
from dux_graphs.tuning.program_brief import ProgramBrief
from dux_prompts.tuning.general_programs import GENERAL_PROGRAMS
from dux_prompts.tuning.study_view import StudyView, TrialRow
from dux_sandbox.process.channel import Channel
from dux_sandbox.programs.contract import examine
from tests.programs.honest_programs import HONEST, fit, parts
from tests.talking import Scripted, fenced

GOLDEN = Path(__file__).parents[1] / "golden" / "tune"
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, 3))
Y = X[:, 0] + 0.1 * X[:, 1]
TASK = CodeTask(X[:30], Y[:30], X[30:45], Y[30:45], X[45:], Y[45:], description="Rows.")
GOOD = fit("", "return x_eval[:, 0]")
BETTER = fit("", "return x_eval[:, 0] + 0.1 * x_eval[:, 1]")
WORSE = fit("", "return x_eval[:, 1]")
RAISES = fit("", 'raise KeyError("mine")')
LATE = fit("", "while True: pass")


def says(*programs):
    return Scripted(
        replies=[each if "```" in each else fenced(each) for each in programs], asked=[]
    )


def dux(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("execution", ["isolated", "inline"])
def test_a_model_writes_programs_and_is_told_what_came_of_each(execution):
    model = says(WORSE, RAISES, GOOD, BETTER)

    study = tune_code(TASK, lm=model, budget=4, execution=execution, reasoning=False)

    assert [1, 2, 3, 4] == [each.number for each in study]
    assert ["lm"] * 4 == [each.by for each in study]
    assert ["done", "failed", "done", "done"] == [each.state for each in study]
    assert study.best.number == 4
    assert study.best.value == pytest.approx(0.0, abs=1e-9)
    assert "KeyError" in study.trials[1].error
    assert 0.0 == pytest.approx(study.best.report["test_error"], abs=1e-9)
    last = model.asked[-1][-1].text
    assert "return x_eval[:, 0]" in last
    assert "KeyError" in last
    assert "test_error" not in last


@pytest.mark.parametrize(
    "options",
    [
        {"history": "chat"},
        {"workers": 2},
        {"then": "random", "lm_first": 1},
        {"control": True},
        {"noise": 0.1},
        {"prompts": "paper"},
    ],
    ids=str,
)
def test_the_options_of_a_study_hold_for_code(options, tmp_path):
    study = tune_code(
        TASK, lm=says(GOOD, WORSE, BETTER), budget=3, run_dir=tmp_path / "a", **options
    )
    again = resume(tmp_path / "a", objective_over(TASK), lm=says("over"))

    assert study.complete and 3 == len(study)
    assert all(each.value is not None for each in (*study, *study.control))
    assert [e.value for e in study] == [e.value for e in again]
    assert [e.value for e in study.control] == [e.value for e in again.control]


def test_a_task_of_ones_own_is_also_a_dict():
    held = {name: getattr(TASK, name) for name in ("x_train", "y_train")}
    held |= {name: getattr(TASK, name) for name in ("x_validation", "y_validation")}

    study = tune_code(held, lm=says(GOOD), budget=1)

    assert {} == study.best.report


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("I do not know.", "[reply]"),
        (fenced("def fit_predict(:"), "[syntax]"),
        (fenced("x = 1"), "[contract]"),
        (fenced(parts(more='"epochs": -1')), "[hparams]"),
        (fenced(fit("import torch", "torch.compile(x_train)")), "[jail]"),
        (fenced(f"# the same, with words\n{WORSE}"), "[repeated]"),
        ("```python\ndef fit_predict(x_train,", "[reply]"),
    ],
)
def test_a_reply_that_cannot_be_evaluated_is_asked_for_again(reply, said):
    model = says(WORSE)
    model.replies += [reply, fenced(GOOD)]

    study = tune_code(TASK, lm=model, budget=2)

    assert ["lm", "lm"] == [each.by for each in study]
    assert 3 == len(model.asked)
    assert said in model.asked[-1][-1].text


def test_a_model_that_never_answers_is_replaced_by_a_general_program():
    study = tune_code(TASK, lm=says("no"), budget=2, max_attempts=2)

    assert ["fallback", "fallback"] == [each.by for each in study]
    assert all(each.value is not None for each in study)
    assert study.trials[0].config != study.trials[1].config


def test_a_program_beyond_its_time_or_memory_has_failed():
    hungry = fit("", "return np.ones(1 << 33)[: len(x_eval)]")

    late = tune_code(TASK, lm=says(LATE), budget=1, trial_seconds=0.5)
    much = tune_code(TASK, lm=says(hungry), budget=1, trial_bytes=1 << 29)

    assert "it used more than 0.50 s" in late.trials[0].error
    assert "more memory than it may use" in much.trials[0].error


def test_the_offline_rule_tries_programs_that_name_no_task():
    words = re.compile(r"taxi|trip|diabet|wine|digit|car\b|vehicle|longitude", re.I)

    study = tune_code("diabetes", lm="offline", budget=3)

    assert GENERAL_PROGRAMS[:3] == tuple(e.config["source"] for e in study)
    assert ["offline rule"] * 3 == [each.by for each in study]
    assert all(each.value is not None for each in study), [e.error for e in study]
    assert not any(words.search(each) for each in GENERAL_PROGRAMS)


@pytest.mark.parametrize("source", GENERAL_PROGRAMS)
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_a_general_program_trains_whatever_the_targets_are(source, kind):
    y = Y if kind == "numbers" else (Y > 0).astype(int)
    task = CodeTask(X[:30], y[:30], X[30:], y[30:])

    outcome = objective_over(task)({"source": source})

    assert () == examine(source).findings
    assert outcome["value"] < 1.2


def test_the_list_over_perceptrons_are_drawn_and_none_twice():
    fails = CodeTask(X[:2], Y[:2], X[2:4], Y[2:4])
    budget = len(GENERAL_PROGRAMS) + 2

    study = tune_code(fails, lm="offline", budget=budget, trial_seconds=30.0)

    assert budget == len({each.config["source"] for each in study})
    assert {"offline rule"} == {each.by for each in study}


def test_an_optimizer_of_its_own_is_checked_and_said_so(tmp_path):
    source = HONEST["with an optimizer of its own"]

    study = tune_code(TASK, lm=says(source), budget=1, run_dir=tmp_path / "run")
    listed = dux("trace", tmp_path / "run")
    dux("report", tmp_path / "run")

    assert ["Lion: passes dux check"] == study.best.report["optimizers"]
    assert "Lion: passes dux check" in " ".join(listed.stdout.split())
    page = (tmp_path / "run" / "report.html").read_text()
    assert "optimizer Lion: passes dux check" in page


def test_no_target_of_a_row_that_is_predicted_leaves_this_process(monkeypatch):
    sent = []
    send = Channel.send

    def noted(channel, message, blobs=None, seconds=None):
        sent.extend([json.dumps(message).encode(), *map(bytes, blobs or ())])
        send(channel, message, blobs, seconds)

    monkeypatch.setattr(Channel, "send", noted)
    task = replace(
        TASK, y_validation=TASK.y_validation + 7391.5, y_test=TASK.y_test - 7391.5
    )

    study = tune_code(task, lm=says(GOOD), budget=1)

    everything = b"".join(sent)
    assert np.asarray(task.y_train, "<f4").tobytes() in everything
    for targets in (task.y_validation, task.y_test):
        for dtype in ("<f4", "<f8"):
            for each in np.asarray(targets, dtype):
                assert each.tobytes() not in everything
    assert study.best.value > 1e6


def test_nothing_tells_rows_of_validation_from_rows_of_test():
    given, own = TASK.rows.x_eval, np.concatenate([X[30:45], X[45:]])

    assert sorted(map(tuple, own.astype(np.float32))) == sorted(map(tuple, given))
    assert not np.allclose(own, given)
    exact = TASK.score(given[:, 0].astype(float) + 0.1 * given[:, 1])
    assert exact["value"] < 1e-9 and exact["report"]["test_error"] < 1e-9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of code on a task of ours, with a finding and a failure in it."""
    path = tmp_path_factory.mktemp("code") / "run"
    model = says(
        "First <b>the mean</b>.\n" + fenced(fit("", "return x_eval[:, 2]")),
        "nothing",
        "Now a fault.\n" + fenced(RAISES),
        fenced("# Better still\n" + fit("", "return 0.5 * x_eval[:, 2]")),
    )
    tune_code("diabetes", lm=model, budget=3, run_dir=path)
    return path


def test_every_event_of_a_study_of_code_is_as_the_schema_says(folder):
    import jsonschema

    validator = jsonschema.Draft202012Validator(trace.schema())
    lines = (folder / "trace.jsonl").read_text().splitlines()

    found = [
        f.message for line in lines for f in validator.iter_errors(json.loads(line))
    ]

    assert [] == found


def test_sources_and_the_best_program_are_kept(folder):
    told = read_study(folder)
    sources = {each.read_text() for each in (folder / "sources").glob("*.py")}
    exported = dux("export", folder).stdout

    assert sources == {each.config["source"] for each in told.over}
    assert (folder / "best.py").read_text() == exported
    assert told.best.config["source"] in exported
    assert "# code:diabetes: value" in exported
    compile(exported, "best.py", "exec")


def test_trace_and_report_show_programs_reasons_and_findings(folder):
    listed, one = dux("trace", folder), dux("trace", folder, "--decision", 3)
    done = dux("report", folder)

    assert "Better still" in listed.stdout
    assert "0.5 * x_eval[:, 2]" in one.stdout
    assert 0 == done.exit_code, done.output
    page = (folder / "report.html").read_text()
    assert "First &lt;b&gt;the mean&lt;/b&gt;." in page
    assert "0.5 * x_eval[:, 2]" in page
    assert "the program defines no build" in page
    assert "KeyError" in page
    assert "<b>the mean" not in page


@pytest.mark.parametrize("what", ["0.5 * x_eval", "0.5 * \x1b[2Jx_eval"])
def test_a_program_that_no_reply_holds_is_said_to_be_strange(what, folder, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    lines = (again / "trace.jsonl").read_text().splitlines(keepends=True)
    changed = json.dumps(what.replace("0.5", "0.7"))[1:-1]
    lines[-1] = lines[-1].replace("0.5 * x_eval", changed)
    (again / "trace.jsonl").write_text("".join(lines))

    exported = dux("export", again).stdout

    assert "0.7 * " in exported
    assert "no recorded reply holds this program" in exported
    assert "\x1b" not in exported
    assert "no recorded reply" not in dux("export", folder).stdout


@pytest.mark.parametrize(
    "wrong",
    [
        {"config": {}},
        {"config": {"source": 7}},
        {"config": {"source": ["a", "b"]}},
        {"config": {"source": "one line"}},
        {"report": {"optimizers": 5, "test_error": "\x1b[2J"}},
        {"report": {"optimizers": [{"a": "\x1b[2J"}, 5]}},
        {"report": ["\x1b[2J"]},
    ],
    ids=str,
)
def test_a_folder_of_somebody_elses_is_shown_and_breaks_nothing(
    wrong, folder, tmp_path
):
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    lines = (again / "trace.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    last["data"] |= wrong
    lines[-1] = json.dumps(last)
    (again / "trace.jsonl").write_text("\n".join(lines) + "\n")

    done = [
        dux("trace", again),
        dux("trace", again, "--decision", 3),
        dux("export", again),
        dux("report", again),
    ]

    for each in done:
        assert each.exit_code in (0, 2), each.exception
        assert "\x1b" not in each.output


def test_a_replay_runs_every_program_again(folder, tmp_path):
    same = dux("replay", folder)
    again = tmp_path / "again"
    again.mkdir()
    (again / "run.json").write_text((folder / "run.json").read_text())
    text = (folder / "trace.jsonl").read_text()
    (again / "trace.jsonl").write_text(text.replace("return 0.5", "return 0.6"))
    (again / "sources").mkdir()
    other = dux("replay", again)

    assert (0, True) == (same.exit_code, "the same" in same.stdout), same.output
    assert 1 == other.exit_code


def test_a_study_of_code_that_is_cut_anywhere_goes_on_and_pays_nothing_twice(tmp_path):
    whole = tune_code(
        TASK, lm=says(WORSE, "no", GOOD, BETTER), budget=3, run_dir=tmp_path / "run"
    )
    lines = (tmp_path / "run" / "trace.jsonl").read_text().splitlines(keepends=True)

    for cut in (len(lines) // 3, len(lines) - 1):
        left = "".join(lines[:cut])
        (tmp_path / "run" / "trace.jsonl").write_text(left)
        paid = left.count('"kind":"reply"')
        model = says(*[WORSE, "no", GOOD, BETTER][paid:], "over")

        study = resume(tmp_path / "run", objective_over(TASK), lm=model)

        assert [t.config for t in whole] == [t.config for t in study]
        assert [t.value for t in whole] == [t.value for t in study]
        assert 4 - paid == len(model.asked)


def test_a_folder_has_no_program_run_outside_of_the_jail(folder, monkeypatch):
    ran = []
    monkeypatch.setattr(
        "dux_agent.tuning.programs.predictions", lambda *given: ran.append(given)
    )

    dux("replay", folder)

    assert [] == ran


@pytest.mark.parametrize("words", [["code:diabetes"], ["diabetes", "--code"]])
def test_code_is_tuned_on_the_command_line_and_gone_on_with(
    words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    first = dux("tune", *words, "--budget", 2, "--run-dir", "run")
    again = dux("tune", "--resume", "run")

    assert 0 == first.exit_code, first.output
    assert "test error" in first.stdout
    assert 0 == again.exit_code, again.output
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "code:diabetes" == facts["task"]
    assert 60.0 == facts["arguments"]["trial_seconds"]


MINE = """
import numpy as np
from dux_agent import CodeTask

x = np.random.default_rng(0).normal(size=(40, 2))


def build():
    return CodeTask(x[:20], x[:20, 0], x[20:], x[20:, 0], description="Mine.")
"""


def test_rows_of_ones_own_are_named_by_the_function_that_gives_them(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_rows.py").write_text(MINE)

    done = dux("tune", "own_rows.py:build", "--code", "--budget", 1, "--run-dir", "run")
    alone = dux("tune", "--resume", "run")
    named = dux("tune", "own_rows.py:build", "--resume", "run")

    assert 0 == done.exit_code, done.output
    assert (2, True) == (alone.exit_code, "say it again" in alone.output)
    assert 0 == named.exit_code, named.output


@pytest.mark.parametrize(
    "words",
    [
        ["nothing", "--code"],
        ["code:nothing"],
        ["svm:digits", "--code"],
        ["code:diabetes", "--then", "tpe"],
        ["code:diabetes", "--space", "free"],
        ["code:diabetes", "--then", "random", "--lm-share", 0.5],
        ["code:diabetes", "--execution", "anywhere"],
        ["code:diabetes", "--param", "x=real(0, 1)"],
        ["code:diabetes", "--defaults"],
        ["os.path:join", "--code"],
        ["os:getpid", "--code"],
    ],
)
def test_what_cannot_be_meant_of_code_ends_in_one_line(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = dux("tune", *words)

    assert 2 == done.exit_code, done.output
    assert 1 == len(done.stderr.strip().splitlines())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"y_train": Y[:29]},
        {"x_validation": X[30:45, :2]},
        {"x_train": Y[:30]},
        {"x_test": X[45:], "y_test": None},
        {"y_train": Y[:30, None]},
        {"y_train": ["a"] * 30},
        {"x_train": [["a"] * 3] * 30},
        {"y_train": np.arange(30) - 1, "y_validation": np.zeros(15, int)},
        {"x_train": X[:0], "y_train": Y[:0]},
    ],
)
def test_rows_that_do_not_fit_are_refused_in_words(wrong):
    with pytest.raises(BadArgument, match="wanted"):
        replace(TASK, **wrong)


def test_where_the_jail_does_not_hold_nothing_is_asked_or_run(monkeypatch):
    from dux_sandbox.jailed_programs import NoJail

    def lacks():
        raise NoJail("landlock is missing here; run `dux doctor`.")

    monkeypatch.setattr("dux_agent.tuning.programs.require_jail", lacks)
    model = says(GOOD)

    with pytest.raises(DuxError, match="landlock is missing"):
        tune_code(TASK, lm=model, budget=1)
    done = dux("tune", "code:diabetes")

    assert [] == model.asked
    assert 2 == done.exit_code
    assert "landlock is missing" in done.stderr


def test_the_taxi_rides_are_those_that_were_measured():
    task = code_task("taxi")

    assert (2000, 8) == task.x_train.shape
    assert 0.938 == pytest.approx(float(np.mean(task.y_validation**2)), abs=0.002)
    assert 0.930 == pytest.approx(float(np.mean(task.y_test**2)), abs=0.002)


TRIALS = [
    TrialRow(1, {"source": "# The mean.\n" + GOOD.lstrip()}, 0.25),
    TrialRow(
        2, {"source": '"""Raises."""\n\n' + RAISES.lstrip()}, None, "KeyError: no"
    ),
    TrialRow(3, {"source": "# A column.\n" + WORSE.lstrip()}, 0.123456, yours=True),
]
VIEW = StudyView(number=4, budget=5, task="Rides, 2,000 rows.", trials=TRIALS)
VIEWS = {
    "update": VIEW,
    "chat": replace(VIEW, news=2),
    "first": replace(VIEW, number=1, trials=[]),
}


@pytest.mark.parametrize("prompts", [None, "paper"])
@pytest.mark.parametrize("reasoning", [True, False])
@pytest.mark.parametrize("form", VIEWS)
def test_a_prompt_for_code_reads_as_in_its_golden_file(form, reasoning, prompts):
    brief = ProgramBrief(reasoning, prompts)
    name = f"code-{prompts or 'ours'}-{form}{'' if reasoning else '-bare'}.md"

    text = f"{brief.system(VIEWS[form])}\n=====\n\n{brief.update(VIEWS[form])}"

    if "DUX_WRITE_GOLDEN" in os.environ:
        (GOLDEN / name).write_text(text)
    assert (GOLDEN / name).read_text() == text


def test_a_prompt_for_code_stays_affordable_however_long_the_study():
    long = [
        TrialRow(n, {"source": f"# Number {n}.\n" + "x = 1\n" * 9000}, n / 100)
        for n in range(1, 101)
    ]

    view = replace(VIEW, trials=long, number=101)
    ours, paper = (
        ProgramBrief().update(view),
        ProgramBrief(prompts="paper").update(view),
    )

    assert max(len(ours), len(paper)) < 70_000
    assert "70 more are not shown" in ours


def test_the_public_names_are_there():
    assert dux_agent.tune_code is tune_code
    assert dux_agent.CodeTask is CodeTask

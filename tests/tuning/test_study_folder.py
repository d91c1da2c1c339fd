"""What a study leaves behind: traced, resumed after deaths, replayed, reported."""

import json
import multiprocessing
import os
import random
import shutil
import sys

import pytest
from typer.testing import CliRunner

from dux_agent import one_of, real, tune, whole
from dux_agent.cli import app
from dux_agent.run_folder import trace
from dux_agent.tuning.reading import read_study
from dux_agent.tuning.tune import resume
from dux_agent.tuning_tasks.toys import TOYS
from tests.talking import Scripted

SPACE = {"x": real(-5.0, 5.0), "n": whole(1, 9), "k": one_of("a", "b")}


def value_of(config):
    return (config["x"] - 1) ** 2 + config["n"] / 10 + (config["k"] == "b")


def says(x, n=2, k="a"):
    return f"Try {x}.\n" + json.dumps({"x": x, "n": n, "k": k})


def dux(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


class Dying(Scripted):
    """Answers by what it is asked, writes down what is paid, dies when it is told."""

    paid: str
    deaths: list[int]

    def _generate(self, messages, stop=None, run_manager=None, **options):
        self.asked.append(messages)
        if len(self.asked) in self.deaths:
            os._exit(9)
        text = messages[-1].text
        number = len(text.split("|")) if "Evaluations" in text else len(text)
        x = random.Random(number).uniform(-5, 5)
        bad = number % 3 == 0 and "cannot be evaluated" not in text
        self.replies[0] = "no" if bad else says(round(x, 3))
        with open(self.paid, "a", encoding="utf-8") as file:
            file.write(f"{hash_of(messages)}\n")
        result = super()._generate(messages)
        self.asked.pop()
        return result


def hash_of(messages):
    from dux_graphs.prompt_digest import digest_of_prompt

    return digest_of_prompt(messages)


@pytest.mark.wall
@pytest.mark.parametrize("history", ["compressed", "chat"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_that_dies_twenty_times_is_the_study_and_pays_once(
    history, workers, tmp_path
):
    folder, paid = tmp_path / "run", tmp_path / "paid"
    options = {"budget": 8, "workers": workers, "history": history, "control": True}

    def life(kills_in, first):
        """One life of the study, which ends by itself or in one of three places."""
        model = Dying(replies=[""], asked=[], paid=str(paid), deaths=[])
        evaluated = []
        place, count = kills_in
        if place == "model":
            model.deaths = [count]

        def objective(config):
            evaluated.append(config)
            if place == "objective" and len(evaluated) == count and workers == 1:
                os._exit(9)
            return value_of(config)

        def on_trial(trial, study):
            if place == "trial" and trial.number == count:
                os._exit(9)

        if first:
            tune(
                objective, SPACE, lm=model, run_dir=folder, on_trial=on_trial, **options
            )
        else:
            resume(folder, objective, lm=model, on_trial=on_trial)

    fork = multiprocessing.get_context("fork")
    places = ["model", "objective", "trial"]
    codes = []
    for number in range(20):
        kill = (places[number % 3], 1 + number // 3)
        child = fork.Process(target=life, args=(kill, number == 0))
        child.start()
        child.join()
        codes.append(child.exitcode)
    if not (folder / "best.json").exists():
        life(("nowhere", 0), False)

    calls = paid.read_text().split()
    assert codes.count(9) >= 5
    assert sorted(set(calls)) == sorted(calls)
    told = read_study(folder)
    assert list(range(1, 9)) == [each.number for each in told.over]
    assert 8 == len(told.control)
    twin = tune(
        value_of,
        SPACE,
        lm=Dying(replies=[""], asked=[], paid=str(tmp_path / "twin"), deaths=[]),
        **options,
    )
    assert [t.config for t in twin] == [t.config for t in told.over]
    assert [t.value for t in twin] == [t.value for t in told.over]


@pytest.mark.parametrize(
    "options",
    [
        {"then": "tpe", "lm_first": 2},
        {"then": "tpe", "lm_share": 0.4},
        {"then": "random", "lm_share": 0.4, "noise": 0.2},
        {"then": "gp", "lm_first": 3, "workers": 2},
        {"direction": "maximize", "defaults": [{"x": 0.5, "n": 1, "k": "a"}]},
    ],
    ids=str,
)
def test_a_study_that_is_cut_anywhere_goes_on_as_it_would_have(options, tmp_path):
    if options.get("then") in ("tpe", "gp"):
        pytest.importorskip("optuna")
    whole = tune(value_of, SPACE, budget=9, run_dir=tmp_path / "run", **options)
    lines = (tmp_path / "run" / "trace.jsonl").read_text().splitlines(keepends=True)

    for cut in (0, len(lines) // 3, len(lines) // 2, len(lines) - 1):
        again = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "run", again)
        (again / "trace.jsonl").write_text("".join(lines[:cut]))

        study = resume(again, value_of)

        assert [t.config for t in whole] == [t.config for t in study]
        assert [t.value for t in whole] == [t.value for t in study]
        assert [t.by for t in whole] == [t.by for t in study]
        events = [e.kind for e in trace.read(tmp_path / "run")]
        assert sorted(events) == sorted(e.kind for e in trace.read(again))


@pytest.fixture
def folder(tmp_path):
    """A study on a toy function with a finding, a fallback and a failure in it."""
    model = Scripted(
        replies=[
            "First the <b>middle</b>.\n" + json.dumps({"x1": 0.0, "x2": 0.0}),
            json.dumps({"x1": 99.0, "x2": 0.0}),
            "Now a corner.\n" + json.dumps({"x1": 3.0, "x2": 2.0}),
            "I give up.",
        ],
        asked=[],
    )
    tune(
        TOYS["himmelblau"],
        lm=model,
        budget=3,
        control=True,
        name="toy:himmelblau",
        run_dir=tmp_path / "run",
    )
    return tmp_path / "run"


def test_every_event_is_as_the_schema_says(folder):
    import jsonschema

    validator = jsonschema.Draft202012Validator(trace.schema())
    lines = (folder / "trace.jsonl").read_text().splitlines()

    found = [
        f.message for line in lines for f in validator.iter_errors(json.loads(line))
    ]

    assert [] == found
    assert {"prompt", "reply", "static_check", "trial"} == {
        json.loads(line)["kind"] for line in lines
    }


def test_trace_lists_the_trials_and_shows_one_whole(folder):
    listed, one = dux("trace", folder), dux("trace", folder, "--decision", 2)
    plain = json.loads(dux("trace", folder, "--json").stdout)

    assert "fallback" in listed.stdout
    assert "Now a corner." in listed.stdout
    assert "outside -5 to 5" in one.stdout
    assert "Now a corner." in one.stdout
    assert [1, 2, 3] == [trial["number"] for trial in plain["trials"]]
    assert 2 == dux("trace", folder, "--decision", 9).exit_code


def test_a_replay_is_the_same_and_another_reply_is_told(folder):
    same = dux("replay", folder)
    trace_file = folder / "trace.jsonl"
    text = trace_file.read_text()
    trace_file.write_text(text.replace('\\"x1\\": 3.0', '\\"x1\\": 2.5'))
    other = dux("replay", folder)

    assert (0, True) == (same.exit_code, "the same" in same.stdout)
    assert 1 == other.exit_code
    assert "trial 2" in other.stdout


def test_the_report_has_every_reason_and_every_finding_and_obeys_none(folder):
    done = dux("report", folder)

    page = (folder / "report.html").read_text()
    assert 0 == done.exit_code
    for said in ("First the &lt;b&gt;middle&lt;/b&gt;.", "Now a corner.", "I give up."):
        assert said in page
    assert "outside -5 to 5" in page
    assert "no whole JSON object" in page
    assert "a seeded draw" in page
    assert "<b>middle" not in page
    assert "random search from the same defaults" in page


def test_the_export_is_the_best_configuration(folder):
    exported = json.loads(dux("export", folder).stdout)

    assert {"x1": 3.0, "x2": 2.0} == exported["config"]
    assert (
        exported["config"] == json.loads((folder / "best.json").read_text())["config"]
    )


def test_a_study_on_the_command_line_is_resumed_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    first = dux("tune", "toy:branin", "--budget", 4, "--run-dir", "run")
    again = dux("tune", "--resume", "run")

    assert 0 == first.exit_code, first.output
    assert 0 == again.exit_code, again.output
    assert 4 == len([e for e in trace.read(tmp_path / "run") if e.kind == "trial"])


SCRIPT = """
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float)
parser.add_argument("--n", type=int)
given = parser.parse_args()
print("epoch 1: 99.0")
print(f"validation error {given.learning_rate + given.n}")
"""
SPACE_LINE = """
space = {"learning_rate": real(1e-3, 1, log=True), "n": whole(1, 3)}
"""
MODULE = """
from dux_agent import real

space = {"x": real(-1, 1)}


def objective(config):
    return config["x"] ** 2 + 0.5
"""


@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        (SCRIPT, "mine.py", ["--param"]),
        (f"from dux_agent import *\n{SPACE_LINE}\n{SCRIPT}", "mine.py", []),
        (MODULE, "mine.py:objective", []),
    ],
)
def test_a_file_of_ones_own_is_tuned_and_named_again_to_go_on(
    text, task, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine.py").write_text(text)
    params = [
        each
        for name in ("learning_rate=real(1e-3, 1, log=True)", "n=whole(1, 3)")
        for each in (*words, name)
        if words
    ]

    done = dux("tune", task, *params, "--budget", 3, "--run-dir", "run")
    alone = dux("tune", "--resume", "run")
    named = dux("tune", task, "--resume", "run")

    assert 0 == done.exit_code, done.output
    assert (2, True) == (alone.exit_code, "say it again" in alone.output)
    assert 0 == named.exit_code, named.output
    assert 3 == len(read_study(tmp_path / "run").over)


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["svm:nowhere"],
        [],
        ["toy:branin", "--budget", 0],
        ["toy:branin", "--space", "wide"],
        ["toy:branin", "--lm", "nobody"],
        ["toy:branin", "--then", "grid"],
        ["nowhere.py"],
        ["toy:branin", "--param", "x1=open('x')"],
        ["toy:branin", "--history", "long"],
        ["toy:"],
        ["toy:branin", "--trial-seconds", 0],
        ["toy:branin", "--trial-seconds", "inf"],
        ["toy:branin", "--trial-memory", 0],
        ["toy:branin", "--trial-memory", "nan"],
        ["toy:branin", "--trial-memory", "inf"],
        ["toy:branin", "--seed", -1],
        ["toy:branin", "--execution", "inline"],
        ["toy:branin", "--execution", "anywhere"],
        ["toy:branin", "--defaults"],
        ["toy:branin", "--lm", "none", "--then", "tpe", "--lm-share", 0.5],
    ],
)
def test_what_cannot_be_meant_ends_in_one_line(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = dux("tune", *words)

    assert 2 == done.exit_code
    assert 1 == len(done.stderr.strip().splitlines())
    assert "there is no module" not in done.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--program", "--schedule"])
def test_what_is_about_the_rules_of_a_run_is_refused_of_a_study(option, folder):
    done = dux("export", folder, option)

    assert (2, "") == (done.exit_code, done.stdout)
    assert f"{option} is about the rules of a run" in done.stderr


def test_a_study_says_that_nobody_was_asked_and_counts_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    done = dux(*"tune toy:branin --lm none --then random --budget 1".split())

    assert "model: none (nobody was asked); 0 calls, 0 tokens" in done.stdout
    again = dux("replay", next((tmp_path / "runs").iterdir()))
    assert "1 trial evaluated again: the same" in again.stdout


SCRIPT = """
import argparse, sys
from dux_agent import real, whole

space = {"learning_rate": real(-1e-4, 1e-4, default=-2e-5), "layers": whole(1, 3)}
parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float)
parser.add_argument("--layers", type=int)
given = parser.parse_args()
assert sys.stdin.read() == ""
print("\N{LATIN SMALL LETTER E WITH ACUTE}poque 1: loss 3.0")
print("loss", given.learning_rate + given.layers)
"""


def test_a_script_reads_small_negative_numbers_and_no_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")

    done = dux("tune", "train.py", "--budget", 3)

    assert 0 == done.exit_code, done.output
    assert "failed" not in done.output
    assert "learning_rate=-2e-05" in done.output


def test_the_defaults_of_a_space_are_evaluated_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "from dux_agent import real\nspace = {'x': real(-1, 1, default=0.25)}\n"
        "def error(config): return config['x'] ** 2\n"
    )

    done = dux("tune", "own.py:error", "--defaults", "--budget", 1, "--run-dir", "run")

    assert 0 == done.exit_code, done.output
    (only,) = read_study(tmp_path / "run").over
    assert ("default", {"x": 0.25}) == (only.by, only.config)

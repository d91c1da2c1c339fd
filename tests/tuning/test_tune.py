"""Studies: every row of the table of replies, budgets, hybrids, limits, chats."""

import json
import os
import subprocess
import sys
import time

import pytest
from langgraph.types import RetryPolicy

import dux_agent
from dux_agent import one_of, real, tune, whole
from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import read
from dux_agent.tuning.tune import resume
from tests.talking import Scripted

SPACE = {"x": real(-5.0, 5.0), "n": whole(1, 9), "k": one_of("a", "b")}
AT_ONCE = RetryPolicy(initial_interval=0.0, max_attempts=3, jitter=False)


def value_of(config):
    return (config["x"] - 1) ** 2 + config["n"] / 10 + (config["k"] == "b")


def says(x, n=2, k="a", why=""):
    return f"{why}\n" + json.dumps({"x": x, "n": n, "k": k})


def model(*replies):
    return Scripted(replies=list(replies), asked=[])


def study_of(*replies, budget=1, **options):
    lm = model(*replies)
    options = {"space": SPACE, "retry": AT_ONCE, **options}
    return tune(value_of, lm=lm, budget=budget, **options), lm


class Status(Exception):
    def __init__(self, status_code):
        super().__init__(f"status {status_code}")
        self.status_code = status_code


BAD = {
    "no JSON": "I am not sure.",
    "two values": '{"x": 1}\n{"x": 2}',
    "NaN": '{"x": NaN, "n": 1, "k": "a"}',
    "nested": '{"x": {"value": 1}, "n": 1, "k": "a"}',
    "huge": "y" * 390_000,
    "missing": '{"x": 1.0, "n": 1}',
    "unknown": '{"x": 1.0, "n": 1, "k": "a", "lr": 1}',
    "type": '{"x": "far", "n": 1, "k": "a"}',
    "range": '{"x": 50.0, "n": 1, "k": "a"}',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_reply_is_found_and_asked_again_for_the_same_trial(bad):
    study, lm = study_of(bad, says(0.5, why="Nearer."))

    assert [("lm", {"x": 0.5, "n": 2, "k": "a"})] == [(t.by, t.config) for t in study]
    assert "Nearer." == study.best.why
    assert 2 == len(lm.asked)
    assert "cannot be evaluated" in lm.asked[1][-1].text


@pytest.mark.parametrize(
    ("reply", "config"),
    [
        ('{"x": "1e-1", "n": 8.0, "k": "B"}', {"x": 0.1, "n": 8, "k": "b"}),
        ('{"x": 2, "n": 3, "k": "a"}', {"x": 2.0, "n": 3, "k": "a"}),
    ],
)
def test_another_form_is_accepted_and_the_trace_holds_both(reply, config, tmp_path):
    study, lm = study_of(reply, run_dir=tmp_path / "run")

    told = [e.data for e in read(tmp_path / "run") if e.kind == "trial"][0]
    assert config == study.best.config == told["config"]
    assert (json.loads(reply) if json.loads(reply) != config else None) == told[
        "proposed"
    ]
    assert 1 == len(lm.asked)


def test_a_repeat_is_found_with_its_value_and_asked_again():
    study, lm = study_of(says(1.0), says(1.00001), says(2.0), budget=2)

    assert [1.0, 2.0] == [trial.config["x"] for trial in study]
    assert "evaluation 1: 0.2" in lm.asked[2][-1].text


def test_with_noise_a_repeat_is_another_measurement():
    study, lm = study_of(says(2.0), budget=3, noise=0.1)

    assert [2.0] * 3 == [trial.config["x"] for trial in study]
    assert [1.2] * 3 == pytest.approx([trial.measured for trial in study])
    assert 3 == len({trial.value for trial in study})
    assert all(0.9 <= t.value / t.measured <= 1.1 for t in study)


def test_a_space_that_is_used_up_may_be_repeated():
    study = tune(lambda config: config["k"] == "b", {"k": one_of("a", "b")}, budget=5)

    assert 5 == len(study)


def test_spent_attempts_are_a_seeded_draw_that_is_counted_and_shown():
    first, lm = study_of("no", budget=3, max_attempts=2)
    second, _ = study_of("no", budget=3, max_attempts=2)

    assert ["fallback"] * 3 == [trial.by for trial in first]
    assert first.trials == tuple(
        dux_agent.Trial(**{**b.as_dict(), "seconds": a.seconds})
        for a, b in zip(first, second, strict=True)
    )
    assert 6 == len(lm.asked)


def test_spent_attempts_may_end_the_study_instead():
    study, lm = study_of("no", budget=3, max_attempts=2, on_failure="raise")

    assert not study.complete
    assert "refused" in study.reason
    assert 2 == len(lm.asked)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_is_waited_out(status):
    study, lm = study_of(Status(status), says(1.0))

    assert study.complete
    assert 2 == len(lm.asked)


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (403, 1), (404, 1), (503, 3)])
def test_what_cannot_be_waited_out_pauses_the_study(status, calls, tmp_path):
    study, lm = study_of(says(1.0), Status(status), budget=2, run_dir=tmp_path / "run")

    assert not study.complete
    assert str(status) in study.reason
    assert 1 == len(study)
    assert 1 + calls == len(lm.asked)


def test_a_fallback_model_answers_where_the_first_cannot():
    other = model(says(3.0))

    study, _ = study_of(Status(401), fallback=other)

    assert [3.0] == [trial.config["x"] for trial in study]


def test_a_paused_study_goes_on_and_pays_for_no_reply_twice(tmp_path):
    study_of(says(1.0), Status(401), budget=3, run_dir=tmp_path / "run")
    later = model(says(2.0), says(3.0))

    study = resume(tmp_path / "run", value_of, lm=later, retry=AT_ONCE)

    assert [1.0, 2.0, 3.0] == [trial.config["x"] for trial in study]
    assert 2 == len(later.asked)
    events = [e for e in read(tmp_path / "run") if e.kind == "trial"]
    assert [1, 2, 3] == [event.decision for event in events]


def test_what_an_objective_raises_costs_an_evaluation_and_is_told():
    def picky(config):
        if config["x"] > 1:
            raise ZeroDivisionError("too far")
        return value_of(config)

    lm = model(says(2.0), says(0.0))

    study = tune(picky, SPACE, lm=lm, budget=2)

    assert ["failed", "done"] == [trial.state for trial in study]
    assert "ZeroDivisionError: too far" == study.trials[0].error
    assert "ZeroDivisionError: too far" in lm.asked[1][-1].text


@pytest.mark.parametrize(
    "answer", [float("nan"), float("inf"), None, "0.5", True, {}, [1, 2]]
)
def test_what_is_no_finite_number_has_failed(answer):
    study = tune(lambda config: answer, SPACE, budget=2)

    assert ["failed"] * 2 == [trial.state for trial in study]
    assert study.best is None


def test_a_report_is_kept_and_never_shown():
    lm = model(says(2.0), says(0.0))

    def reporting(config):
        return {"value": value_of(config), "report": {"test_error": 0.777123}}

    study = tune(reporting, SPACE, lm=lm, budget=2)

    assert {"test_error": 0.777123} == study.trials[0].report
    assert not [m for asked in lm.asked for m in asked if "777" in m.text]


def test_higher_may_be_better():
    study = tune(lambda c: -value_of(c), SPACE, budget=12, direction="maximize")

    assert study.best.value == max(trial.value for trial in study)
    assert study.best.value > study.trials[0].value


@pytest.mark.parametrize("history", ["compressed", "chat"])
def test_the_model_is_told_of_every_trial(history):
    study, lm = study_of(says(2.0), says(3.0), says(0.5), budget=3, history=history)

    last = [message.text for message in lm.asked[2]]
    assert (2 if history == "compressed" else 6) == len(last)
    assert all(any(value in text for text in last) for value in ("1.2", "4.2"))


def test_a_long_chat_begins_anew_from_a_table():
    replies = [says(x / 10, why="y" * 30_000) for x in range(6)]

    _, lm = study_of(*replies, budget=6, history="chat")

    assert max(sum(len(m.text) for m in asked) for asked in lm.asked) < 80_000


@pytest.mark.parametrize("history", ["compressed", "chat"])
def test_prompts_stay_bounded_over_a_hundred_trials(history):
    replies = [says(x / 100, why="Because.") for x in range(100)]

    study, lm = study_of(*replies, budget=100, history=history)

    assert 100 == len(study)
    assert max(sum(len(m.text) for m in asked) for asked in lm.asked) < 45_000


def test_defaults_are_evaluated_first_and_count():
    study, lm = study_of(says(2.0), budget=2, defaults=[{"x": 0, "n": 5, "k": "b"}])

    assert ["default", "lm"] == [trial.by for trial in study]
    assert {"x": 0.0, "n": 5, "k": "b"} == study.trials[0].config


@pytest.mark.parametrize("then", ["random", "tpe", "gp"])
def test_a_model_seeds_an_optimizer_that_goes_on(then):
    if then != "random":
        pytest.importorskip("optuna")
    study, lm = study_of(
        says(2.0), says(3.0), says(4.0), budget=8, lm_first=3, then=then
    )

    assert ["lm"] * 3 + [then] * 5 == [trial.by for trial in study]
    assert 3 == len(lm.asked)


def test_a_model_overrides_a_share_of_an_optimizers_proposals():
    replies = [says(x / 10) for x in range(30)]
    first, lm = study_of(*replies, budget=30, then="random", lm_share=0.3)
    second, _ = study_of(*replies, budget=30, then="random", lm_share=0.3)

    by = [trial.by for trial in first]
    assert 3 <= by.count("lm") <= 15
    assert by == [trial.by for trial in second]
    assert "random would evaluate {" in lm.asked[0][-1].text


def test_an_optimizer_alone_asks_no_model():
    study = tune(value_of, SPACE, lm=None, then="random", budget=5)

    assert ["random"] * 5 == [trial.by for trial in study]
    assert 0 == study.usage["calls"]


def test_control_is_random_search_from_the_same_defaults():
    space = {"x": real(-5, 5, default=0.0)}

    study = tune(lambda c: c["x"] ** 2 + 1, space, budget=4, control=True)

    assert ["default", "random", "random", "random"] == [t.by for t in study.control]
    assert 0.0 == study.control[0].config["x"]


def test_workers_evaluate_in_batches_with_the_same_outcome_each_time():
    first = tune(value_of, SPACE, budget=7, workers=3)
    second = tune(value_of, SPACE, budget=7, workers=3)

    assert list(range(1, 8)) == [trial.number for trial in first]
    assert [t.config for t in first] == [t.config for t in second]
    assert 7 == len({json.dumps(trial.config) for trial in first})


def test_a_trial_beyond_its_time_has_failed():
    def hangs(config):
        if config["x"] < 0:
            time.sleep(600)
        return config["x"]

    study, _ = study_of(says(-1.0), says(1.0), budget=2)
    study = tune(
        hangs, SPACE, lm=model(says(-1.0), says(1.0)), budget=2, trial_seconds=3.0
    )

    assert ["failed", "done"] == [trial.state for trial in study]
    assert "more than 3 s" in study.trials[0].error


def test_a_trial_beyond_its_memory_has_failed():
    def hoards(config):
        return len(bytearray(4 * 2**30)) if config["x"] < 0 else config["x"]

    study = tune(
        hoards, SPACE, lm=model(says(-1.0), says(1.0)), budget=2, trial_bytes=2**30
    )

    assert ["failed", "done"] == [trial.state for trial in study]
    assert "MemoryError" in study.trials[0].error


def test_a_trial_that_ends_its_process_has_failed():
    import os

    study = tune(
        lambda c: os._exit(7), SPACE, lm=model(says(1.0)), budget=1, trial_seconds=30.0
    )

    assert "exit code 7" in study.trials[0].error


def test_in_a_free_space_the_model_is_told_no_ranges():
    study, lm = study_of(says(500.0), free=True)

    assert [500.0] == [trial.config["x"] for trial in study]
    prompt = lm.asked[0][-1].text
    assert "There are no ranges" in prompt
    assert "-5" not in prompt


def test_a_condition_is_asked_for_only_where_it_holds():
    space = {"k": one_of("a", "b"), "y": real(0, 1, when={"k": "b"})}
    lm = model('{"k": "b"}', '{"k": "b", "y": 0.5}', '{"k": "a", "y": 0.5}')

    study = tune(lambda c: len(c), space, lm=lm, budget=2)

    assert [{"k": "b", "y": 0.5}, {"k": "a"}] == [trial.config for trial in study]


def test_a_tuner_is_told_of_configurations_of_ones_own():
    tuner = dux_agent.Tuner(SPACE, lm=model(says(2.0)))

    tuner.tell({"x": 4.0, "n": 1, "k": "a"}, 9.1)
    config = tuner.ask()
    tuner.tell(config, 1.2)
    tuner.tell({"x": 3.0, "n": 1, "k": "a"}, None, error="no room")

    assert ["given", "lm", "given"] == [trial.by for trial in tuner.study]
    assert 1.2 == tuner.study.best.value
    assert "no room" == tuner.study.trials[2].error


@pytest.mark.parametrize(
    "options",
    [
        {"budget": 0},
        {"noise": 1.0},
        {"history": "long"},
        {"direction": "down"},
        {"then": "grid"},
        {"lm_first": 3},
        {"lm_share": 0.3},
        {"then": "random", "lm_first": 2, "lm_share": 0.5},
        {"then": "random", "free": True},
        {"workers": 0},
        {"seed": "one"},
        {"trial_seconds": -1},
        {"prompts": "/nowhere/at/all"},
        {"colour": "red"},
        {"lm": None},
        {"defaults": [{"x": 99.0, "n": 1, "k": "a"}]},
        {"lm": "nobody"},
        {"seed": -1},
        {"seed": 1 << 32},
        {"trial_seconds": float("inf")},
        {"trial_bytes": 1.5},
        {"trial_bytes": 1 << 70},
        {"lm_timeout": float("inf")},
        {"lm_timeout": "long"},
        {"task": None},
        {"task": 3},
        {"reasoning": None},
        {"free": "yes"},
        {"control": "no"},
        {"prompts": 3},
        {"defaults": 3},
        {"defaults": {"x": 0.5}},
        {"defaults": [3]},
        {"lm": []},
        {"lm": None, "then": "random", "lm_share": 0.5},
        {"lm": None, "then": "random", "lm_first": 2},
        {"on_trial": 3},
        {"retry": 3},
        {"budget": None},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(options, tmp_path):
    with pytest.raises(BadArgument, match="wanted|pass one"):
        tune(value_of, SPACE, run_dir=tmp_path / "run", **options)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("objective", "space", "run_dir"),
    [
        (3, SPACE, "run"),
        (None, SPACE, "run"),
        (value_of, SPACE, 3),
        (value_of, SPACE, ""),
        (value_of, lambda: None, "run"),
        (value_of, lambda trial: 1 / 0, "run"),
    ],
)
def test_what_is_no_function_or_no_path_is_refused_too(
    objective, space, run_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BadArgument, match="wanted"):
        tune(objective, space, run_dir=run_dir)

    assert [] == list(tmp_path.iterdir())


def test_cma_es_takes_numbers_only():
    with pytest.raises(BadArgument, match="space of numbers"):
        tune(value_of, SPACE, then="cmaes")


def test_a_budget_of_calls_pauses_the_study(tmp_path):
    study, lm = study_of(*[says(float(x)) for x in range(5)], budget=5, lm_budget=2)

    assert 2 == len(lm.asked) == len(study)
    assert "budget" in study.reason


def printed(script):
    """What a Python of its own prints."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONPATH": ":".join(each for each in sys.path if each)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout.strip()


def test_workers_are_forked_by_the_thread_that_asks_for_the_study():
    """DTensor keeps a gloo group for each thread, which no fork of another ends."""
    script = """
import tempfile
import torch.distributed as dist
from torch import nn, randn
from torch.distributed.tensor import Replicate, distribute_tensor
from dux_agent import real
from dux_agent.tuning.tune import tune

with tempfile.TemporaryDirectory() as folder:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=0, world_size=1
    )
    mesh = dist.device_mesh.init_device_mesh("cpu", (1,))
    weight = nn.Parameter(distribute_tensor(randn(3, 3), mesh, [Replicate()]))
    (weight * 2).sum().backward()
    dist.destroy_process_group()
    del mesh, weight

space, many = {"x": real(0.0, 1.0)}, {"budget": 3, "workers": 3}
study = tune(lambda config: config["x"], space, lm=None, then="random", **many)
print(len(study), {trial.error for trial in study})
"""

    assert "3 {''}" == printed(script)


def test_a_child_that_does_not_begin_has_failed():
    script = """
import os, time
from dux_agent.tuning import evaluating

evaluating._SECONDS_TO_BEGIN = 0.3
os.register_at_fork(after_in_child=lambda: time.sleep(3600))
print(evaluating.evaluate(lambda config: 1.0, {}, apart=True).error)
print(evaluating.evaluate(lambda config: 1.0, {}, seconds=0.2).error)
"""

    late, limited = printed(script).splitlines()

    assert late.startswith("its process did not begin within 0.3 s: what other threads")
    assert "it took more than 0.2 s" == limited


def test_a_fork_that_takes_long_is_no_part_of_the_limit():
    script = """
import os, time
from dux_agent.tuning.evaluating import evaluate

os.register_at_fork(before=lambda: time.sleep(3))
print(evaluate(lambda config: 1.0, {}, seconds=2))
"""

    assert printed(script).startswith("Outcome(value=1.0")


def test_an_interrupt_ends_what_the_workers_do(tmp_path):
    script = f"""
import os, signal, time
from dux_agent import real
from dux_agent.tuning.tune import tune

def endless(config):
    open(os.path.join({str(tmp_path)!r}, str(os.getpid())), "w").close()
    while len(begun := os.listdir({str(tmp_path)!r})) < 3:
        time.sleep(0.05)
    time.sleep(0.5)
    if os.getpid() == max(map(int, begun)):  # one alone: each would interrupt anew
        os.kill(os.getppid(), signal.SIGINT)
    time.sleep(3600)

signal.signal(signal.SIGINT, signal.default_int_handler)
space, many = {{"x": real(0.0, 1.0)}}, {{"budget": 3, "workers": 3}}
try:
    tune(endless, space, lm=None, then="random", **many)
except KeyboardInterrupt:
    print("interrupted")
"""

    assert "interrupted" == printed(script)


def test_workers_fork_one_after_the_other():
    script = """
import os, time
os.register_at_fork(before=lambda: time.sleep(0.02))
import filelock  # refuses to be forked by two threads at once, from Python 3.12 on
from concurrent.futures import ThreadPoolExecutor
from dux_agent.tuning.evaluating import evaluate

begun = []
os.register_at_fork(
    before=lambda: begun.append(1), after_in_parent=lambda: begun.append(-1)
)
value = lambda config: config["x"]
with ThreadPoolExecutor(3) as pool:
    found = pool.map(lambda x: evaluate(value, {"x": x}, apart=True), range(6))
    print([each.value for each in found], begun == [1, -1] * 6)
"""

    assert "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0] True" == printed(script)

import io
import math
import sys

import pytest
import torch
from rich.console import Console

from dux_agent.benchmarks import (
    BENCHMARKS,
    attach_overhead,
    background_throughput,
    background_wait,
    decision_time,
    fresh_child,
    heavy_check,
    isolated_message,
    isolated_step,
    overhead,
    static_check,
    tracing_cost,
)
from dux_agent.benchmarks.measurement import Measurement
from dux_agent.benchmarks.taking_turns import StepTime
from dux_agent.benchmarks.workload import workload
from dux_agent.cli import app


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("DUX_DATA", raising=False)


@pytest.mark.parametrize(("value", "word"), [(2.9, "kept"), (3.0, "MISSED")])
def test_a_measurement_says_whether_its_bar_was_kept(value, word):
    held = Measurement("a step", value, 3.0, "%", "on mnist")

    assert (word == "kept") == held.ok
    assert word in str(held)


def test_the_workload_without_data_has_the_shape_of_mnist():
    task = workload()

    inputs, targets = next(task.train_batches(0))

    assert (135, (400, 784), (400,)) == (
        task.steps_per_epoch,
        tuple(inputs.shape),
        tuple(targets.shape),
    )


def test_the_overhead_is_measured_against_a_bare_loop():
    held = attach_overhead.measure(rounds=2, steps=2)

    assert ("%", attach_overhead.BAR) == (held.unit, held.bar)
    assert math.isfinite(held.value)
    assert "2 rounds of 2 steps" in held.detail


def test_the_overhead_is_measured_in_every_loop_that_is_installed(monkeypatch):
    found = overhead.find_spec
    monkeypatch.setattr(
        overhead,
        "find_spec",
        lambda name: None if name == "transformers" else found(name),
    )

    held = overhead.measure(fresh=2, rounds=3)

    assert ("%", overhead.BAR) == (held.unit, held.bar)
    assert math.isfinite(held.value)
    head, *table = held.detail.splitlines()
    assert "981,400 weights" in head and "2 fresh trainings of 3 steps" in head
    assert "  transformers: not installed" in table
    rows = [row.split() for row in table[1:] if "not installed" not in row]
    assert [
        ["plain", "+-", "+-"],
        ["lightning", "+-", "+-"],
        ["accelerate", "+-", "+-"],
    ] == [[row[0], row[2], row[-2]] for row in rows]


def test_a_training_with_an_agent_is_held_against_two_that_are_alike(monkeypatch):
    begun = []

    def take_turns(trainings, data, steps, *, first):
        begun.append(first)
        bare = [StepTime(0.010, 0.001)] * steps
        other = [StepTime(0.010, 0.001 + 2e-6 * (-1) ** len(begun))] * steps
        attached = [StepTime(0.0103, 0.0011)] * steps
        attached[20] = StepTime(0.5, 0.4)  # another process, in one round
        return [bare, other, attached]

    monkeypatch.setattr(overhead, "take_turns", take_turns)

    added = overhead.added_by(overhead.LOOPS["plain"], [], fresh=6, rounds=30)

    assert [0, 1, 2, 0, 1, 2] == begun
    assert (pytest.approx(1.0), pytest.approx(0.0)) == (
        added.outside.mean,
        added.control.mean,
    )
    assert pytest.approx(3.0) == added.whole.mean
    assert added.outside.mean < added.most < 1.02
    assert pytest.approx(0.010) == added.step


def test_what_a_training_raises_ends_the_others_too():
    def loop(model, objective, batches, steps, agent):
        for at, batch in enumerate(batches):
            objective(model, batch)
            if agent and at == 1:
                raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        overhead.added_by(loop, [(torch.ones(8, 700),) * 2], fresh=2, rounds=4)


def test_the_cost_of_a_run_folder_is_the_time_that_is_spent_in_it():
    held = tracing_cost.measure(steps=4)

    assert ("%", tracing_cost.BAR) == (held.unit, held.bar)
    assert math.isfinite(held.value)
    assert "checkpoints" in held.detail


def test_a_training_beside_a_thinking_model_is_measured_against_itself_alone():
    figure = background_throughput.measure(seconds=0.2, rounds=1)

    assert ("%", background_throughput.BAR) == (figure.unit, figure.bar)
    assert figure.value < 100
    assert "1 rounds of a model that thinks 0.2 s" in figure.detail


def test_the_longest_wait_is_measured_in_slices():
    figure = background_wait.measure(decisions=2, steps=4)

    assert ("times", background_wait.BAR) == (figure.unit, figure.bar)
    assert 0 < figure.value
    assert "1 dry runs" in figure.detail


def test_the_longest_decision_but_the_first_counts():
    held = decision_time.measure(decisions=2, steps=12)

    assert ("s", decision_time.BAR) == (held.unit, held.bar)
    assert 0 < held.value
    assert "1 after the first" in held.detail


def test_the_dearest_check_is_named():
    held = heavy_check.measure(rounds=1)

    assert ("s", heavy_check.BAR) == (held.unit, held.bar)
    assert 0 < held.value
    assert "times ast.parse" in held.detail


def test_every_benchmark_is_named_in_the_help():
    from typer.testing import CliRunner

    text = CliRunner().invoke(app, ["bench", "--help"]).stdout

    plain = " ".join(text.replace("│", " ").split())
    assert all(name in plain for name in BENCHMARKS)


def test_a_missed_bar_is_exit_code_1(monkeypatch):
    from dux_agent.benchmarks import run_benchmarks

    slow = Measurement("a step", 9.0, 3.0, "%", "")
    monkeypatch.setattr(attach_overhead, "measure", lambda: slow)
    screen = Console(file=io.StringIO(), width=80)

    assert not run_benchmarks("attach-overhead", screen)
    assert "MISSED" in screen.file.getvalue()


def test_a_rule_of_the_benchmarks_is_checked_and_not_remembered():
    held = static_check.measure(rounds=2)

    assert ("ms", static_check.BAR) == (held.unit, held.bar)
    assert 0 < held.value
    assert 60 < int(held.detail.split()[0]) < 110  # "N lines"


@pytest.mark.skipif(sys.platform != "linux", reason="isolated rules need Linux")
def test_isolated_steps_are_measured_beside_inline_ones():
    ratio = isolated_step.measure(weights=50_000, rounds=3, others=((1_000, 4, 2),))
    added = isolated_message.measure(weights=1000, rounds=3)
    child = fresh_child.measure(rounds=1)

    assert ("times", "us", "ms") == (ratio.unit, added.unit, child.unit)
    assert 0 < ratio.value and 0 < child.value
    assert "50,000 weights" in ratio.detail
    assert "; 1,000: " in ratio.detail
    assert 1.5 == isolated_step.BAR

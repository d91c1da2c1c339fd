import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from dux_agent.decisions import Decision
from dux_agent.formatting import loss_text, model_title
from dux_agent.run_folder.trace import Event
from dux_agent.run_history.reading import story_of
from dux_agent.runs.training import Change, Epoch, Result
from dux_agent.terminal.tables import (
    comparison,
    decisions_table,
    epochs_table,
    trace_table,
)


def shown(table, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue()


def epoch(number, test):
    return Epoch(number, train=2.0, val=1.5, test=test, seconds=0.1)


def result(tests, control=None):
    def epochs(losses):
        return tuple(epoch(i + 1, test) for i, test in enumerate(losses))

    return Result(
        task="digits",
        seed=0,
        model_name="offline",
        epochs=epochs(tests),
        control=None if control is None else epochs(control),
        changes=(),
        run_dir=None,
        seconds=1.0,
    )


@pytest.mark.parametrize("name", ["offline", "OfflineRules"])
def test_the_offline_rules_are_never_called_a_language_model(name):
    assert "offline rules (rule-based, not a language model)" == model_title(name)


def test_another_model_goes_by_its_name():
    assert "openai:gpt-4o" == model_title("openai:gpt-4o")


@pytest.mark.parametrize(
    ("loss", "text"), [(0.12345, "0.1235"), (None, "–"), (math.nan, "nan")]
)
def test_a_loss_has_four_digits_or_says_what_it_is(loss, text):
    assert text == loss_text(loss)


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        (0.5, 2.0, "final test loss 0.5000, control 2.0000: 75.0 % below the control"),
        (3.0, 2.0, "final test loss 3.0000, control 2.0000: 50.0 % above the control"),
        (math.nan, 2.0, "final test loss nan, control 2.0000"),
    ],
)
def test_the_comparison_says_by_how_much(ours, theirs, text):
    assert text == comparison(result([9.0, ours], [9.0, theirs]))


def test_without_a_control_nothing_is_compared():
    assert "final test loss 0.5000" == comparison(result([0.5]))


def test_the_controls_losses_stand_beside_the_runs():
    held = result([2.25, 0.5], [2.25, 1.75])

    text = shown(epochs_table(held.epochs, held.control))

    (last,) = [line for line in text.splitlines() if line.strip().startswith("2 ")]
    assert "0.5000" in last
    assert "1.7500" in last


@pytest.mark.parametrize(
    ("verdict", "reason", "text"),
    [
        ("applied", "passed after 1 try", "Warm: Adam with warm-up."),
        ("rolled_back", "the loss rose", "the loss rose"),
        ("failed", "no reply in 120 s", "no reply in 120 s"),
    ],
)
def test_a_decision_says_what_changed_or_why_nothing_did(verdict, reason, text):
    source = 'class Warm(Optimizer):\n    "Adam with warm-up."\n'
    decision = Decision(verdict, None if verdict == "failed" else source, reason=reason)

    lines = shown(decisions_table([Change(1, decision, 2.0, 1.5)]), width=120)

    assert verdict in lines
    assert text in lines
    assert "2.0000 → 1.5000" in lines


def test_brackets_of_a_model_are_text_and_no_markup():
    decision = Decision("kept", None, reason="[bold]loud[/bold] [link=x]")

    assert "[bold]loud[/bold]" in shown(
        decisions_table([Change(1, decision, 2.0, 1.5)]), width=120
    )


def told(events):
    return story_of(Path(), {}, events, lambda digest: None)


def test_a_rollback_after_apply_is_the_verdict_that_counts():
    events = [
        Event(0.0, 10, 1, "reply", {}),
        Event(0.0, 10, 1, "apply", {"verdict": "applied", "digest": "a" * 64}),
        Event(0.0, 30, 1, "rollback", {"reason": "loss is NaN", "digest": "a" * 64}),
        Event(0.0, 31, None, "loss", {"loss": 1.0}),
    ]

    text = shown(trace_table(told(events)))

    assert "rolled_back" in text
    assert "loss is NaN" in text
    assert "a" * 12 in text
    assert "applied" not in text


def test_without_decisions_the_table_is_empty_and_still_a_table():
    assert "verdict" in shown(trace_table(told([])))

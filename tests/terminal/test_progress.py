import io

import pytest
from rich.console import Console

from dux_agent.run_folder.trace import Event
from dux_agent.runs.training import Progress
from dux_agent.terminal.progress import TrainingDisplay


def console(terminal):
    return Console(
        file=io.StringIO(), width=80, force_terminal=terminal, color_system=None
    )


def progress(kind, *, step=1, event=None, course="agent", epoch=2):
    return Progress(kind, course, epoch, 5, step, 67, 0.5, event)


def told(kind, **data):
    return progress("event", event=Event(0.0, 67, 1, kind, data))


def test_on_a_terminal_the_bar_shows_epoch_loss_and_what_the_agent_does():
    screen = console(terminal=True)

    with TrainingDisplay(screen) as display:
        display(progress("step", step=30))
        display(told("prompt"))

    text = screen.file.getvalue()
    assert "agent 2/5" in text
    assert "loss 0.5000" in text
    assert "writing" in text


@pytest.mark.parametrize(
    ("kind", "doing"),
    [("prompt", "writing"), ("reply", "checking"), ("static_check", "trying")],
)
def test_each_stage_of_a_decision_has_its_word(kind, doing):
    screen = console(terminal=True)

    with TrainingDisplay(screen) as display:
        display(told(kind))

    assert doing in screen.file.getvalue()


def test_without_a_terminal_it_is_a_line_an_epoch_and_a_line_a_decision():
    screen = console(terminal=False)

    with TrainingDisplay(screen) as display:
        for step in range(1, 68):
            display(progress("step", step=step))
        display(progress("epoch", step=67))
        display(told("prompt"))
        display(told("apply", verdict="kept"))

    assert [
        "agent epoch 2/5: 67 steps, last loss 0.5000",
        "agent decision 1: kept",
    ] == screen.file.getvalue().splitlines()


def test_what_a_trace_says_is_never_an_escape_sequence():
    screen = console(terminal=False)

    with TrainingDisplay(screen) as display:
        display(told("apply", verdict="kept\x1b[2J"))

    assert "\x1b" not in screen.file.getvalue()

"""A run that decided in the background, and its replays: the same to the last bit."""

import io
import random
import threading
import time

from rich.console import Console

from dux_agent.deciding.pace import Pace
from dux_agent.run_folder.trace import read
from dux_agent.runs.replaying import compare, replay
from dux_agent.runs.training import train
from dux_agent.terminal.report_text import print_result
from dux_graphs.events import ApplyEvent
from dux_graphs.offline.model import OfflineRules
from tests.executions import both

TASK = "tests.foreign_tasks:Loaded"


class Thinking(OfflineRules):
    """The offline rules, after a while that nobody can foretell."""

    def _generate(self, *given, **options):
        time.sleep(random.Random().uniform(0.0, 0.05))
        return super()._generate(*given, **options)


class Waits:
    """Takes its time after a step: the more, the longer no rule was applied."""

    applied = False

    def __call__(self, progress):
        if progress.kind == "event":
            self.applied |= "applied" == progress.event.data.get("verdict")
        elif progress.kind == "step":
            steps = (progress.epoch - 1) * progress.steps + progress.step
            time.sleep(0.004 if self.applied else 0.001 * steps**2)


@both
def test_a_replay_decides_at_the_steps_at_which_the_run_had(execution, tmp_path):
    train(
        TASK,
        lm=Thinking(),
        run_dir=tmp_path / "run",
        on_event=Waits(),
        background=True,
        every=5,
        epochs=6,
        execution=execution,
    )
    events = read(tmp_path / "run")
    over = [event for event in events if isinstance(event.body, ApplyEvent)]
    asked = {event.decision: event.step for event in events if event.kind == "prompt"}

    first, second = (
        replay(tmp_path / "run", execution=execution, task=TASK) for _ in range(2)
    )

    assert any("applied" == event.body.verdict for event in over)
    for event in over:
        began = event.body.dry_runs_at
        assert began
        assert all(asked[event.decision] <= step <= event.step for step in began)
    assert () == first.differences == second.differences
    assert len(over) <= first.decisions


class Silent(OfflineRules):
    """Answers when the training is over, and no sooner."""

    def _generate(self, *given, **options):
        HEARD.wait(120)
        return super()._generate(*given, **options)


HEARD = threading.Event()


def test_a_run_that_ends_before_its_model_answers_says_so():
    options = {"background": True, "every": 5, "epochs": 2, "execution": "inline"}
    try:
        result = train(TASK, lm=Silent(), **options)
    finally:
        HEARD.set()

    told = Console(file=io.StringIO(), width=200)
    print_result(told, result)

    assert result.dropped
    assert "one decision more was still being made" in told.file.getvalue()
    assert not train(TASK, lm="offline", epochs=2, execution="inline").dropped


def test_a_pace_says_what_had_come_by_a_step():
    pace = Pace({1: (12, 15)}, {1: 20})

    assert [0, 1, 1, 2] == [pace.begun_by(1, step) for step in (11, 12, 14, 19)]
    assert [False, True] == [pace.over_by(1, step) for step in (19, 20)]
    assert (0, False) == (pace.begun_by(2, 99), pace.over_by(2, 99))


def test_how_far_a_decision_had_come_when_its_run_ended_is_no_difference(tmp_path):
    folder = tmp_path / "run"
    train(TASK, lm=Thinking(), run_dir=folder, every=5, execution="inline")
    events = read(folder)
    last = max(event.decision for event in events if event.kind == "apply")
    cut = [e for e in events if (e.decision, e.kind) != (last, "apply")]
    tried = [e for e in cut if (e.decision, e.kind) != (last, "dry_run")]

    assert () == compare(cut, tried).differences
    assert compare(events, tried).differences

"""The live picture of a training: a bar an epoch, the loss, what the agent does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from dux_agent.deciding.plan import DecisionPlan
from dux_agent.run_folder.trace import Event
from dux_agent.runs.progress import Progress as RunProgress
from dux_graphs.events import ApplyEvent

# Redrawing more often than the eye sees costs steps.
_SECONDS_BETWEEN_DRAWINGS = 0.1

# What the agent does once an event of this kind is written.
_DOING = {
    "observation": "writing",
    "prompt": "writing",
    "reply": "checking",
    "static_check": "trying",
    "dry_run": "deciding",
    "rollback": "rolled back",
    "error": "in trouble",
}


class TrainingDisplay:
    """A listener for `runs.training.train`; a context manager round the training.

    Where the console is no terminal it prints one line an epoch and one a decision,
    so that a log stays readable.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[doing]}"),
            console=console,
            expand=True,
            disable=not self._live,
        )
        self._bar: TaskID | None = None
        self._shown = ("", 0)
        self._drawn = 0.0

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Nothing is drawn in here: somebody reads and answers."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, progress: RunProgress) -> None:
        """Take in what the loop does now."""
        if progress.kind == "plan":
            if progress.cost is not None:
                self._tell_cost(progress.cost)
        elif progress.kind == "event":
            if progress.event is not None:
                self._tell(progress, progress.event)
        elif progress.kind == "epoch":
            self._draw(progress, "")
            self._line(
                f"{_name(progress)} epoch {progress.epoch}/{progress.epochs}: "
                f"{progress.step} steps, last loss {progress.loss:.4f}"
            )
        elif time.monotonic() - self._drawn >= _SECONDS_BETWEEN_DRAWINGS:
            self._draw(progress, "")

    def _tell_cost(self, plan: DecisionPlan) -> None:
        run, said = plan.run, [plan.in_one_line]
        # Calls that cost nothing are not worth a line.
        if run is not None and (run.money is None or run.money.most > 0):
            said.insert(0, str(run))
        for line in said:
            self._console.print(Text(f"{line}."), soft_wrap=True)

    def _tell(self, progress: RunProgress, event: Event) -> None:
        doing = _DOING.get(event.kind)
        if isinstance(event.body, ApplyEvent):
            doing = event.body.verdict
            self._line(f"agent decision {event.decision}: {doing}")
        if doing:
            self._draw(progress, doing)

    def _draw(self, progress: RunProgress, doing: str) -> None:
        if not self._live:
            return
        self._drawn = time.monotonic()
        shown = (progress.course, progress.epoch)
        if self._bar is None or shown != self._shown:
            self._shown = shown
            self._bar = self._progress.add_task(
                f"{_name(progress)} {progress.epoch}/{progress.epochs}",
                total=progress.steps,
                loss=progress.loss,
                doing="",
            )
        self._progress.update(
            self._bar, completed=progress.step, loss=progress.loss, doing=doing
        )

    def _line(self, text: str) -> None:
        if not self._live:
            self._console.print(text, markup=False, highlight=False)


def _name(progress: RunProgress) -> str:
    return "control" if progress.course == "control" else "agent"

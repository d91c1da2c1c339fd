"""A run's events as figures and texts: what every tool that tracks runs takes."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from dux_agent.run_folder.events import LossEvent, RollbackEvent
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.trace import Event
from dux_graphs.events import ApplyEvent, ErrorEvent

_MOST_CHARACTERS = 20_000


class Listener(ABC):
    """Listens to a run's events and hands them on as figures; a context manager.

    Give it to `RunFolder.subscribe` of a run that goes on, or to
    `dux_agent.integrations.playing.play` with a finished one. Figures: `loss/train` by
    step; `train`, `val` and `test` by epoch under `epoch/` and, of the control, under
    `control/`; `decision/seconds`, `decision/tokens`, `decision/learning_rate`.
    Texts: `decisions`, `rollbacks`, `errors`.
    """

    def __init__(self, folder: str | Path | None) -> None:
        """Nothing was heard yet.

        Args:
            folder: the run folder, whose sources are then shown with the decisions.
        """
        self._folder = folder

    @abstractmethod
    def figure(self, name: str, value: float, at: int, time: float) -> None:
        """Take one figure of a step or an epoch; `time` in seconds since 1970."""

    @abstractmethod
    def text(self, name: str, told: str, at: int, time: float) -> None:
        """Take a text in Markdown, told at a step."""

    @abstractmethod
    def close(self) -> None:
        """Write out what is left."""

    def __call__(self, event: Event) -> None:
        """Write one event."""
        body = event.body
        if isinstance(body, LossEvent):
            self._losses(event, body)
        elif isinstance(body, ApplyEvent):
            self._figure("decision/seconds", body.seconds, event)
            self._figure("decision/tokens", body.usage.get("total_tokens"), event)
            for rate in body.learning_rates[:1]:
                self._figure("decision/learning_rate", rate, event)
            self._text("decisions", self._verdict(event, body), event)
        elif isinstance(body, RollbackEvent):
            undone = "the run"
            if event.decision is not None:
                undone = f"decision {event.decision}"
            self._text("rollbacks", f"{undone} was rolled back: {body.reason}", event)
        elif isinstance(body, ErrorEvent):
            self._text("errors", f"{body.error}: {body.message}", event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _losses(self, event: Event, body: LossEvent) -> None:
        if body.scope is None:
            self._figure("loss/train", body.loss, event)
            return
        means = (("train", body.loss), ("val", body.val), ("test", body.test))
        for name, mean in means:
            self._figure(f"{body.scope}/{name}", mean, event, body.epoch)

    def _figure(
        self, name: str, value: float | None, event: Event, at: int | None = None
    ) -> None:
        if value is not None:
            self.figure(name, value, event.step if at is None else at, event.time)

    def _text(self, name: str, told: str, event: Event) -> None:
        self.text(name, told[:_MOST_CHARACTERS], event.step, event.time)

    def _verdict(self, event: Event, body: ApplyEvent) -> str:
        digest = body.digest or ""
        told = (
            f"decision {event.decision}, step {event.step}: "
            f"{body.verdict}. {body.reason}"
        )
        source = (
            None if self._folder is None else read_kept_source(self._folder, digest)
        )
        if source is None:
            return told
        # Indented and not fenced: a source may hold a fence of its own.
        lines = "\n".join(f"    {line}" for line in source.splitlines())
        return f"{told}\n\n`{digest[:12]}`\n\n{lines}"

"""A run in TensorBoard: losses as scalars, decisions as texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.run_folder.events import LossEvent, RollbackEvent
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.trace import Event
from dux_graphs.events import ApplyEvent, ErrorEvent

_MOST_CHARACTERS = 20_000


class TensorBoard:
    """Listens to a run's events and writes them for TensorBoard; a context manager.

    Give it to `RunFolder.subscribe` of a run that goes on, or to
    `dux_agent.integrations.playing.play` with a finished one. Scalars: `loss/train` by
    step; `train`, `val` and `test` by epoch under `epoch/` and, of the control, under
    `control/`; `decision/seconds`, `decision/tokens`, `decision/learning_rate`.
    Texts: `decisions`, `rollbacks`, `errors`.
    """

    def __init__(
        self, log_dir: str | Path, *, folder: str | Path | None = None
    ) -> None:
        """Begin to write.

        Args:
            log_dir: the folder that TensorBoard is pointed at.
            folder: the run folder, whose sources are then shown with the decisions.

        Raises:
            MissingExtra: tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtra.of(
                "tensorboard", extra="tensorboard", purpose="a run in TensorBoard"
            ) from None
        self._folder = folder
        self._writer: Any = SummaryWriter(str(log_dir))

    def __call__(self, event: Event) -> None:
        """Write one event."""
        body = event.body
        if isinstance(body, LossEvent):
            self._losses(event, body)
        elif isinstance(body, ApplyEvent):
            self._scalar("decision/seconds", body.seconds, event)
            self._scalar("decision/tokens", body.usage.get("total_tokens"), event)
            for rate in body.learning_rates[:1]:
                self._scalar("decision/learning_rate", rate, event)
            self._text("decisions", self._verdict(event, body), event)
        elif isinstance(body, RollbackEvent):
            undone = "the run"
            if event.decision is not None:
                undone = f"decision {event.decision}"
            self._text("rollbacks", f"{undone} was rolled back: {body.reason}", event)
        elif isinstance(body, ErrorEvent):
            self._text("errors", f"{body.error}: {body.message}", event)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _losses(self, event: Event, body: LossEvent) -> None:
        if body.scope is None:
            self._scalar("loss/train", body.loss, event)
            return
        means = (("train", body.loss), ("val", body.val), ("test", body.test))
        for name, mean in means:
            self._scalar(f"{body.scope}/{name}", mean, event, body.epoch)

    def _scalar(
        self, tag: str, value: float | None, event: Event, step: int | None = None
    ) -> None:
        if value is not None:
            step = event.step if step is None else step
            self._writer.add_scalar(tag, value, step, walltime=event.time)

    def _text(self, tag: str, told: str, event: Event) -> None:
        self._writer.add_text(
            tag, told[:_MOST_CHARACTERS], event.step, walltime=event.time
        )

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

"""A run in TensorBoard: losses as scalars, decisions as texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.trace import Event
from dux_agent.run_history.values import count, mapping, number, text

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
        data = event.data
        if event.kind == "loss":
            self._losses(event)
        elif event.kind == "apply":
            self._scalar("decision/seconds", data.get("seconds"), event)
            tokens = mapping(data.get("usage")).get("total_tokens")
            self._scalar("decision/tokens", tokens, event)
            rates = data.get("learning_rates")
            if isinstance(rates, list) and rates:
                self._scalar("decision/learning_rate", rates[0], event)
            self._text("decisions", self._told(event), event)
        elif event.kind == "rollback":
            undone = "the run"
            if event.decision is not None:
                undone = f"decision {event.decision}"
            told = f"{undone} was rolled back: "
            self._text("rollbacks", told + text(data.get("reason")), event)
        elif event.kind == "error":
            told = f"{text(data.get('error'))}: {text(data.get('message'))}"
            self._text("errors", told, event)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _losses(self, event: Event) -> None:
        data = event.data
        scope = data.get("scope")
        if scope not in ("epoch", "control"):
            self._scalar("loss/train", data.get("loss"), event)
            return
        place = count(data.get("epoch"))
        for name, key in (("train", "loss"), ("val", "val"), ("test", "test")):
            self._scalar(f"{scope}/{name}", data.get(key), event, place)

    def _scalar(
        self, tag: str, value: Any, event: Event, step: int | None = None
    ) -> None:
        found = number(value)
        if found is not None:
            step = event.step if step is None else step
            self._writer.add_scalar(tag, found, step, walltime=event.time)

    def _text(self, tag: str, told: str, event: Event) -> None:
        self._writer.add_text(
            tag, told[:_MOST_CHARACTERS], event.step, walltime=event.time
        )

    def _told(self, event: Event) -> str:
        data = event.data
        digest = text(data.get("digest"))
        told = (
            f"decision {event.decision}, step {event.step}: "
            f"{text(data.get('verdict'))}. {text(data.get('reason'))}"
        )
        source = (
            None if self._folder is None else read_kept_source(self._folder, digest)
        )
        if source is None:
            return told
        # Indented and not fenced: a source may hold a fence of its own.
        lines = "\n".join(f"    {line}" for line in source.splitlines())
        return f"{told}\n\n`{digest[:12]}`\n\n{lines}"

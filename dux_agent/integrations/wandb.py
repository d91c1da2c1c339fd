"""A run in Weights & Biases, offline unless something else is asked for."""

from html import escape
from pathlib import Path
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.integrations.listening import Listener


class WeightsAndBiases(Listener):
    """Listens to a run's events and logs them as one run of W&B; see `Listener`.

    Every figure stands over `step`, or over its epoch, whatever was logged before it.
    """

    def __init__(
        self,
        project: str = "dux-agent",
        *,
        mode: str = "offline",
        folder: str | Path | None = None,
        **options: Any,
    ) -> None:
        """Begin a run.

        Args:
            mode: "offline" writes to a local folder and reaches no network; `wandb
                sync` sends it later. "online" sends prompts' sources and figures.
            folder: the run folder, whose sources are then shown with the decisions.
            options: of `wandb.init`, such as `name` or `dir`.

        Raises:
            MissingExtra: wandb is not installed.
            Whatever `wandb.init` raises.
        """
        try:
            import wandb
        except ImportError:
            raise MissingExtra.of(
                "wandb", extra="wandb", purpose="a run in Weights & Biases"
            ) from None
        super().__init__(folder)
        self._html: Any = wandb.Html
        self._run: Any = wandb.init(project=project, mode=mode, **options)
        for pattern in ("loss/*", "decision/*", "epoch/*", "control/*"):
            self._run.define_metric(pattern, step_metric="step")

    def figure(self, name: str, value: float, at: int, time: float) -> None:
        """Log a figure over its step."""
        self._run.log({name: value, "step": at})

    def text(self, name: str, told: str, at: int, time: float) -> None:
        """Log a text over its step."""
        shown = self._html(f"<pre>{escape(told)}</pre>", inject=False)
        self._run.log({name: shown, "step": at})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()

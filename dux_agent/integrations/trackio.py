"""A run in Trackio: figures and texts in its local database."""

from pathlib import Path
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.integrations.listening import Listener


class Trackio(Listener):
    """Listens to a run's events and logs them as one run of Trackio; see `Listener`."""

    def __init__(
        self,
        project: str = "dux-agent",
        *,
        folder: str | Path | None = None,
        **options: Any,
    ) -> None:
        """Begin a run, kept on this machine unless the options name a Space.

        Args:
            folder: the run folder, whose sources are then shown with the decisions.
            options: of `trackio.init`, such as `name`.

        Raises:
            MissingExtra: trackio is not installed.
            Whatever `trackio.init` raises.
        """
        try:
            import trackio
        except ImportError:
            raise MissingExtra.of(
                "trackio", extra="trackio", purpose="a run in Trackio"
            ) from None
        super().__init__(folder)
        self._markdown: Any = trackio.Markdown
        options = {"embed": False, "auto_log_gpu": False, **options}
        self._run: Any = trackio.init(project, **options)

    def figure(self, name: str, value: float, at: int, time: float) -> None:
        """Log a figure."""
        self._run.log({name: value}, step=at)

    def text(self, name: str, told: str, at: int, time: float) -> None:
        """Log a text."""
        self._run.log({name: self._markdown(told)}, step=at)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()

"""A run in TensorBoard: losses as scalars, decisions as texts."""

from pathlib import Path
from typing import Any

from dux_agent.errors import MissingExtra
from dux_agent.integrations.listening import Listener


class TensorBoard(Listener):
    """Listens to a run's events and writes them for TensorBoard; see `Listener`."""

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
        super().__init__(folder)
        self._writer: Any = SummaryWriter(str(log_dir))

    def figure(self, name: str, value: float, at: int, time: float) -> None:
        """Write a scalar."""
        self._writer.add_scalar(name, value, at, walltime=time)

    def text(self, name: str, told: str, at: int, time: float) -> None:
        """Write a text."""
        self._writer.add_text(name, told, at, walltime=time)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()

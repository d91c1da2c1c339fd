"""What a recorded rule tells of its steps, beside what any running rule does."""

import torch

from dux_sandbox.replaying.replay import Replay


class Telling:
    """Whose steps a replay takes, or, where there is none, somebody else."""

    _replay: Replay | None

    @property
    def left_finite(self) -> bool | torch.Tensor | None:
        """Whether the last step left all weights finite, where its kernels have seen.

        None: nobody has looked. On a device one truth of no dimensions there: nobody
        waits for it.
        """
        taken_by = None if self._replay is None else self._replay.taken_by
        return None if taken_by is None else taken_by.finite

    @property
    def waits(self) -> tuple[int, float]:
        """How often a step has waited for a program or for kernels, and seconds in all.

        What it counts to is looked for ahead; what it asks of tensors cannot be.
        """
        ahead = None if self._replay is None else self._replay.ahead
        return (0, 0.0) if ahead is None else (ahead.waits, ahead.waited)

    @property
    def captured(self) -> tuple[int, tuple[str, ...]]:
        """How many steps a CUDA graph has taken, and why it has not taken others.

        There is none unless `Limits(graph_memory=...)` lets it keep memory.
        """
        graphs = None if self._replay is None else self._replay.graphs
        return (0, ()) if graphs is None else (graphs.steps, graphs.why)

    @property
    def least_bytes(self) -> int | None:
        """What its last step had to read and write; None where it is isolated."""
        return None if self._replay is None else self._replay.least_bytes

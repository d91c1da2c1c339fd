"""An agent as one entry of a `torch.distributed.checkpoint`."""

import io
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from dux_agent.live.saved_checkpoint import refused


class Kept(Protocol):
    """An agent, as far as its state goes."""

    def state_dict(self) -> dict[str, Any]:
        """Everything to go on from."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it."""


class OneEntry:
    """Saves and loads an agent whole, whatever rule was live; a torch `Stateful`.

    `torch.distributed.checkpoint` takes a dict apart and wants a template of the same
    shape to load into. One file in one entry has one shape always.
    """

    def __init__(self, agent: Kept, name: str = "agent") -> None:
        """For `Agent.stateful`.

        Args:
            name: of the entry; of entries of one name one rank's is saved for all.
        """
        self._agent, self._name = agent, name

    def state_dict(self) -> dict[str, Any]:
        """The agent's state as the bytes of a file; it is in memory twice for it."""
        buffer = io.BytesIO()
        torch.save(self._agent.state_dict(), buffer)
        return {self._name: buffer.getvalue()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from it; load the model's weights first.

        Raises:
            CheckpointRefused: it is damaged, or a source in it may not run.
            ValueError: it was taken over other parameters.
        """
        packed = state.get(self._name)
        if not isinstance(packed, bytes):
            raise refused("it holds no agent")
        self._agent.load_state_dict(torch.load(io.BytesIO(packed), weights_only=True))

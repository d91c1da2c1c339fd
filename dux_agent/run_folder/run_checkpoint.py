"""The file in a run folder that a training goes on from after it died.

`checkpoint.pt` holds the position, the weights, the agent's whole state, the random
numbers and how long the trace was. It is replaced as a whole; reading it runs no code
(`torch.load(weights_only=True)`), and the sources in it are checked again.
"""

import io
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.atomic import write_atomically
from dux_agent.run_folder.own_files import read_own
from dux_agent.run_folder.plain_archive import NoPlainArchive, read_archive
from dux_graphs.read_back import read_back

log = logging.getLogger(__name__)

FILE = "checkpoint.pt"
VERSION = 1

# The tasks of `dux run` take some megabytes.
_MOST_BYTES = 8 * 2**30

# Writing one may cost this part of the time that training takes.
_SHARE = 1 / 250
_LEAST_SECONDS = 2.0


class RunState(TypedDict):
    """A training, to go on from; what it holds of the agent is the agent's to judge.

    Attributes:
        trace: how long the trace was, bytes.
        course: which of the trainings goes on, "control" or "agent".
        positions: of each of them, as `dux_agent.runs.epoch_loop.Position` reads it.
        model: the weights by name.
        random: the random numbers, as `dux_sandbox.random_state` reads them.
        seconds: wall time of the run so far, seconds.
    """

    __pydantic_config__ = ConfigDict(  # type: ignore[misc]
        strict=True, extra="allow", arbitrary_types_allowed=True
    )

    version: int
    trace: int
    course: Literal["control", "agent"]
    positions: dict[str, Any]
    model: dict[str, Any]
    random: dict[str, Any]
    seconds: float


_STATE: TypeAdapter[RunState] = TypeAdapter(RunState)


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint of a run folder; `state` as `RunState` has it.

    Raises:
        OSError: the disk refused it; the old one is still there.
    """
    archive = io.BytesIO()
    torch.save({"version": VERSION, **state}, archive)
    write_atomically(folder / FILE, archive.getvalue())


def load(folder: Path) -> dict[str, Any] | None:
    """The checkpoint of a run folder; None where the run died before the first.

    Raises:
        RunFolderUnusable: it is no checkpoint of ours.
    """
    try:
        content = read_own(folder / FILE, _MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(folder, str(error.strerror or error)) from None
    try:
        state = read_archive(content)
    except NoPlainArchive as error:
        raise _unusable(folder, str(error)) from None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise _unusable(folder, f"version {VERSION} was wanted")
    try:
        read_back(_STATE, state)
    except ValueError as fault:
        raise _unusable(folder, str(fault).partition(";")[0]) from None
    return state


def _unusable(folder: Path, why: str) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"{folder / FILE} cannot be used: {why}; the file that the run wrote was "
        f"wanted; restore it, or take it away to begin again with the recorded replies."
    )


def seconds_between(cost: float) -> float:
    """How long training gets between two checkpoints that take `cost` seconds each."""
    return max(_LEAST_SECONDS, cost / _SHARE)


class Keeper:
    """Writes checkpoints of one training, now or when enough has happened since.

    Between two of them training gets 250 times as long as writing one took, two seconds
    at least: then they cost 0.4 % of it at most.
    """

    def __init__(
        self, folder: Path | None, collect: Callable[[], dict[str, Any]]
    ) -> None:
        """Keep none where `folder` is None.

        Args:
            folder: the run folder.
            collect: the state now, as `save` takes it.
        """
        self._folder = folder
        self._collect = collect
        self._warned = False
        self._due = time.monotonic() + _LEAST_SECONDS

    def when_due(self) -> None:
        """Write one if the last is long enough ago. Cheap; call it after every step."""
        if self._folder is not None and time.monotonic() >= self._due:
            self.now()

    def now(self) -> None:
        """Write one. A disk that refuses it ends no training: it is said once."""
        if self._folder is None:
            return
        began = time.monotonic()
        try:
            save(self._folder, self._collect())
        except OSError as error:
            if not self._warned:
                self._warned = True
                said = "no checkpoint can be written in %s: %s. Training goes on."
                log.warning(said, self._folder, error)
        ended = time.monotonic()
        self._due = ended + seconds_between(ended - began)

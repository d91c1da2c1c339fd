"""The ranks of a process group: what each gives goes to all, over gloo."""

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch

from dux_agent.errors import RanksLost
from dux_agent.training.ranks import Alone, Ranks

Value = TypeVar("Value")

PATIENCE = 25
"""Seconds that anybody waits for a rank that is dead or does something else."""


class ProcessRanks:
    """Processes that have a gloo group of their own for what is said here."""

    def __init__(
        self, group: Any, destroy: Callable[[Any], None] = lambda _: None
    ) -> None:
        """Talk over a group that nobody else uses.

        Args:
            group: a process group of the backend gloo.
            destroy: called with it when this rank leaves the others.
        """
        self._group, self._destroy = group, destroy
        self._why = "this rank has left them"
        self.rank: int = group.rank()
        self.count: int = group.size()

    def gather(self, value: Value) -> list[Value]:
        """See `dux_agent.training.ranks.Ranks`; a plain float goes by the short way.

        Raises:
            RanksLost: one of them is gone, or came not for 25 seconds. This rank has
                left the others then.
        """
        if self._group is None:
            raise self._lost()
        try:
            if type(value) is float:
                found = self._tensors(_here([value], torch.float64))
                return [each.item() for each in found]  # type: ignore[misc]
            return self._objects(value)
        except BaseException as error:
            # It has ended here alone: another word would be taken for what it was.
            self._why = str(error) or type(error).__name__
            self.leave()
            if isinstance(error, RuntimeError):
                raise self._lost() from error
            raise

    def leave(self) -> None:
        """See `dux_agent.training.ranks.Ranks`; they hear of it at once."""
        group, self._group = self._group, None
        if group is not None:
            self._destroy(group)

    def _lost(self) -> RanksLost:
        return RanksLost(
            f"rank {self.rank} of {self.count} hears no more of the others "
            f"({self._why}); all of them were wanted; look for the first error in "
            f"what they print, and begin again from a checkpoint."
        )

    def _objects(self, value: Any) -> list[Any]:
        data = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        sizes = [int(each) for each in self._tensors(_here([len(data)], torch.int64))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8, device="cpu")
        padded[: len(data)] = data
        found = self._tensors(padded)
        # From a process of the same training, which runs the same code.
        return [
            pickle.loads(bytes(each[:size].tolist()))
            for each, size in zip(found, sizes, strict=True)
        ]

    def _tensors(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        found = [torch.empty_like(tensor) for _ in range(self.count)]
        self._group.allgather([found], [tensor]).wait()
        return found


def _here(numbers: list[Any], dtype: torch.dtype) -> torch.Tensor:
    """On the CPU, whatever the loop has as default device: the group is gloo's."""
    return torch.tensor(numbers, dtype=dtype, device="cpu")


def ranks_of_process() -> Ranks:
    """Those of the process group that is initialised; all of them call this at once."""
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return Alone()
    if distributed.get_world_size() == 1:
        return Alone()
    timeout = timedelta(seconds=PATIENCE)
    try:
        group = distributed.new_group(backend="gloo", timeout=timeout)
    except RuntimeError as error:
        raise RanksLost(
            f"not every rank has attached an agent ({error}); all of "
            f"{distributed.get_world_size()} were wanted; call attach on each of them."
        ) from error
    return ProcessRanks(group, distributed.destroy_process_group)

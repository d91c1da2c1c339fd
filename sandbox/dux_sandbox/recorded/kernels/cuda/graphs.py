"""CUDA graphs by torch: what one rule captures shares one pool of memory.

This was not run on a device yet: the tests of the marker `cuda` are there for it.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import torch

from dux_sandbox.recorded.kernels.capturing import Graphs
from dux_sandbox.recorded.kernels.compiler import CannotCompile
from dux_sandbox.recorded.kernels.cuda.driver import Device, device_of


def graphs_on(parameters: Sequence[torch.Tensor], most: int) -> Graphs | None:
    """For the steps of one rule, whose graphs may keep so many bytes.

    Returns:
        None where they may keep none, or these are not on one device of CUDA.
    """
    devices = {each.device for each in parameters}
    kinds = {each.type for each in devices}
    if not most or len(devices) != 1 or kinds != {"cuda"} or not torch.version.cuda:
        return None
    try:
        return Graphs(CudaCapturing(device_of(*devices)), most)
    except CannotCompile:
        return None  # nor are there kernels, and that is said


class _Workspace:
    """What products of matrices work in while they are captured, on one device.

    Torch has some memory for it by stream, in whatever pool it was asked for in, until
    somebody has it let go of that of all streams; graphs go on working in it. So it is
    asked for in a pool that is there for good, before each capture.
    """

    def __init__(self, device: torch.device) -> None:
        """Nothing is asked for yet."""
        self.stream = torch.cuda.Stream(device)
        self._pool: Any = torch.cuda.graph_pool_handle()
        self._keeps: torch.cuda.CUDAGraph | None = None
        kinds = (torch.float32, torch.bfloat16)
        self._sides = [torch.ones(64, 64, dtype=kind, device=device) for kind in kinds]

    def hold(self) -> None:
        """Have it there."""
        graph = torch.cuda.CUDAGraph()
        with _capture(graph, self._pool, self.stream):
            for side in self._sides:
                torch.addmm(side[0], torch.mm(side, side), side)
        self._keeps = self._keeps or graph


@lru_cache(maxsize=64)
def _workspace(device: torch.device) -> _Workspace:
    return _Workspace(device)


def _capture(
    graph: torch.cuda.CUDAGraph, pool: Any, stream: torch.cuda.Stream
) -> torch.cuda.graph:
    """Inside, this thread's calls are captured; what others do is theirs."""
    return torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local")


class CudaCapturing:
    """See `Capturing`."""

    def __init__(self, device: Device) -> None:
        """Of a device."""
        self._device = device
        self._alive: WeakSet[_Captured] = WeakSet()
        self._pool: Any = None

    def is_capturing(self) -> bool:
        """See `Capturing.is_capturing`."""
        return torch.cuda.is_current_stream_capturing()

    def capture(self, work: Callable[[], None]) -> "_Captured":
        """See `Capturing.capture`.

        Nothing of one replay is read in the next one, so that graphs may share memory
        in whatever order they run. A pool of which all graphs are gone takes no more.
        """
        if not self._alive:
            self._pool = torch.cuda.graph_pool_handle()
        graph, workspace = torch.cuda.CUDAGraph(), _workspace(self._device.device)
        with torch.cuda.device(self._device.device):
            workspace.hold()
            with _capture(graph, self._pool, workspace.stream):
                work()
        captured = _Captured(graph, self._alive)
        self._alive.add(captured)
        return captured

    def words(self, many: int) -> torch.Tensor:
        """See `Capturing.words`."""
        return torch.zeros(many, dtype=torch.int64, device=self._device.device)

    def bring(self, block: ctypes.Array[ctypes.c_int64], to: torch.Tensor) -> None:
        """See `Capturing.bring`."""
        self._device.upload(block, len(to), to)

    def held(self) -> int:
        """See `Capturing.held`."""
        return sum(
            each["total_size"]
            for each in torch.cuda.memory_snapshot()
            if tuple(each["segment_pool_id"]) == tuple(self._pool)
        )


class _Captured:
    """See `Captured`."""

    def __init__(self, graph: torch.cuda.CUDAGraph, alive: "WeakSet[_Captured]"):
        self._graph, self._alive = graph, alive

    def replay(self) -> None:
        self._graph.replay()

    def reset(self) -> None:
        self._alive.discard(self)
        self._graph.reset()

"""Which steps can be captured on a device, and what that asks of it."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet

import torch

from dux_sandbox.recorded.kernels.batches import Call
from dux_sandbox.recorded.kernels.kernel import CapturableKernel
from dux_sandbox.recorded.kernels.numbers import Work
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.operations import TABLE

_log = logging.getLogger(__name__)
FEWEST = 8
"""Calls of torch and kernels of a step for which a graph is worth it."""
_WAIT_FOR_NOTHING = frozenset(
    """transpose permute reshape expand unsqueeze squeeze select slice diagonal part
    bits flip roll repeat tril triu cat stack sum mean norm amax amin all any var std
    full eye mm bmm mv addmm addmv addbmm baddbmm trace""".split()
)
"""Operations beside those of elements in which no version of torch waits for a device:
a capture that fails would leave torch's allocator as if it still went on."""


class Captured(Protocol):
    """What was captured."""

    def replay(self) -> None:
        """Do it again, in the order of the current stream."""

    def reset(self) -> None:
        """Let go of it."""


class Capturing(Protocol):
    """What capturing asks of a device; `cuda.graphs.CudaCapturing` is one."""

    def is_capturing(self) -> bool:
        """Whether somebody captures what is asked for now."""

    def capture(self, work: Callable[[], None]) -> Captured:
        """Do work so that the device only takes down what it is asked for."""

    def words(self, many: int) -> torch.Tensor:
        """(many,), int64, on the device, zeros."""

    def bring(self, block: ctypes.Array[ctypes.c_int64], to: torch.Tensor) -> None:
        """Copy words there, in the order of the current stream; wait for nothing."""

    def held(self) -> int:
        """Bytes that what was captured keeps for itself."""


class Forgets(Protocol):
    """The graphs of one program."""

    def forget(self) -> None:
        """Let go of them."""


@dataclass
class Graphs:
    """The captured steps of all programs of one rule.

    Attributes:
        device: where.
        most: bytes that they may keep for themselves.
        steps: how many steps were taken so.
        why: why steps of some programs are not.
    """

    device: Capturing
    most: int
    steps: int = 0
    why: tuple[str, ...] = ()
    _programs: WeakSet[Forgets] = field(default_factory=WeakSet)

    def hold(self, program: Forgets) -> None:
        """Have `forget` reach the graphs of one program more."""
        self._programs.add(program)

    def forget(self) -> None:
        """Let go of all graphs; steps that follow may be captured anew."""
        for each in list(self._programs):
            each.forget()

    def refuse(self, why: str, *, level: int = logging.WARNING) -> None:
        """Say once why steps of a program are not captured."""
        if why not in self.why:
            self.why += (why,)
            _log.log(level, "steps are not captured in a CUDA graph: %s", why)


class Graph:
    """What was captured once, and the words that it reads."""

    def __init__(self, kernels: Sequence[CapturableKernel], device: Capturing) -> None:
        """Make room for the words of these kernels."""
        self._device, self._kernels = device, kernels
        sizes = [each.words for each in kernels]
        self._block = (ctypes.c_int64 * sum(sizes))()
        self._words = device.words(sum(sizes))
        self._parts = self._words.split(sizes)
        first = ctypes.addressof(self._block)
        self._places = [first + 8 * sum(sizes[:at]) for at in range(len(sizes))]
        self.pointers: list[int] = []
        self.moves = -1
        self.captured: Captured | None = None

    def lie(self) -> None:
        """Have kernels take their words from here."""
        for kernel, part in zip(self._kernels, self._parts, strict=True):
            kernel.lie(part)

    def run(self) -> None:
        """Bring there what kernels were told, and do what was captured."""
        assert self.captured is not None
        for kernel, place in zip(self._kernels, self._places, strict=True):
            kernel.write_to(place)
        self._device.bring(self._block, self._words)
        self.captured.replay()

    def forget(self) -> None:
        """Let go of what was captured."""
        captured, self.captured = self.captured, None
        if captured is not None:
            captured.reset()


@dataclass(frozen=True, eq=False)
class Split:
    """What the host does for one pattern of numbers, and what it asks a device for.

    Attributes:
        counts: the calls that make numbers, of each stage.
        asks: the others.
        baked: values that these are given and that a graph holds on to: numbers, and
            tensors that are there before the step.
    """

    work: Work
    counts: tuple[tuple[Call, ...], ...]
    asks: tuple[tuple[Call, ...], ...]
    baked: tuple[int, ...]


def split_of(plan: Plan, work: Work) -> Split:
    """The split of what is to be done for one pattern of numbers."""
    types, inputs = plan.types, len(plan.program.inputs)

    def counts(call: Call) -> bool:
        return isinstance(call[0], int) and isinstance(types[call[0]], str)

    numbers = [tuple(filter(counts, calls)) for calls in work.calls]
    others = [tuple(x for x in calls if not counts(x)) for calls in work.calls]
    given = set(plan.cloned)
    for makes, _, _ in (call for calls in others for call in calls):
        for value in (makes,) if isinstance(makes, int) else makes:
            given.update(work.given[value])
    baked = [at for at in given if at < inputs or isinstance(types[at], str)]
    return Split(work, tuple(numbers), tuple(others), tuple(sorted(baked)))


def against(plan: Plan) -> str | None:
    """Why steps of a plan are not captured whatever comes, or None."""
    program, asked = plan.program, sum(len(each.passes) for each in plan.stages)
    if not plan.target.waits:
        return "they are taken on no device"
    if plan.copies:
        return "torch writes some of what they leave"
    result = program.result
    if result is not None and result >= len(program.inputs):
        if not isinstance(plan.types[result], str):
            return "they return tensors"
    for value in (each for stage in plan.stages for each in stage.plain):
        operation = program.operation_of(value)
        name = "" if operation is None else operation.name
        if name == "item":
            return "they ask for numbers in tensors"
        if not isinstance(plan.types[value], str):
            asked += 1
            if TABLE[name].room != "elementwise" and name not in _WAIT_FOR_NOTHING:
                return f"{name} may wait for the device, or draws"
    return "they are a few calls" if asked < FEWEST else None

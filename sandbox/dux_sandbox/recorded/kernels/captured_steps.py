"""A step on a device as one call: what the host asks for there, captured once.

Between products of matrices the host asks a device for thousands of small things, and
is slower than the device is. A graph asks for all of them at once. It does what it did
when it was captured, at the addresses and with the numbers of then; so what changes
from step to step stays out of it:

- Kernels take pointers and numbers from words that each step brings to one place on the
  device before the graph runs: a rate, a count, a gradient that has moved and a value
  that is not finite are in no graph. They are copied before it and not in it: torch's
  allocator sees to it then that the host does not write to pinned memory from which an
  earlier step is still copied.
- Where torch's own calls take a tensor that is there before the step, or a number,
  there is one graph for each address and number. To copy such a tensor to a fixed place
  would cost what it is of in each step, and most rules put a kernel between a gradient
  and a product. A step that has others is taken as if there was no graph.
- All numbers are there, and all guards hold, before the device is asked for anything.

What is captured is tried in the step that captures it, on copies of all that this
writes, and must be what the step itself leaves, to the last bit: so a run repeats
whether or not its steps are captured, also from a checkpoint.

It is captured in that step, by the thread that steps: while one thread captures,
others must leave much of the device alone, and only there is it known that the training
captures nothing itself.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, cast

import torch

from dux_sandbox.recorded.interpreting import GuardFailed
from dux_sandbox.recorded.kernels.batches import append_clones, called
from dux_sandbox.recorded.kernels.capturing import (
    Graph,
    Graphs,
    Split,
    against,
    split_of,
)
from dux_sandbox.recorded.kernels.kernel import CapturableKernel
from dux_sandbox.recorded.kernels.memory import Memory
from dux_sandbox.recorded.kernels.numbers import Work
from dux_sandbox.recorded.kernels.passes import ReadyPass
from dux_sandbox.recorded.kernels.planning import Plan

SAME_STEPS, MOST_GRAPHS = 3, 4
"""The step of those that are alike that is captured; graphs of one program."""
_MOST_KEYS = 64
_ANEW = -1


class CapturedSteps:
    """The graphs of one program."""

    def __init__(
        self,
        plan: Plan,
        passes: Sequence[Sequence[ReadyPass]],
        done_with: Sequence[Sequence[int]],
        written: Collection[int],
        graphs: Graphs,
    ) -> None:
        """None yet.

        Args:
            passes, done_with: of each stage; see `passes.last_stages`.
            written: places of the table that kernels write to.
        """
        self._plan, self._passes, self._done_with = plan, passes, done_with
        self._written, self._graphs, self._device = written, graphs, graphs.device
        self._every = [one for stage in passes for one in stage]
        self._kernels = [cast(CapturableKernel, one.bound) for one in self._every]
        self._splits: dict[int, Split] = {}
        self._seen: Counter[Hashable] = Counter()
        self._ready: dict[Hashable, Graph] = {}
        self._trial: tuple[Hashable, Graph, dict[int, torch.Tensor]] | None = None
        self._told: Graph | None = None
        self._made, self._over = 0, False
        graphs.hold(self)

    def take(
        self,
        work: Work,
        table: list[Any],
        memory: Memory,
        pointers: Sequence[int],
        before: Callable[[list[Any]], None] | None,
        given: Callable[[Sequence[Any]], list[Any]],
    ) -> bool:
        """Whether a graph has taken the step; if none has, it is still to be taken.

        Args:
            table: with all inputs; gets all numbers.
            pointers: of all that is there before the step.
            before: see `FusedProgram.run`.
            given: takes what that is called with out of the table.

        Raises:
            GuardFailed, ArithmeticError, ValueError: before anything is written.
        """
        if self._trial is not None:  # the step that was to tell of it has failed
            self._seen[self._trial[0]] = 0
            self._drop_trial()
        if self._over or memory.copies or self._device.is_capturing():
            return self._leave()
        split = self._split(work)
        self._count(split, table)
        key = self._key(split, table)
        graph = self._ready.get(key)
        if graph is None:
            if self._is_wanted(key):
                self._try(key, split, table, pointers)
            return self._leave()
        if before is not None:
            before(given(table))
        if self._told is not graph or graph.moves != memory.moves:
            memory.tell(graph.pointers)
            graph.moves = memory.moves
            self._tell(graph)
        graph.run()
        self._graphs.steps += 1
        return True

    def compare(self, table: Sequence[Any]) -> None:
        """After a step that no graph took: use what was tried beside it, if it does
        the same."""
        if self._trial is None:
            return
        key, graph, copies = self._trial
        try:
            same = [_same(each, table[at]) for at, each in copies.items()]
            differ = len(same) - sum(torch.stack(same).tolist())
        # The step is taken: it must not come out of here as if it was not.
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")
            return
        if differ:
            self._give_up(f"one left {differ} of {len(same)} tensors otherwise")
        else:
            self._ready[key], self._trial = graph, None

    def forget(self) -> None:
        """Let go of all graphs; steps that follow may be captured anew."""
        self._leave()
        self._drop_trial()
        while self._ready:
            self._ready.popitem()[1].forget()
        self._seen.clear()
        self._made = 0

    def _drop_trial(self) -> None:
        if self._trial is not None:
            self._trial[1].forget()
            self._trial = None

    def _leave(self) -> bool:
        """Have each call bring its own words."""
        if self._told is not None:
            self._told = None
            for each in self._kernels:
                each.lie(None)
        return False

    def _split(self, work: Work) -> Split:
        known = self._splits.get(id(work))
        if known is None or known.work is not work:
            if len(self._splits) >= _MOST_KEYS:
                self._splits.clear()
            known = self._splits[id(work)] = split_of(self._plan, work)
        return known

    def _count(self, split: Split, table: list[Any]) -> None:
        """Have all numbers, and ask all guards."""
        program, same = self._plan.program, split.work.same
        for stage, calls in enumerate(split.counts):
            called(calls, table, [], frozenset())
            for index in self._plan.stages[stage].guards:
                guard = program.guards[index]
                if table[same[guard.value]] is not guard.expected:
                    raise GuardFailed(index)
            for one in self._passes[stage]:
                one.count(table)

    def _key(self, split: Split, table: Sequence[Any]) -> Hashable:
        """All that a graph holds on to; None: something that none can."""
        held: list[Hashable] = [split]
        for value in map(table.__getitem__, split.baked):
            if not isinstance(value, torch.Tensor):
                # -0.0 is equal to 0.0, and 1 to True, and other things come of them.
                held.append(repr(value))
            elif value.device == self._plan.target.device:
                held.append((value.data_ptr(), value.stride()))
            else:
                return None
        return tuple(held)

    def _is_wanted(self, key: Hashable) -> bool:
        """Whether there were enough steps with this key; this is one."""
        if key is None or self._made == MOST_GRAPHS:
            return False
        if len(self._seen) >= _MOST_KEYS:
            self._seen.clear()
        self._seen[key] += 1
        return self._seen[key] == SAME_STEPS

    def _try(
        self,
        key: Hashable,
        split: Split,
        table: Sequence[Any],
        pointers: Sequence[int],
    ) -> None:
        """Capture the step, and take it on copies of what it writes."""
        self._made += 1
        try:
            graph = Graph(self._kernels, self._device)
            copies = {at: table[at].clone() for at in sorted(self._written)}
            graph.pointers = list(pointers)
            for at, each in copies.items():
                graph.pointers[at] = each.data_ptr()
            self._trial, self._told = (key, graph, copies), graph
            graph.lie()
            graph.captured = self._device.capture(
                lambda: self._ask(split, list(table), graph.pointers)
            )
            held = self._device.held()
            if held > self._graphs.most:
                self._give_up(f"Limits(graph_memory=) is less than {held} bytes")
                return
            self._tell(graph)
            graph.run()
        # Whatever is wrong with it, the step is taken as if there was no graph.
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _ask(self, split: Split, table: list[Any], pointers: list[int]) -> None:
        """Ask the device for all of a step."""
        last = len(self._plan.stages) - 1
        for stage, calls in enumerate(split.asks):
            called(calls, table, pointers, self._plan.laid_out)
            if stage == last:
                append_clones(self._plan.cloned, table, pointers)
            for one in self._passes[stage]:
                one.call(table, pointers, _ANEW)
            for value in self._done_with[stage]:
                table[value] = None

    def _tell(self, graph: Graph) -> None:
        for one in self._every:
            one.point(graph.pointers)
        if self._told is not graph:
            graph.lie()
            self._told = graph

    def _give_up(self, why: str) -> None:
        """Capture no step of this program any more."""
        self._over = True
        self.forget()
        self._graphs.refuse(why)


def captured_in(
    graphs: Graphs,
    plan: Plan,
    passes: Sequence[Sequence[ReadyPass]],
    done_with: Sequence[Sequence[int]],
    written: Collection[int],
) -> CapturedSteps | None:
    """The graphs of a program among those of its rule; None: its steps will have none.

    Args:
        passes, done_with, written: see `CapturedSteps`.
    """
    why = against(plan)
    if why is None:
        return CapturedSteps(plan, passes, done_with, written, graphs)
    graphs.refuse(why, level=logging.DEBUG)
    return None


def _same(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Whether they are, one truth of no dimensions there."""
    return ((one == other) | ((one != one) & (other != other))).all()

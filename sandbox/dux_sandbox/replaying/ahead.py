"""Programs that are coming: found from what a rule counts, beside its steps.

What a guard asks of a step count or an option is known for steps to come, whatever the
gradients are. So the program of a warm-up's end is recorded, and being compiled, before
the step that wants it. It is the very program that this step would have recorded.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import torch

from dux_sandbox.findings import RuleFailed
from dux_sandbox.recorded.operations import TABLE, prepared
from dux_sandbox.recorded.program import Place, TensorType, ValueType
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.trees import leaves_of
from dux_sandbox.replaying.branches import Branch, Branches
from dux_sandbox.replaying.hindrance import FAULTS
from dux_sandbox.replaying.option_leaves import options_of
from dux_sandbox.replaying.places import Places

_MOST_WORK, _MOST_LOOKS = 50_000, 20
"""Operations on numbers that one look makes, some 20 ms, and looks of one rule."""
_MOST_PROGRAMS = 8
_MOMENT = 0.001
_UNKNOWN = object()
log = logging.getLogger(__name__)

RecordFor = Callable[[Places, list[bool], str | None], Branch]
"""The branch of a step that begins so. Raises as `Replay.step`."""


class _Walk:
    """The numbers of one program: what its guards ask, and what it leaves."""

    def __init__(self, branch: Branch) -> None:
        program = branch.program
        self.branch = branch
        self.guards = [(each.value, each.expected) for each in program.guards]
        numbers = [
            each
            for each in program.outputs
            if isinstance(branch.types[each.value], str)
        ]
        self.left = [(each.place, each.value) for each in numbers]
        wanted = {at for at, _ in self.guards} | {each.value for each in numbers}
        if program.structure is not None:
            wanted.update(range(program.values))
        self.calls: list[tuple[int, Any, tuple[int, ...]]] = []
        for value in range(program.values - 1, len(program.inputs) - 1, -1):
            operation = program.operation_of(value)
            assert operation is not None
            if value in wanted and operation.name.startswith(("number.", "constant")):
                wanted.update(operation.arguments)
                call = prepared(TABLE[operation.name], operation.attributes)
                self.calls.append((value, call, operation.arguments))
        self.calls.reverse()
        self._read = [
            (at, each.place)
            for at, each in enumerate(program.inputs)
            if at in wanted and isinstance(each.type, str)
        ]
        written = {place for place, _ in self.left}
        asks = self._made_of({at for at, _ in self.guards})
        # Whether another step may be another branch for what is counted.
        self.counts = any(at in asks and place in written for at, place in self._read)
        self.work = len(self.calls) + len(self._read) + len(self.left)

    def _made_of(self, values: set[int]) -> set[int]:
        for value, _, arguments in reversed(self.calls):
            if value in values:
                values.update(arguments)
        return values

    def values(self, read: Callable[[Place], Any]) -> dict[int, Any] | None:
        """Its numbers in one step, as far as they hang on no tensor.

        Args:
            read: the number that is in a place, or `_UNKNOWN`.

        Returns:
            By value; None where a guard does not hold.

        Raises:
            ArithmeticError, ValueError: of the rule's own arithmetic.
        """
        found = {at: read(place) for at, place in self._read}
        for value, call, arguments in self.calls:
            given = [found.get(each, _UNKNOWN) for each in arguments]
            found[value] = _UNKNOWN if _UNKNOWN in given else call(*given)
        for at, expected in self.guards:
            if found.get(at, _UNKNOWN) not in (_UNKNOWN, expected):
                return None
        return found


class _Look:
    """One look: from what is there now, step after step, without tensors."""

    def __init__(
        self, places: Places, present: list[bool], closure: str | None, known: Branches
    ) -> None:
        self.places = Places(places.parameters)
        self.places.kept.put(
            places.kept.skeleton, [_bare(each) for each in places.kept.values.values()]
        )
        self.places.options = [dict(each) for each in places.options]
        self._given = present, closure
        self._unknown: set[Place] = set()
        self._known = known.by_key()
        self._walks: dict[Hashable, list[_Walk]] = {}

    def found(
        self, record: RecordFor, stop: threading.Event
    ) -> Iterator[tuple[Hashable, Branch]]:
        """Each program that is coming and not known. Raises as `record`."""
        present, closure = self._given
        count, work, fresh = 0, 0, False
        while work < _MOST_WORK and not stop.is_set():
            key = self.places.key(present, closure)
            if key not in self._walks:
                self._walks[key] = [_Walk(each) for each in self._known.get(key, ())]
            walks = self._walks[key]
            for walk in walks:
                values = walk.values(self._read)
                work += walk.work + 1
                if values is not None:
                    break
            else:
                if fresh or count == _MOST_PROGRAMS:
                    return
                branch = record(self.places, present, closure)
                count, fresh = count + 1, True
                walks.insert(0, _Walk(branch))
                yield key, branch
                continue
            walks.remove(walk)
            walks.insert(0, walk)
            fresh = False
            self._advance(walk, values)

    def _read(self, place: Place) -> Any:
        if place in self._unknown or place == ("loss",):
            return _UNKNOWN
        if place[0] == "option":
            return self.places.option_leaves().values[place]
        return self.places.kept.values[place]

    def _advance(self, walk: _Walk, values: Mapping[int, Any]) -> None:
        """To the step after this one."""
        if walk.branch.program.structure is not None:
            self._leave(walk.branch, values)
            return
        changed: dict[Place, Any] = {}
        for place, at in walk.left:
            value = values.get(at, _UNKNOWN)
            if value is _UNKNOWN:
                self._unknown.add(place)
            elif place[0] == "option":
                changed[place] = value
            else:
                self._unknown.discard(place)
                self.places.kept.set(place, value)
        self.places.agree(self.places.option_leaves(), changed)

    def _leave(self, branch: Branch, values: Mapping[int, Any]) -> None:
        """Keep what a step leaves that keeps other things than were there before."""
        structure = branch.program.structure
        unknown, leaves = set(), {}
        for at in leaves_of(structure):
            leaves[at] = values.get(at, _UNKNOWN)
            if leaves[at] is _UNKNOWN:
                leaves[at] = _of_type(branch.types[at])
                unknown.add(at)
        options = [part for part in structure if part[0][0] == "option"]
        self.places.options = options_of(options, leaves, len(self.places.options))
        self.places.keep(structure, leaves)
        kept = leaves_of([part for part in structure if part[0][0] != "option"])
        places = zip(self.places.kept.values, kept, strict=True)
        self._unknown = {place for place, at in places if at in unknown}


def _bare(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_like(value, device="meta")
    return value


def _of_type(kind: ValueType) -> Any:
    if isinstance(kind, TensorType):
        return torch.empty(kind.shape, dtype=DTYPES[kind.dtype], device="meta")
    return 0 if kind == "int" else 0.0


class Ahead:
    """Looks ahead in a thread, whenever what it has seen is over by half.

    Attributes:
        due: the step after which it is to look again.
        waits: how often a step waited for a program, or for kernels.
        waited: how long in all, seconds.
    """

    def __init__(self, record: RecordFor) -> None:
        """Nothing is looked for yet.

        Args:
            record: called in the thread; nobody else records until it is over.
        """
        self._record = record
        self.due = 0.0
        self.waits, self.waited = 0, 0.0
        self._looks = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()
        self._news: SimpleQueue[tuple[Hashable, Branch] | None] = SimpleQueue()

    def look(
        self,
        step: int,
        places: Places,
        present: list[bool],
        closure: str | None,
        known: Branches,
    ) -> None:
        """After a step, when it is due: begin to look, unless it still looks."""
        if self._thread is not None and self._thread.is_alive():
            return
        while self.take(known):
            pass
        last = _Walk(known.last)
        self._looks += 1
        if not (last.branch.program.structure or last.counts):
            self.due = math.inf
            return
        self.due = step + max(8, _MOST_WORK // (last.work + 1) // 2)
        if self._looks > _MOST_LOOKS:
            self.due = math.inf
        look = _Look(places, present, closure, known)
        self._thread = threading.Thread(
            target=self._work, args=(look,), name="dux-ahead", daemon=True
        )
        self._thread.start()

    def _work(self, look: _Look) -> None:
        try:
            for each in look.found(self._record, self._stop):
                self._news.put(each)
        # What is wrong with a step to come is told when it comes.
        except (*FAULTS, RuleFailed):
            pass
        finally:
            self._news.put(None)

    def take(self, known: Branches) -> bool:
        """Whether one program more is known now; waits until that is certain."""
        if self._owner != os.getpid():  # a fork of the trainer has none of its threads
            self._owner, self._thread, self._news = os.getpid(), None, SimpleQueue()
        if self._thread is None:
            return False
        found = self._news.get()
        if found is None:
            self._thread.join()
            self._thread = None
            return False
        known.add(*found)
        return True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, a step waits for what was not there ahead of it."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            if spent > _MOMENT:
                self.waits, self.waited = self.waits + 1, self.waited + spent
                log.debug("a step waited %.3f s for its program", spent)

    def again(self) -> None:
        """Look after the next step: it has met what nobody had foreseen."""
        self.due = 0.0

    def close(self, known: Branches) -> None:
        """End it, once nobody answers what it asks any more; what it found is known."""
        self._stop.set()
        while self._thread is not None:
            self.take(known)

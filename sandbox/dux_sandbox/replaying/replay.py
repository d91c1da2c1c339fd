"""One step after another: the program that fits is found, run, and its results put
where they belong; where none fits the rule is recorded again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from typing import Any, Protocol

import torch

from dux_sandbox.gradients import DenseGradients
from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.lifetimes import last_uses
from dux_sandbox.recorded.program import Place, Program, TensorType, ValueType
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.recorded.trees import leaves_of, renumbered
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.recorded.verifying import Allowed, verify
from dux_sandbox.replaying.bounds import Bounds
from dux_sandbox.replaying.branches import Branch, Branches, Path, path_of
from dux_sandbox.replaying.fast_steps import FastStep
from dux_sandbox.replaying.kept import (
    KeptTree,
    OptionLeaves,
    options_of,
    require_keepable,
)
from dux_sandbox.replaying.owning import Owning

_FEW = 24
"""Recordings that any rule may take."""


@dataclass(frozen=True)
class Asked:
    """What a recording begins with; see `recorded.recorder.Recorder.step`."""

    skeleton: list[Any]
    leaves: list[tuple[Place, TensorType | str, Any]]
    present: list[bool]
    outcomes: list[bool]
    closure: str | None


class Records(Protocol):
    """Whoever records: a process of its own."""

    def step(self, asked: Asked) -> tuple[Program, int]:
        """The program of one step, not verified, and how often it calls the closure.

        Raises:
            Unrecordable: no program can stand for the step.
            RuleFailed: the process is gone, late, or tells nonsense.
        """


class Replay:
    """The steps of one rule.

    Attributes:
        kept: what it has learned.
        options: of each group, the rule's own; read before a step, and written by it.
        accept: called with what a step makes of them, before anything is written; what
            it raises comes out, and nothing has changed.
        recordings: how often it was recorded.
        steps: how many steps it has taken.
    """

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        records: Records,
        bounds: Bounds,
        compiles: bool = False,
    ) -> None:
        """Begin with nothing; `compiles`: programs that last get kernels."""
        self.kept = KeptTree()
        self.accept: Callable[[list[dict[str, Any]]], None] | None = None
        self.options: list[dict[str, Any]] = []
        self.recordings = 0
        self.steps = 0
        self._parameters = list(parameters)
        self._records = records
        self._bounds = bounds
        self._compiles = compiles
        self._branches = Branches()
        self._leaves: tuple[list[dict[str, Any]], int, OptionLeaves] | None = None

    def build(self, program: Program) -> None:
        """Run the program that makes what the rule keeps at first.

        Raises:
            ProgramRefused: it is none that may run.
            ArithmeticError, ValueError, RuntimeError: see `interpret`.
        """
        readable, writable = self._places([False] * len(self._parameters), None)
        types = self._verified(
            program, Allowed(readable, writable, **vars(self._bounds))
        )
        branch = self._branch(program, types, 0, ())
        values = branch.run([self._input(each.place, None) for each in program.inputs])
        self._put(branch, values, None)

    def step(self, closure: str | None, loss: torch.Tensor | None) -> Any:
        """Take one step.

        Args:
            closure: None for a step without one; else the dtype of its loss, or
                "nothing" where it returned none.
            loss: what it returned.

        Returns:
            What the rule's step returns: `loss` itself, a number, a tensor, or None.

        Raises:
            Unrecordable: no program can stand for this step; nothing has changed.
            ProgramRefused: what was recorded may not run; nothing has changed.
            ArithmeticError, ValueError, RuntimeError: of the rule's own arithmetic;
                nothing has changed.
            RuleFailed: the process that records has failed.
        """
        with DenseGradients(self._parameters), torch.no_grad():
            options = self._option_leaves()
            branch, made = self._found(closure, loss, options)
            fast = isinstance(made, _Taken)
            result = made.result if fast else self._put(branch, made, loss, options)
        self.steps += 1
        return result

    def close(self) -> None:
        """End what is being compiled."""
        for branch in self._branches:
            branch.fast.close()

    def _option_leaves(self) -> OptionLeaves:
        """The options taken apart; as before where no group has got others."""
        known, many = self._leaves, len(self.kept.values)
        if known is None or many != known[1] or not _same(self.options, known[0]):
            known = list(self.options), many, OptionLeaves(self.options, many)
            self._leaves = known
        return known[2]

    def _branch(
        self, program: Program, types: tuple[ValueType, ...], calls: int, path: Path
    ) -> Branch:
        run = _interpreter(program, self._device())
        fast = FastStep(program, self._parameters, self._compiles)
        return Branch(program, types, calls, path, run, fast)

    def foresee(self, present: list[bool], closure: str | None) -> Branch:
        """Record the next step, and take none.

        Args:
            present: which parameters would have a gradient.
            closure: as for `step`.

        Raises:
            Unrecordable, ProgramRefused, RuleFailed: as `step`.
        """
        options = OptionLeaves(self.options, len(self.kept.values))
        key = (self.kept.key, options.key, tuple(present), closure)
        return self._record(key, present, [], closure, options)

    def _found(
        self, closure: str | None, loss: Any, options: OptionLeaves
    ) -> tuple[Branch, Any]:
        present = [each.grad is not None for each in self._parameters]
        key = (self.kept.key, options.key, tuple(present), closure)
        ruled_out: list[Any] = []
        known: list[bool] = []
        for _ in range(_FEW + 64):
            for branch in self._branches.candidates(key, ruled_out):
                values, failed = self._try(branch, loss, options)
                if values is not None:
                    self._branches.used(key, branch)
                    return branch, values
                ruled_out.append(branch.path[: failed + 1])
                held = [expected for _, expected in branch.path[:failed]]
                known = max(known, [*held, not branch.path[failed][1]], key=len)
            self._record(key, present, known, closure, options)
        raise Unrecordable("branches on numbers that never come out as before", None)

    def _try(self, branch: Branch, loss: Any, options: OptionLeaves) -> tuple[Any, int]:
        """All values, or that the step was taken; or which guard does not hold."""
        try:
            if branch.fast.is_ready():
                agree = partial(self._agree, options)
                return _Taken(branch.fast.run(self.kept, options, loss, agree)), 0
            inputs = [
                self._input(each.place, loss, options) for each in branch.program.inputs
            ]
            return branch.run(inputs), 0
        except GuardFailed as failed:
            return None, failed.index

    def _record(
        self,
        key: Hashable,
        present: list[bool],
        outcomes: list[bool],
        closure: str | None,
        options: OptionLeaves,
    ) -> Branch:
        self.recordings += 1
        if self.recordings > _FEW and self.recordings > self.steps // 2:
            raise Unrecordable("takes another branch at nearly every step", None)
        skeleton = [*self.kept.skeleton, *options.skeleton]
        leaves = [*self.kept.leaves(), *options.leaves()]
        asked = Asked(skeleton, leaves, present, outcomes, closure)
        program, calls = self._records.step(asked)
        readable, writable = self._places(present, closure, options)
        types = self._verified(
            program, Allowed(readable, writable, **vars(self._bounds))
        )
        branch = self._branch(program, types, calls, path_of(program))
        self._branches.add(key, branch)
        return branch

    def _verified(self, program: Program, allowed: Allowed) -> tuple[ValueType, ...]:
        types = verify(program, allowed)
        if program.structure is not None:
            many = len(self._parameters)
            require_keepable(program.structure, types, many, len(self.options))
        return types

    def _agree(self, options: OptionLeaves, changed: dict[Place, Any]) -> None:
        """Take over the options that a step changes, which `accept` may refuse."""
        if changed:
            after = options.changed(changed, len(self.options))
            if self.accept is not None:
                self.accept(after)
            self.options = after

    # Places and what is in them

    def _device(self) -> torch.device:
        return self._parameters[0].device if self._parameters else torch.device("cpu")

    def _places(
        self,
        present: list[bool],
        closure: str | None,
        options: OptionLeaves | None = None,
    ) -> tuple[dict[Place, Any], dict[Place, Any]]:
        """The type of each place that may be read, and of each that may be written."""
        writable: dict[Place, TensorType | str] = dict(self.kept.types())
        for index, parameter in enumerate(self._parameters):
            writable["parameter", index] = type_of(parameter)
            if present[index]:
                writable["gradient", index] = type_of(parameter)
        if options is not None:
            writable |= {place: kind for place, kind, _ in options.leaves()}
        readable = dict(writable)
        if closure is not None and closure in DTYPES:
            readable["loss",] = TensorType(closure, ())
        return readable, writable

    def _input(
        self, place: Place, loss: Any, options: OptionLeaves | None = None
    ) -> Any:
        if place[0] == "parameter":
            return self._parameters[int(place[1])].detach()
        if place[0] == "gradient":
            gradient = self._parameters[int(place[1])].grad
            return None if gradient is None else gradient.detach()
        if place[0] == "loss":
            return loss
        if place[0] == "option" and options is not None:
            return options.values[place]
        return self.kept.values[place]

    def _put(
        self,
        branch: Branch,
        values: Sequence[Any],
        loss: Any,
        options: OptionLeaves | None = None,
    ) -> Any:
        """Everything that the step writes; and what it returns."""
        program = branch.program
        owning = Owning(self._held())
        made = [
            (each.place, owning.own(values[each.value], self._target(each.place)))
            for each in program.outputs
        ]
        leaves: dict[int, Any] = {}
        if program.structure is not None:
            for at in leaves_of(program.structure):
                if at not in leaves:
                    leaves[at] = owning.own(values[at], None)
        result = None if program.result is None else values[program.result]
        if isinstance(result, torch.Tensor) and result is not loss:
            result = result.clone()
        changed = {place: value for place, value in made if place[0] == "option"}
        after = self.options
        if program.structure is not None:
            parts = [part for part in program.structure if part[0][0] == "option"]
            after = options_of(parts, leaves, len(self.options) or None)
        elif changed and options is not None:
            after = options.changed(changed, len(self.options))
        if self.accept is not None and (changed or program.structure is not None):
            self.accept(after)
        self.options = after
        for place, value in made:
            target = self._target(place)
            if target is not None:
                target.copy_(value)
            elif place[0] != "option":
                self.kept.set(place, value)
        if program.structure is not None:
            self._keep(program.structure, leaves)
        return result

    def _target(self, place: Place) -> torch.Tensor | None:
        """The tensor that is written into; others are put in place of the old one."""
        if place[0] == "parameter":
            return self._parameters[int(place[1])].detach()
        if place[0] == "gradient":
            return self._parameters[int(place[1])].grad
        return None

    def _held(self) -> list[torch.Tensor]:
        held = [
            value
            for value in self.kept.values.values()
            if isinstance(value, torch.Tensor)
        ]
        for parameter in self._parameters:
            held.append(parameter)
            if parameter.grad is not None:
                held.append(parameter.grad)
        return held

    def _keep(self, structure: Any, leaves: dict[int, Any]) -> None:
        kept = [part for part in structure if part[0][0] != "option"]
        numbers = leaves_of(kept)
        places = iter(range(len(numbers)))
        self.kept.put(
            renumbered(kept, lambda _: next(places)), [leaves[at] for at in numbers]
        )


@dataclass(frozen=True)
class _Taken:
    """A step that kernels took, and what the rule returns."""

    result: Any


def _same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))


def _interpreter(program: Program, device: torch.device) -> Any:
    return partial(interpret, program, device=device, done=last_uses(program))

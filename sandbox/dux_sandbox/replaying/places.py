"""The places that a program reads and writes: what a rule keeps, its parameters and
its options."""

from collections.abc import Callable, Hashable, Sequence
from operator import is_
from typing import Any

import torch

from dux_sandbox.recorded.program import Place, Program, TensorType
from dux_sandbox.recorded.rows import DTYPES
from dux_sandbox.recorded.trees import in_a_row, leaves_of
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.replaying.kept import KeptTree
from dux_sandbox.replaying.option_leaves import OptionLeaves, options_of
from dux_sandbox.replaying.owning import Owning


class Places:
    """What the steps of one rule begin with, and what they leave.

    Attributes:
        parameters: of all groups, in order.
        kept: what the rule has learned.
        options: of each group, the rule's own; read before a step, and written by it.
        accept: called with what a step makes of them, before anything is written; what
            it raises comes out, and nothing has changed.
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        """Nothing is kept, and no group has options."""
        self.parameters = list(parameters)
        self.kept = KeptTree(self.parameters)
        self.options: list[dict[str, Any]] = []
        self.accept: Callable[[list[dict[str, Any]]], None] | None = None
        self._leaves: tuple[list[dict[str, Any]], OptionLeaves] | None = None

    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.parameters[0].device if self.parameters else torch.device("cpu")

    def gradients(self) -> list[torch.Tensor | None]:
        """Of each parameter, as it is now."""
        return [each.grad for each in self.parameters]

    def option_leaves(self) -> OptionLeaves:
        """The options taken apart; as before where no group has got others."""
        known = self._leaves
        if known is None or not _same(self.options, known[0]):
            self._leaves = known = list(self.options), OptionLeaves(self.options)
        return known[1]

    def key(
        self,
        present: list[bool],
        closure: str | None,
        options: OptionLeaves | None = None,
    ) -> tuple[Hashable, ...]:
        """Equal for steps that begin alike, but for the values of what they read.

        Args:
            present: which parameters have a gradient.
            closure: see `Replay.step`.
            options: `option_leaves()`, where somebody has looked.
        """
        options = options or self.option_leaves()
        return self.kept.key, options.key, tuple(present), closure

    def types(
        self,
        present: list[bool],
        closure: str | None,
        options: OptionLeaves | None = None,
    ) -> tuple[dict[Place, Any], dict[Place, Any]]:
        """The type of each place that may be read, and of each that may be written."""
        writable: dict[Place, TensorType | str] = dict(self.kept.types())
        for index, parameter in enumerate(self.parameters):
            writable["parameter", index] = type_of(parameter)
            if present[index]:
                writable["gradient", index] = type_of(parameter)
        if options is not None:
            writable |= {place: kind for place, kind, _ in options.leaves()}
        readable = dict(writable)
        if closure is not None and closure in DTYPES:
            readable["loss",] = TensorType(closure, ())
        return readable, writable

    def read(self, place: Place, loss: Any, options: OptionLeaves | None = None) -> Any:
        """What a place holds now."""
        if place[0] == "parameter":
            return self.parameters[int(place[1])].detach()
        if place[0] == "gradient":
            gradient = self.parameters[int(place[1])].grad
            return None if gradient is None else gradient.detach()
        if place[0] == "loss":
            return loss
        if place[0] == "option" and options is not None:
            return options.values[place]
        return self.kept.values[place]

    @torch.no_grad()
    def write(
        self,
        program: Program,
        values: Sequence[Any],
        loss: Any,
        options: OptionLeaves | None = None,
    ) -> Any:
        """Everything that the step writes; and what it returns."""
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
            self.keep(program.structure, leaves)
        return result

    def _target(self, place: Place) -> torch.Tensor | None:
        """The tensor that is written into; others are put in place of the old one."""
        if place[0] == "parameter":
            return self.parameters[int(place[1])].detach()
        if place[0] == "gradient":
            return self.parameters[int(place[1])].grad
        return None

    def _held(self) -> list[torch.Tensor]:
        held = [
            value
            for value in self.kept.values.values()
            if isinstance(value, torch.Tensor)
        ]
        for parameter in self.parameters:
            held.append(parameter)
            if parameter.grad is not None:
                held.append(parameter.grad)
        return held

    def keep(self, structure: Any, leaves: dict[int, Any]) -> None:
        """From now on, what a program's structure says, its options aside."""
        kept = [part for part in structure if part[0][0] != "option"]
        skeleton, numbers = in_a_row(kept)
        self.kept.put(skeleton, _each_its_own([leaves[at] for at in numbers]))

    def agree(self, options: OptionLeaves, changed: dict[Place, Any]) -> None:
        """Take over the options that a step changes, which `accept` may refuse."""
        if changed:
            after = options.changed(changed, len(self.options))
            if self.accept is not None:
                self.accept(after)
            self.options = after
            leaves = options.with_values(changed, after)
            if leaves is not None:
                self._leaves = list(after), leaves


def _each_its_own(leaves: list[Any]) -> list[Any]:
    """The same, where a tensor is there twice, each with a memory of its own: two
    clones of one gradient are one value of a program."""
    seen: set[int] = set()
    made = []
    for leaf in leaves:
        again = isinstance(leaf, torch.Tensor) and id(leaf) in seen
        made.append(leaf.clone() if again else leaf)
        seen.add(id(leaf))
    return made


def _same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return len(one) == len(other) and all(map(is_, one, other))

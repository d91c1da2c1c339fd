"""A program's step by its kernels, once they are compiled."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.recorded.kernels.capturing import Graphs
from dux_sandbox.recorded.kernels.compiling import Compilation
from dux_sandbox.recorded.kernels.picking import picked
from dux_sandbox.recorded.kernels.running import FusedProgram
from dux_sandbox.recorded.program import Place, Program
from dux_sandbox.replaying.inputs import KEPT, Inputs
from dux_sandbox.replaying.kept import KeptTree
from dux_sandbox.replaying.new_trees import NewTree
from dux_sandbox.replaying.option_leaves import OptionLeaves

_log = logging.getLogger(__name__)
PATIENCE, PATIENCE_OF_RANKS = 60.0, 12.0
"""Seconds that a step waits for its kernels; after that it never has any. The ranks
that wait for this one must not take it for lost."""


class FastStep:
    """The kernels of one program, over the parameters of one rule.

    A program has them from its first step on, or never: a run that is repeated, or goes
    on from a checkpoint, takes the same steps by kernels however long compiling takes.

    Attributes:
        waits: nobody has asked for its kernels yet.
    """

    def __init__(
        self,
        program: Program,
        parameters: Sequence[torch.Tensor],
        compiles: bool,
        moved: Callable[[], None] | None = None,
        graphs: Graphs | None = None,
        tree: NewTree | None = None,
    ) -> None:
        """Begin to compile a program that can be one of many steps.

        Args:
            moved: see `FusedProgram.run`.
            graphs: where its steps are captured; None: nowhere.
            tree: what is kept after it; None: the same tree, or nobody knows.
        """
        program = program if tree is None else tree.program
        self._moved, self._graphs = moved, graphs
        self._program, self._tree = program, tree
        self._parameters = parameters
        devices = {each.device for each in parameters}
        lasts = program.structure is None
        self._compilation: Compilation | None = None
        if compiles and lasts and len(devices) == 1:
            self._compilation = Compilation(program, *devices)
        self.waits = self._compilation is not None
        self._fused: FusedProgram | None = None
        self._inputs = Inputs(program, parameters)
        new = {each.place for each in program.inputs} | (tree.others if tree else set())
        written = [(at, each.place) for at, each in enumerate(program.outputs)]
        self._written = [
            (at, place)
            for at, place in written
            if place not in new and place[0] != "option"
        ]
        self._writes_all = {("parameter", at) for at in range(len(parameters))} <= {
            place for _, place in written
        }
        self._changes: list[Place] = []
        self._pick_changes = picked([])
        self._changed_options: list[tuple[int, Place]] = []

    @property
    def finite(self) -> bool | torch.Tensor | None:
        """Whether all weights were finite after its last step; None: not known.

        On a device one truth of no dimensions there: nobody waits for it.
        """
        if self._fused is None or not self._writes_all:
            return None
        return self._fused.finite

    def is_ready(self, *, among_ranks: bool = False) -> bool:
        """Whether it has kernels; the first to ask waits until they are compiled.

        Args:
            among_ranks: others wait for this step.
        """
        seconds = PATIENCE_OF_RANKS if among_ranks else PATIENCE
        if self.waits and self._compilation is not None:
            self.waits = False
            self._fused = self._compilation.wait(seconds)
            if self._fused is not None:
                self._give_what_changes(self._fused)
                if self._graphs is not None:
                    self._fused.capture_in(self._graphs)
            if self._fused is None and self._compilation.reason is None:
                _log.warning(
                    "a recorded rule runs in plain torch: its kernels were not "
                    "compiled within %g s",
                    seconds,
                )
        return self._fused is not None

    def _give_what_changes(self, fused: FusedProgram) -> None:
        """Ask for what is not written in its place: what is kept anew, and options."""
        places = [each.place for each in self._program.outputs]
        wanted = [at for at in fused.replaced if places[at][0] in (*KEPT, "option")]
        fused.give(wanted)
        given = [(k, places[at]) for k, at in enumerate(wanted)]
        changes = [each for each in given if each[1][0] in KEPT]
        self._changes = [place for _, place in changes]
        self._pick_changes = picked([k for k, _ in changes])
        self._changed_options = [each for each in given if each[1][0] == "option"]

    def give_up(self) -> None:
        """Never use its kernels again."""
        self._fused, self.waits = None, False

    def close(self) -> None:
        """End what is being compiled."""
        if self._compilation is not None:
            self._compilation.close()

    def run(
        self,
        kept: KeptTree,
        gradients: Sequence[torch.Tensor | None],
        options: OptionLeaves,
        loss: Any,
        agree: Callable[[OptionLeaves, dict[Place, Any]], None],
        *,
        always: bool = False,
    ) -> Any:
        """Take the step, all that it writes included; see `FusedProgram.run`.

        Args:
            gradients: of each parameter.
            agree: called with the options and with those that the step changes, before
                it writes.
            always: also where it changes none.

        Returns:
            What the rule's step returns.
        """
        assert self._fused is not None
        turns = self._tree is not None and self._tree.options is not None
        tells = always or turns or self._changed_options
        values = self._fused.run(
            self._inputs.now(kept, gradients, options, loss),
            self._targets(kept) if self._written else (),
            self._before(agree, options) if tells else None,
            kept.stamp,
            self._moved,
        )
        if self._tree is not None:
            given = zip(self._changes, self._pick_changes(values), strict=True)
            kept.become(self._tree.tree, dict(given))
        elif self._changes:
            kept.set_all(self, self._changes, self._pick_changes(values))
        result = values[-1]
        if isinstance(result, torch.Tensor) and result is not loss:
            result = result.clone()
        return result

    def _targets(self, kept: KeptTree) -> list[Any]:
        """The tensors that are written to and not read."""
        targets: list[Any] = [None] * len(self._program.outputs)
        for at, place in self._written:
            if place[0] in KEPT:
                value = kept.values[place]
                targets[at] = value if torch.is_tensor(value) else None
                continue
            parameter = self._parameters[int(place[1])]
            targets[at] = parameter if place[0] == "parameter" else parameter.grad
        return targets

    def _before(
        self,
        agree: Callable[[OptionLeaves, dict[Place, Any]], None],
        options: OptionLeaves,
    ) -> Callable[[list[Any]], None]:
        """Tells what becomes of the options."""
        changed = self._changed_options
        turned = None if self._tree is None else self._tree.options

        def tell(values: list[Any]) -> None:
            after = {place: values[k] for k, place in changed}
            if turned is None:
                agree(options, after)
            else:
                agree(turned, options.values | after)

        return tell


@dataclass(slots=True)
class Taken:
    """A step that kernels took, and what the rule returns."""

    result: Any

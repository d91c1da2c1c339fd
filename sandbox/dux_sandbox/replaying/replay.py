"""One step after another: the program that fits is found and run; where none fits the
rule is recorded again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from dux_sandbox.gradients import DenseGradients, NotDense, require_dense
from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.kernels.capturing import Graphs
from dux_sandbox.recorded.lifetimes import last_uses
from dux_sandbox.recorded.program import Place, Program, ValueType
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.replaying.agreeing import KERNELS, PLAIN, Agree, InPlainTorch, agreed
from dux_sandbox.replaying.ahead import Ahead
from dux_sandbox.replaying.asking import Asked, Records
from dux_sandbox.replaying.both_ways import BothWays, Met, is_both_ways
from dux_sandbox.replaying.bounds import Bounds
from dux_sandbox.replaying.branches import Again, Branch, Branches, Recording, path_of
from dux_sandbox.replaying.fast_steps import FastStep, Taken
from dux_sandbox.replaying.hindrance import changing
from dux_sandbox.replaying.keepable import require_keepable
from dux_sandbox.replaying.new_trees import new_tree
from dux_sandbox.replaying.option_leaves import OptionLeaves
from dux_sandbox.replaying.places import Places
from dux_sandbox.replaying.plainness import Apart

_FEW = 24
"""Recordings that any rule may take."""
_MANY = 128
"""Programs that any rule may take, those among them that were recorded ahead."""


class Replay:
    """The steps of one rule.

    Attributes:
        kept: what it has learned.
        places: that its steps read and write.
        recordings: how often it was recorded.
        steps: how many steps it has taken.
        taken_by: the kernels that took the last step, or None.
        graphs: its captured steps; None: none is captured.
        ahead: looks for programs that are coming, where they get kernels.
        agree: where others train the same weights, asked in each step, before anything
            is written, with how it can be taken here; gives how it is, which is the
            least of what all can.
    """

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        records: Records,
        bounds: Bounds,
        compiles: bool = False,
        graphs: Graphs | None = None,
    ) -> None:
        """Begin with nothing; `compiles`: programs that last get kernels."""
        self.places = Places(parameters)
        self.kept = self.places.kept
        self.recordings = self.steps = 0
        self.taken_by: FastStep | None = None
        self.agree: Agree | None = None
        self._again: Again | None = None
        self._records = records
        self._bounds = bounds
        self._compiles, self.graphs = compiles, graphs
        self._before: Mapping[Place, Any] = {}
        self._apart = Apart(self.places.parameters)
        self._branches = Branches()
        self._both_ways = BothWays()
        self.ahead = Ahead(self._recorded)

    def build(self, program: Program) -> None:
        """Run the program that makes what the rule keeps at first.

        Raises:
            ProgramRefused: it is none that may run.
            ArithmeticError, ValueError, RuntimeError: see `interpret`.
        """
        nothing = [False] * len(self.places.parameters)
        types = self._verified(program, *self.places.types(nothing, None))
        branch = self._branch(Recording(None, program, types, 0))
        values = branch.run(
            [self.places.read(each.place, None) for each in program.inputs]
        )
        self.places.write(program, values, None)

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
        before = self.places.kept.values
        gradients = self.places.gradients()
        try:
            result = self._taken(closure, loss, gradients)
        except NotDense:
            with DenseGradients(self.places.parameters):
                result = self._taken(closure, loss, self.places.gradients())
        self.steps += 1
        self._before = before
        if self._compiles and self.steps >= self.ahead.due:
            present = [each is not None for each in gradients]
            self.ahead.look(self.steps, self.places, present, closure, self._branches)
        return result

    @property
    def least_bytes(self) -> int | None:
        """See `Branches.least_bytes`; None where there was no step."""
        return self._branches.least_bytes()

    def _look(self, gradients: Sequence[torch.Tensor | None]) -> None:
        self._apart.look()
        require_dense(gradients)

    def _taken(
        self, closure: str | None, loss: Any, gradients: list[torch.Tensor | None]
    ) -> Any:
        """What the step returns, once it is taken."""
        options, again = self.places.option_leaves(), self._again
        present = [each is not None for each in gradients]
        key = self.places.key(present, closure, options)
        alone, before = self.agree is None, self._before_kernels
        if again is not None and alone and again.begins(key, self._branches.added):
            try:
                return again.fast.run(self.kept, gradients, options, loss, before)
            except GuardFailed:
                pass
        self._again = None
        branch, made = self._found(key, loss, options, gradients)
        self.taken_by = branch.fast if isinstance(made, Taken) else None
        if isinstance(made, Taken):
            self._again = Again(key, self._branches.added, branch.fast)
            return made.result
        agreed(self.agree, PLAIN)
        return self.places.write(branch.program, made, loss, options)

    def _before_kernels(self, options: OptionLeaves, changed: dict[Place, Any]) -> None:
        agreed(self.agree, KERNELS)
        self.places.agree(options, changed)

    def close(self) -> None:
        """End what is being compiled, and looking ahead; let go of graphs."""
        self.ahead.close(self._branches)
        for branch in self._branches:
            branch.fast.close()
        if self.graphs is not None:
            self.graphs.forget()

    @property
    def recorded(self) -> list[Recording]:
        """What steps were recorded so far."""
        return self._branches.recordings()

    def adopt(self, recorded: Sequence[Recording]) -> None:
        """Have these programs as if it had recorded them, and their kernels now."""
        adopted = [(each.key, self._branch(each)) for each in recorded]
        for key, branch in adopted:
            self._branches.add(key, branch)
            branch.fast.is_ready()

    def _branch(self, recorded: Recording) -> Branch:
        program, types, tree = recorded.program, recorded.types, recorded.tree
        done, both = last_uses(program), is_both_ways(program)
        run = partial(interpret, program, device=self.places.device(), done=done)
        given = self.places.parameters, self._compiles, self._apart.look, self.graphs
        fast = FastStep(program, *given, tree)
        self._both_ways.found |= both
        path, calls = path_of(program), recorded.calls
        return Branch(program, types, calls, tree, path, run, fast, both)

    def foresee(self, present: list[bool], closure: str | None) -> Branch:
        """Record the next step, and take none.

        Args:
            present: which parameters would have a gradient.
            closure: as for `step`.

        Raises:
            Unrecordable, ProgramRefused, RuleFailed: as `step`.
        """
        key = self.places.key(present, closure)
        return self._record(key, present, Met(), closure)

    def known(self, present: list[bool], closure: str | None) -> Branch | None:
        """A program that may be the next step, as it was recorded before."""
        key = self.places.key(present, closure)
        return next(self._branches.candidates(key, []), None)

    def _found(
        self,
        key: tuple[Any, ...],
        loss: Any,
        options: OptionLeaves,
        gradients: list[torch.Tensor | None],
    ) -> tuple[Branch, Any]:
        if self._branches.taken > max(_MANY, self.steps // 2):
            raise changing(None, self._before, self.kept.values)
        met, (*_, present, closure) = Met(), key
        for _ in range(_FEW + 64):
            for branch in self._branches.candidates(key, met.ruled_out):
                values, failed = self._try(branch, loss, options, gradients)
                if values is not None:
                    self._branches.used(key, branch)
                    return branch, values
                met.failed(branch, failed)
            self._look(gradients)
            with self.ahead.waiting():
                if not self.ahead.take(self._branches):
                    self._record(key, list(present), met, closure)
        raise Unrecordable("branches on numbers that never come out as before", None)

    def _try(
        self,
        branch: Branch,
        loss: Any,
        options: OptionLeaves,
        gradients: list[torch.Tensor | None],
    ) -> tuple[Any, int]:
        """All values, or that the step was taken; or which guard does not hold."""
        try:
            if branch.fast.waits:
                with self.ahead.waiting():
                    branch.fast.is_ready(among_ranks=self.agree is not None)
            if branch.fast.is_ready():
                before, always = self._before_kernels, self.agree is not None
                given = self.kept, gradients, options, loss
                try:
                    return Taken(branch.fast.run(*given, before, always=always)), 0
                except InPlainTorch:
                    branch.fast.give_up()
            self._look(gradients)
            inputs = [
                self.places.read(each.place, loss, options)
                for each in branch.program.inputs
            ]
            return branch.run(inputs), 0
        except GuardFailed as failed:
            return None, failed.index

    def _record(
        self, key: Hashable, present: list[bool], met: Met, closure: str | None
    ) -> Branch:
        self.recordings += 1
        if self.recordings > _FEW and self.recordings > self.steps // 2:
            raise changing(met.last, self._before, self.kept.values)
        both = met.may_merge and self._both_ways.wanted(key, self._branches.known(key))
        outcomes = met.outcomes(both_ways=both)
        branch = self._recorded(self.places, present, closure, outcomes, both)
        if both and not branch.both_ways:
            self._both_ways.failed(key)
            met.may_merge = False
        self._branches.add(key, branch)
        self.ahead.again()
        return branch

    def _recorded(
        self,
        places: Places,
        present: list[bool],
        closure: str | None,
        outcomes: Sequence[bool] = (),
        both_ways: bool | None = None,
    ) -> Branch:
        """Have a step recorded that begins with what is in these places."""
        merge = self._both_ways.found if both_ways is None else both_ways
        options = places.option_leaves()
        leaves = [*places.kept.leaves(), *options.leaves()]
        theirs = options.skeleton(len(places.kept.values))
        skeleton = [*places.kept.skeleton, *theirs]
        asked = Asked(skeleton, leaves, present, list(outcomes), closure, merge)
        program, calls = self._records.step(asked)
        types = self._verified(program, *places.types(present, closure, options))
        tree = new_tree(program, types, places)
        return self._branch(Recording(None, program, types, calls, tree))

    def _verified(self, program: Program, *of: Any) -> tuple[ValueType, ...]:
        types = self._bounds.verified(program, *of)
        if program.structure is not None:
            many = len(self.places.parameters)
            require_keepable(program.structure, types, many, len(self.places.options))
        return types

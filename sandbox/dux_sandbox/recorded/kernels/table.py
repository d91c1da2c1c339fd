"""The table that a step works with: which place of it holds what."""

from collections.abc import Sequence
from typing import Any

import torch

from dux_sandbox.recorded.kernels.groups import Sets
from dux_sandbox.recorded.kernels.layout import Kind
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import DTYPES


class Table:
    """Places of all values by their numbers, then of outputs that are in no input's
    place, then of copies of what one strand writes and another one reads.

    Attributes:
        where: of each output that is a tensor, by the number of values and its index.
        made: place and index of the outputs that are in no input's place.
        kept: places of tensors that the rule keeps.
        loose: places of the other tensors that are there before the step: others hold
            them, too.
        held: both.
        written: the places of outputs that kernels write to.
        reached: those places of `held` of whose elements kernels work on each.
        alike: those of them whose tensors may lie in any order, but in the same one:
            nothing is done to their elements but to each alone. Parameters come first.
    """

    def __init__(self, plan: Plan) -> None:
        """Of a plan."""
        self._plan, program = plan, plan.program
        self.where: dict[int, int] = {}
        self.made: list[tuple[int, int]] = []
        self.kept: list[int] = []
        self.loose: list[int] = []
        self._place_outputs()
        self._kinds = {at: self.kind(at) for at, _ in self.made}
        for at, each in enumerate(program.inputs):
            if isinstance(each.type, TensorType):
                is_kept = each.place[0] in ("state", "attribute")
                (self.kept if is_kept else self.loose).append(at)
        self.loose += range(program.values, program.values + len(self.made))
        self.held = frozenset([*self.kept, *self.loose])
        self.written = frozenset(
            at
            for output, at in self.where.items()
            if output - program.values not in plan.copies
        )
        self.reached: set[int] = set()
        self._sort_out()

    def _place_outputs(self) -> None:
        plan, program = self._plan, self._plan.program
        places = {each.place: at for at, each in enumerate(program.inputs)}
        for index, output in enumerate(program.outputs):
            kind, at = plan.types[output.value], places.get(output.place)
            if not isinstance(kind, TensorType):
                continue
            if at is not None and plan.types[at] == kind:
                self.where[program.values + index] = at
            else:
                at = program.values + len(self.made)
                self.where[program.values + index] = at
                self.made.append((at, index))

    def _sort_out(self) -> None:
        """Find out what kernels reach of what is held, and which of it in any order."""
        together, in_order = Sets[int](), list[int]()
        strands = [
            (one.chain, strand)
            for stage in self._plan.stages
            for one in stage.passes
            for strand in one.strands
        ]
        for chain, strand in strands:
            buffers = strand.buffers[: chain.buffers - len(chain.reduces)]
            places = [
                self.where.get(each, each)
                for at, each in enumerate(buffers)
                if at >= len(chain.leaves) or not chain.leaves[at].single
            ]
            self.reached.update(self.held.intersection(places))
            for each in places:
                together.join(each, places[0])
            if places and (chain.in_rows or not self.held.issuperset(places)):
                in_order.append(places[0])
        groups: dict[int, list[int]] = {}
        for each in sorted(self.reached, key=self._is_no_parameter):
            groups.setdefault(together.top(each), []).append(each)
        for each in in_order:
            groups.pop(together.top(each), None)
        self.alike = list(groups.values())
        self._models = {
            at: group[0]
            for group in self.alike
            if group[0] < len(self._plan.program.inputs)
            for at in group
        }

    def _is_no_parameter(self, at: int) -> tuple[bool, int]:
        inputs = self._plan.program.inputs
        return at >= len(inputs) or inputs[at].place[0] != "parameter", at

    def new(self, at: int, inputs: Sequence[Any]) -> torch.Tensor:
        """A tensor for an output that has no place yet.

        It lies as the parameter does beside which kernels will go through it.
        """
        dtype, shape = self._kinds[at]
        model = inputs[self._models[at]] if at in self._models else None
        if model is not None and model.shape == shape:
            return torch.empty_like(model, dtype=dtype)
        return torch.empty(shape, dtype=dtype, device=self._plan.target.device)

    def kind(self, at: int) -> Kind:
        """What the tensor at a place must be."""
        program = self._plan.program
        if at >= program.values:
            _, index = self.made[at - program.values]
            at = program.outputs[index].value
        kind = self._plan.types[at]
        assert isinstance(kind, TensorType)
        return DTYPES[kind.dtype], torch.Size(kind.shape)

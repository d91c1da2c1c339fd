"""The table that a step works with: which place of it holds what."""

import torch

from dux_sandbox.recorded.kernels.layout import Kind
from dux_sandbox.recorded.kernels.planning import Plan
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.rows import DTYPES


class Table:
    """Places of all values by their numbers, then of outputs that are in no input's
    place, then of copies of what one strand writes and another one reads.

    Attributes:
        where: of each output that is a tensor, by the number of values and its index.
        made: index and type of the outputs that are in no input's place.
        kept: places of tensors that the rule keeps.
        loose: places of the other tensors that are there before the step: others hold
            them, too.
        held: both.
    """

    def __init__(self, plan: Plan) -> None:
        """Of a plan."""
        self._plan, program = plan, plan.program
        self.where: dict[int, int] = {}
        self.made: list[tuple[int, TensorType]] = []
        self.kept: list[int] = []
        self.loose: list[int] = []
        self._place_outputs()
        for at, each in enumerate(program.inputs):
            if isinstance(each.type, TensorType):
                is_kept = each.place[0] in ("state", "attribute")
                (self.kept if is_kept else self.loose).append(at)
        self.loose += range(program.values, program.values + len(self.made))
        self.held = frozenset([*self.kept, *self.loose])

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
                self.where[program.values + index] = program.values + len(self.made)
                self.made.append((index, kind))

    def kind(self, at: int) -> Kind:
        """What the tensor at a place must be."""
        program = self._plan.program
        if at >= program.values:
            index, _ = self.made[at - program.values]
            at = program.outputs[index].value
        kind = self._plan.types[at]
        assert isinstance(kind, TensorType)
        return DTYPES[kind.dtype], torch.Size(kind.shape)

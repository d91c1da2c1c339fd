"""Numbers that are had of tensors in mid-step, and whether they can fail there.

What is not a number, and what is infinite, fails nowhere but in a division by zero, a
root of what is negative and the like: so it is asked whether something is positive, or
at least not negative, wherever it is a number at all.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType

_SOUND = frozenset(
    """add sub mul neg pos abs min max lt le gt ge eq ne bool not isnan isinf isfinite
    float copysign atan tanh pick""".split()
)
"""The operations that take any floats."""
_SAME_SIGN = frozenset(
    """amax amin sum mean sqrt clone reshape squeeze unsqueeze expand to""".split()
)
_SIZES = frozenset(["norm", "abs", "square"])
_LEAST = {
    name: torch.finfo(getattr(torch, name)).tiny
    for name in ("float64", "float32", "bfloat16", "float16")
}
"""Positive numbers that are not rounded to zero in tensors: 1e-8 is, in float16."""


@dataclass
class Conditions:
    """What numbers that are there before must be, so that none fails later.

    Attributes:
        late: the numbers that come in mid-step.
        least: of each number that must be at least zero, or more: False or True.
    """

    program: Program
    types: Sequence[ValueType]
    late: Collection[int]
    least: dict[int, bool] = field(default_factory=dict)

    def met(self, numbers: Mapping[int, Any]) -> bool:
        """Whether all is so, of these values by their numbers."""
        return all(
            number > 0 if than_zero else number >= 0
            for number, than_zero in (
                (numbers[value], than_zero) for value, than_zero in self.least.items()
            )
        )

    def hold(self, value: int) -> bool:
        """Whether a late number cannot fail, once the conditions are met."""
        operation = self._operation(value)
        name, given = operation.name.removeprefix("number."), operation.arguments
        if self.types[value] not in ("float", "bool", "number"):
            return False
        if name == "item" or (name in _SOUND and operation.name != name):
            return True
        if name == "div":
            return self._more(given[1], than_zero=True)
        if name == "sqrt":
            return self._more(given[0], than_zero=False)
        return name in ("log", "log1p") and self._more(given[0], than_zero=True)

    def _operation(self, value: int) -> Operation:
        found = self.program.operation_of(value)
        return Operation("input") if found is None else found

    def _more(self, value: int, *, than_zero: bool) -> bool:
        """Whether a number is positive, or else at least not negative; or no number."""
        operation = self._operation(value)
        if operation.name == "constant":
            constant = operation.attributes["value"]
            return bool(constant > 0 or (constant == 0 and not than_zero))
        if value not in self.late:
            self.least[value] = than_zero or self.least.get(value, False)
            return True
        name, given = operation.name, operation.arguments
        if name == "item":
            return self._tensor(given[0], than_zero=than_zero)
        if name in ("number.float", "number.pos", "number.sqrt"):
            return self._more(given[0], than_zero=than_zero)
        if name == "number.abs" and not than_zero:
            return True
        if name in ("number.mul", "number.div") and not than_zero:
            return all(self._more(each, than_zero=False) for each in given)
        if name == "number.add":
            return self._sum(given, than_zero=than_zero)
        if name == "number.max":
            # `max(0.0, nan)` is zero: what counts is a number that is surely one.
            sure = [each for each in given if each not in self.late]
            return any(self._more(each, than_zero=than_zero) for each in sure)
        if name == "number.min":
            return all(self._more(each, than_zero=than_zero) for each in given)
        if name == "number.pick":
            return self._picked(given, than_zero=than_zero)
        return False

    def _sum(self, given: Sequence[int], *, than_zero: bool) -> bool:
        if not all(self._more(each, than_zero=False) for each in given):
            return False
        if not than_zero:
            return True
        sure = [each for each in given if each not in self.late]
        return any(self._more(each, than_zero=True) for each in (*sure, *given))

    def _picked(self, given: Sequence[int], *, than_zero: bool) -> bool:
        asked, one, other = given
        return all(
            self._told(asked, chosen, outcome)
            or self._more(chosen, than_zero=than_zero)
            for chosen, outcome in ((one, True), (other, False))
        )

    def _told(self, asked: int, value: int, outcome: bool) -> bool:
        """Whether a value is positive where it was asked for that, and so answered."""
        operation = self._operation(asked)
        if operation.name == "number.bool":
            return self._told(operation.arguments[0], value, outcome)
        if operation.name == "number.not":
            return self._told(operation.arguments[0], value, not outcome)
        wanted = {True: ("number.gt",), False: ("number.le",)}[outcome]
        if operation.name not in wanted or operation.arguments[0] != value:
            return False
        limit = self._operation(operation.arguments[1])
        return limit.name == "constant" and limit.attributes["value"] >= 0

    def _tensor(self, value: int, *, than_zero: bool) -> bool:
        """The same of each element of a tensor."""
        operation, kind = self._operation(value), self.types[value]
        name, given = operation.name, operation.arguments
        if not isinstance(kind, TensorType) or kind.dtype not in _LEAST:
            return False
        if name in _SIZES:
            return not than_zero
        if name == "pow":
            exponent = self._operation(given[1])
            return not than_zero and exponent.attributes.get("value") == 2
        if name in ("mul", "dot", "vdot") and given[0] == given[1]:
            return not than_zero
        if name in _SAME_SIGN and not than_zero:
            return name == "sqrt" or self._tensor(given[0], than_zero=False)
        least = _LEAST[kind.dtype] if than_zero else 0.0
        if name == "clamp_min":
            return self._is_constant(given[1], least)
        if name == "add" and len(given) == 2:
            is_enough = self._is_constant(given[1], least)
            return is_enough and self._tensor(given[0], than_zero=False)
        return False

    def _is_constant(self, value: int, least: float) -> bool:
        """Whether a value is a constant that is no smaller."""
        operation = self._operation(value)
        return operation.name == "constant" and operation.attributes["value"] >= least


def is_sure_draw(program: Program, value: int) -> bool:
    """Whether random numbers are drawn there that can always be drawn."""
    operation = program.operation_of(value)
    if operation is None or operation.name != "drawn":
        return False
    numbers: list[Any] = []
    for each in operation.arguments[1:]:
        made = program.operation_of(each)
        if made is None or made.name != "constant":
            return False
        numbers.append(made.attributes["value"])
    usual: Mapping[str, bool] = {
        "normal": len(numbers) == 2 and 0 <= numbers[-1] < 1e30,
        "uniform": len(numbers) == 2 and numbers[0] == 0 and numbers[-1] == 1,
        "bernoulli": len(numbers) == 1 and 0 <= numbers[0] <= 1,
    }
    return usual.get(operation.attributes["kind"], False)

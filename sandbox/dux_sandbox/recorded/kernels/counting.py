"""The numbers of a step as one function of Python, where they hang on no tensor.

It does the same calls in the same order as going through them one by one, in a fourth
of the time. Its text is made of indices and the templates below, and nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any

from dux_sandbox.recorded.interpreting import GuardFailed
from dux_sandbox.recorded.kernels.numbers import Work
from dux_sandbox.recorded.kernels.passes import ReadyPass
from dux_sandbox.recorded.kernels.picking import picked
from dux_sandbox.recorded.kernels.planning import Plan

_FLOATS = {
    "number.add": "{} + {}",
    "number.sub": "{} - {}",
    "number.mul": "{} * {}",
    "number.div": "{} / {}",
    "number.neg": "-{}",
}
"""Integers have a bound, and are called for."""
_TRUTHS = {
    "number.lt": "{} < {}",
    "number.le": "{} <= {}",
    "number.gt": "{} > {}",
    "number.ge": "{} >= {}",
    "number.eq": "{} == {}",
    "number.ne": "{} != {}",
}
_MOST, _MOST_PATTERNS = 4096, 64
"""Calls beyond which it would take long to compile: so many are made rarely."""

Counted = tuple[Sequence[tuple[Any, ...]], list[Any]]
"""The numbers of each pass, and what is returned."""
Count = Callable[[Sequence[Any], Sequence[Any]], Counted]
"""Of the inputs, and of the values that no step changes: those after the inputs."""


class Counting:
    """How the steps of one plan are counted, for each pattern of equal numbers."""

    def __init__(self, plan: Plan, passes: Sequence[Sequence[ReadyPass]]) -> None:
        """Of a plan and the passes of its stages."""
        self._plan, self._passes = plan, passes[-1]
        others = (plan.copies, plan.cloned, *passes[:-1])
        self._may = not any(others) and not any(one.makes for one in passes[-1])
        self._known: dict[int, tuple[Work, Count | None]] = {}

    def forget(self) -> None:
        """Something else is to be returned from now on."""
        self._known.clear()

    def of(self, work: Work, given: Sequence[int]) -> Count | None:
        """The function of a step whose passes are all in its last stage.

        It raises GuardFailed, ArithmeticError or ValueError as the rule would have met
        them.

        Args:
            work: of which the passes know.
            given: what is returned; then what the rule's step returns, if anything.

        Returns:
            None where a stage asks tensors, or calls torch, or there is too much.
        """
        known = self._known.get(id(work))
        if known is None or known[0] is not work:
            if len(self._known) >= _MOST_PATTERNS:
                self._known.clear()
            count = self._made(work, given) if self._may else None
            self._known[id(work)] = known = work, count
        return known[1]

    def _made(self, work: Work, given: Sequence[int]) -> Count | None:
        plan, inputs = self._plan, len(self._plan.program.inputs)
        calls = [call for stage in work.calls for call in stage]
        if len(calls) > _MOST or any(asked for asked, _ in work.items):
            return None
        asked = [at for at in given if at >= inputs]
        for makes, _, _ in calls:
            if not isinstance(makes, int):
                return None
            asked += [makes, *work.given[makes]]
        if not all(at < plan.program.values for at in asked):
            return None
        if not all(isinstance(plan.types[at], str) for at in asked):
            return None
        passes = [one.numbers for one in self._passes]
        return _Writer(plan, work).function(passes, given)


class _Writer:
    def __init__(self, plan: Plan, work: Work) -> None:
        self._plan, self._work = plan, work
        self._made: set[int] = set()
        self._needed: dict[int, None] = {}
        self._names: dict[str, Any] = {"failed": GuardFailed}

    def function(self, passes: Sequence[Sequence[int]], given: Sequence[int]) -> Count:
        lines = []
        for stage, calls in enumerate(self._work.calls):
            for value, call, _ in calls:
                assert isinstance(value, int)
                lines.append(f"n{value} = {self._called(value, call)}")
                self._made.add(value)
            lines += self._guards(self._plan.stages[stage].guards)
        taken = "".join(f"{self._all(each)}, " for each in passes)
        none = "None" if self._plan.program.result is None else ""
        lines.append(f"return ({taken}), [{self._all(given)[1:-1]}{none}]")
        inputs = len(self._plan.program.inputs)
        first = [at for at in self._needed if at < inputs]
        then = [at for at in self._needed if at >= inputs]
        head = ", ".join(f"n{at}" for at in (*first, *then))
        text = f"def count({head}):\n " + "\n ".join(lines) + "\n"
        exec(compile(text, "<numbers>", "exec", dont_inherit=True), self._names)
        return _taking(self._names["count"], first, [at - inputs for at in then])

    def _name(self, value: int) -> str:
        if value not in self._made:
            self._needed[value] = None
        return f"n{value}"

    def _all(self, values: Sequence[int]) -> str:
        return "(" + "".join(f"{self._name(each)}, " for each in values) + ")"

    def _called(self, value: int, call: Callable[..., Any]) -> str:
        operation = self._plan.program.operation_of(value)
        assert operation is not None
        arguments = [self._name(each) for each in self._work.given[value]]
        template = _TRUTHS.get(operation.name)
        if self._plan.types[value] == "float":
            template = _FLOATS.get(operation.name)
        if template is not None:
            return template.format(*arguments)
        self._names[f"f{value}"] = call
        return f"f{value}({', '.join(arguments)})"

    def _guards(self, guards: Sequence[int]) -> list[str]:
        lines: dict[str, str] = {}
        for index in guards:
            guard = self._plan.program.guards[index]
            asked = self._name(self._work.same[guard.value])
            expected = "True" if guard.expected else "False"
            holds = f"if {asked} is not {expected}"
            lines.setdefault(holds, f"{holds}: raise failed({index})")
        return list(lines.values())


def _taking(
    count: Callable[..., Counted], inputs: Sequence[int], steady: Sequence[int]
) -> Count:
    first, then = picked(inputs), picked(steady)

    def counted(given: Sequence[Any], unchanged: Sequence[Any]) -> Counted:
        return count(*first(given), *then(unchanged))

    return counted

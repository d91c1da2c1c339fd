"""Numbers for the values of several programs: what is computed alike has one number."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dux_sandbox.recorded.forking import OF_PARAMETERS, shared
from dux_sandbox.recorded.program import (
    Guard,
    Input,
    Operation,
    Output,
    Place,
    Program,
    TensorType,
    ValueType,
)
from dux_sandbox.recorded.trees import leaves_of, renumbered
from dux_sandbox.recorded.typing_of import result_of


class Numbering:
    """All values so far, in an order in which they can be computed."""

    def __init__(self) -> None:
        """None yet."""
        self._known: dict[Any, int] = {}
        self._nodes: list[Input | Operation] = []
        self._kinds: list[ValueType] = []
        self._owners: list[int] = []

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self._nodes)

    def kind(self, value: int) -> ValueType:
        """The type of a value."""
        return self._kinds[value]

    def owner(self, value: int) -> int:
        """The parameter that a value hangs on; see `forking.Forks.owner`."""
        return self._owners[value]

    def operation(self, value: int) -> Operation | None:
        """The operation that makes a value; None for an input."""
        node = self._nodes[value]
        return node if isinstance(node, Operation) else None

    def numbers_of(self, program: Program) -> list[int]:
        """The number of each value of a program."""
        values = [self.input(each.place, each.type) for each in program.inputs]
        for each in program.operations:
            arguments = tuple(values[at] for at in each.arguments)
            values.append(self.add(each.name, arguments, each.attributes, each.line))
        return values

    def input(self, place: Place, kind: TensorType | str) -> int:
        """The value that is in a place when the step begins."""
        owner = int(place[1]) if place[0] in OF_PARAMETERS else shared([])
        return self._put((place, kind), Input(place, kind), kind, owner)

    def constant(self, value: float | int | bool) -> int:
        """The value of a number that never changes."""
        return self.add("constant", (), {"value": value}, None)

    def add(
        self,
        name: str,
        arguments: tuple[int, ...],
        attributes: Mapping[str, Any],
        line: int | None,
    ) -> int:
        """The value of an operation."""
        key = (name, arguments, repr(sorted(attributes.items())))
        if key in self._known:
            return self._known[key]
        kinds = tuple(self._kinds[each] for each in arguments)
        kind = result_of(name, kinds, attributes)
        owner = shared([self._owners[each] for each in arguments])
        return self._put(key, Operation(name, arguments, attributes, line), kind, owner)

    def _put(
        self, key: Any, node: Input | Operation, kind: ValueType, owner: int
    ) -> int:
        if key not in self._known:
            self._known[key] = len(self._nodes)
            self._nodes.append(node)
            self._kinds.append(kind)
            self._owners.append(owner)
        return self._known[key]

    def program(
        self,
        guards: Sequence[Guard],
        outputs: Mapping[Place, int],
        result: int | None,
        structure: Any,
    ) -> Program:
        """The program of some of these values, without what they do not need.

        Its guards are asked in their order, each as soon as it can be.
        """
        wanted = [each.value for each in guards]
        wanted += [*outputs.values(), *([] if result is None else [result])]
        wanted += [] if structure is None else leaves_of(structure)
        order = self._in_order(wanted)
        inputs = [each for each in order if isinstance(self._nodes[each], Input)]
        made = [each for each in order if isinstance(self._nodes[each], Operation)]
        new = {value: at for at, value in enumerate([*inputs, *made])}
        return Program(
            tuple(node for node in self._taken(inputs) if isinstance(node, Input)),
            tuple(
                Operation(
                    node.name,
                    tuple(new[each] for each in node.arguments),
                    node.attributes,
                    node.line,
                )
                for node in self._taken(made)
                if isinstance(node, Operation)
            ),
            tuple(Guard(new[x.value], x.expected, x.line) for x in guards),
            tuple(Output(place, new[value]) for place, value in outputs.items()),
            None if structure is None else renumbered(structure, new.__getitem__),
            None if result is None else new[result],
        )

    def _taken(self, values: Iterable[int]) -> list[Input | Operation]:
        return [self._nodes[each] for each in values]

    def _in_order(self, wanted: Sequence[int]) -> list[int]:
        """These and all that they are made of, arguments first."""
        found: dict[int, None] = {}
        waiting = list(reversed(wanted))
        while waiting:
            value = waiting[-1]
            operation = self.operation(value)
            missing = [
                each
                for each in (() if operation is None else operation.arguments)
                if each not in found
            ]
            if missing and value not in found:
                waiting += reversed(missing)
                continue
            found[waiting.pop()] = None
        return list(found)

"""Where tensors can be cut into parts, each of them some rows that follow each other.

`ring[n % 3] = gradient` writes one row of three, and `torch.cat` of all gradients is
read again slice by slice: for what goes with each other element by element it is the
same to have the rows apart, and nothing is copied then.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from dux_sandbox.recorded.kernels.fusing import DTYPES_OF_KERNELS
from dux_sandbox.recorded.kernels.groups import Sets
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import Operation, Program, TensorType, ValueType

_CUTTING = frozenset(["cat", "stack", "select", "slice"])
"""Operations of which rows come, or that make tensors of rows."""
SCATTERS = frozenset(["select_scatter", "slice_scatter"])
PRODUCTS = frozenset(["dot", "vdot"])
OF_ALL = frozenset(["sum", "mean", "norm", "amax", "amin"])
"""Reductions that are made of those of parts."""
_OF_ROWS = frozenset(["sum", "mean", "amax", "amin"])
_LEAST, _LARGE = 4, 1024
"""Elements of a part, and of one of a tensor that is made to be brought together."""
_MOST_ROWS, _MOST_PARTS, _MOST_MADE = 16, 1024, 100_000


def cuts_of(program: Program, types: Sequence[ValueType]) -> dict[int, tuple[int, ...]]:
    """The rows at which parts begin, and the end, of each value that is to be cut."""
    names = {each.name for each in program.operations}
    if program.structure is not None or names.isdisjoint(_CUTTING | SCATTERS):
        return {}
    return _Finding(program, types).cuts()


def rows_of(operation: Operation, rows: int) -> tuple[int, int] | None:
    """The rows that an operation takes, or writes to, if these follow each other."""
    given = operation.attributes
    if given["dim"] != 0:
        return None
    if operation.name.startswith("select"):
        at = given["index"] % rows
        return at, at + 1
    begin, end, step = given["start"], given["end"], given["step"]
    begin, end = (max(0, each + rows if each < 0 else each) for each in (begin, end))
    begin, end = min(begin, rows), min(end, rows)
    return (begin, end) if step == 1 and begin < end else None


class _Finding:
    """The values of a program, those together that have to be cut alike."""

    def __init__(self, program: Program, types: Sequence[ValueType]) -> None:
        self._program, self._types = program, types
        self._alike: Sets[int] = Sets()
        self._at: dict[int, set[int]] = defaultdict(set)
        self._rather: dict[int, set[int]] = defaultdict(set)
        self._whole: set[int] = set()
        self._taken: set[int] = set()
        self._given: list[tuple[int, tuple[int, ...]]] = []
        for value, kind in enumerate(types):
            if not isinstance(kind, TensorType) or kind.dtype not in DTYPES_OF_KERNELS:
                self._whole.add(value)
        for at, operation in enumerate(program.operations, len(program.inputs)):
            if not self._follow(at, operation):
                self._whole.update((at, *operation.arguments))
        self._go_out()

    def cuts(self) -> dict[int, tuple[int, ...]]:
        members: dict[int, list[int]] = defaultdict(list)
        for value in range(self._program.values):
            members[self._alike.top(value)].append(value)
        found: dict[int, tuple[int, ...]] = {}
        for together in members.values():
            if not self._whole.isdisjoint(together):
                continue
            at = {0, self._rows(together[0])}.union(*(self._at[x] for x in together))
            if len(at) > 2:
                at = at.union(*(self._rather[each] for each in together))
            if 2 < len(at) <= _MOST_PARTS and self._is_worth(together, len(at) - 1):
                found |= dict.fromkeys(together, tuple(sorted(at)))
        for value, ends in self._given:
            # What is put together is a part as it is, or nothing of it is cut.
            if value in found and not set(found[value]) <= set(ends):
                top = self._alike.top(value)
                found = {x: y for x, y in found.items() if self._alike.top(x) != top}
        return found if sum(map(len, found.values())) < _MOST_MADE else {}

    def _is_worth(self, together: Sequence[int], parts: int) -> bool:
        """Whether parts are large enough for what each costs; norms in a list, of which
        a norm is taken, are one call."""
        kind = self._types[together[0]]
        assert isinstance(kind, TensorType)
        in_place = together[0] < len(self._program.inputs)
        least = _LEAST if in_place or not self._taken.isdisjoint(together) else _LARGE
        return kind.elements >= least * parts

    def _rows(self, value: int) -> int:
        kind = self._types[value]
        return kind.shape[0] if isinstance(kind, TensorType) and kind.shape else 0

    def _tensors(self, values: Iterable[int]) -> list[tuple[int, TensorType]]:
        kinds = [(each, self._types[each]) for each in values]
        return [(at, kind) for at, kind in kinds if isinstance(kind, TensorType)]

    def _follow(self, value: int, operation: Operation) -> bool:
        """Note what an operation asks of its arguments and its result; False: that
        they are whole."""
        name, given = operation.name, operation.arguments
        if name in ("select", "slice"):
            rows = rows_of(operation, self._rows(given[0]))
            self._at[given[0]].update(rows or ())
            self._taken.add(given[0])
            return rows is not None and self._is_apart(value)
        if name in SCATTERS:
            rows = rows_of(operation, self._rows(given[0]))
            self._at[value].update(rows or ())
            self._alike.join(value, given[0])
            return rows is not None and self._is_apart(given[1])
        if name in ("cat", "stack"):
            return self._put_together(value, operation)
        if TABLE[name].room == "elementwise" or name == "full":
            return self._elementwise(value, operation)
        if name in PRODUCTS:
            self._alike.join(*given)
            return self._types[value] != self._types[given[0]] and self._is_whole(given)
        return self._reduced(operation)

    def _is_whole(self, values: Iterable[int]) -> bool:
        """Whether sums of these are exact enough to be made of parts."""
        exact = ("float32", "float64")
        return all(kind.dtype in exact for _, kind in self._tensors(values))

    def _is_apart(self, value: int) -> bool:
        """A value that is rows of another one is not cut itself."""
        self._whole.add(value)
        return True

    def _put_together(self, value: int, operation: Operation) -> bool:
        if operation.attributes["dim"] != 0 or len(operation.arguments) < 2:
            return False
        ends = [0]
        for each in operation.arguments:
            many = 1 if operation.name == "stack" else self._rows(each)
            ends.append(ends[-1] + many)
            self._is_apart(each)
        if len(set(ends)) < len(ends) or ends[-1] != self._rows(value):
            return False
        self._at[value].update(ends)
        self._given.append((value, tuple(ends)))
        return True

    def _elementwise(self, value: int, operation: Operation) -> bool:
        made = self._types[value]
        for at, kind in self._tensors(operation.arguments):
            if isinstance(made, TensorType) and kind.shape == made.shape:
                self._alike.join(value, at)
            elif kind.elements != 1:
                return False
        return True

    def _reduced(self, operation: Operation) -> bool:
        if operation.name not in OF_ALL or operation.attributes["keepdim"]:
            return False
        if operation.attributes.get("dtype") is not None:
            return False
        ((of, kind),) = self._tensors(operation.arguments)
        dims = operation.attributes["dim"]
        if not kind.shape or not self._is_whole([of]):
            return False
        if not dims or len({each % len(kind.shape) for each in dims}) == len(
            kind.shape
        ):
            return True
        is_of_rows = [each % len(kind.shape) for each in dims] == [0]
        if not is_of_rows or operation.name not in _OF_ROWS:
            return False
        if 2 <= kind.shape[0] <= _MOST_ROWS:
            # Alone it is no reason to cut anything.
            self._rather[of].update(range(kind.shape[0]))
            return True
        return False

    def _go_out(self) -> None:
        """What leaves the step is cut only where its place is there, and lies alike."""
        program = self._program
        inputs = {each.place: at for at, each in enumerate(program.inputs)}
        if program.result is not None:
            self._whole.add(program.result)
        seen: set[int] = set()
        for output in program.outputs:
            at = inputs.get(output.place)
            if at is None or self._types[at] != self._types[output.value]:
                self._whole.add(output.value)
            else:
                self._alike.join(at, output.value)
            if output.value in seen:
                self._whole.add(output.value)
            seen.add(output.value)

"""How long each value of a program is needed."""

from dux_sandbox.recorded.program import Program
from dux_sandbox.recorded.trees import leaves_of


def last_uses(program: Program) -> tuple[tuple[int, ...], ...]:
    """For each operation, the values that nothing needs once it is done.

    What the step writes, keeps or returns is needed to its end.
    """
    needed = {output.value for output in program.outputs}
    needed.update([] if program.structure is None else leaves_of(program.structure))
    needed.update([] if program.result is None else [program.result])
    ends: list[tuple[int, ...]] = []
    for at in reversed(range(len(program.operations))):
        used = {len(program.inputs) + at, *program.operations[at].arguments}
        ends.append(tuple(used - needed))
        needed |= used
    return tuple(reversed(ends))

"""Passes that only read, brought beside those that write the same large tensors.

A norm of each tensor by itself is wanted by no other one's writes: so both are done for
one after the other, and the second finds in a cache what the first has read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.cones import Strand
from dux_sandbox.recorded.kernels.groups import Groups

_WORTH = 1 << 20
"""Elements in all; fewer are in a cache as it is, and each call costs some time."""
_TURN = 1 << 18
"""Elements of what is done together, where there are many small tensors."""


@dataclass(frozen=True)
class Pass:
    """One kernel, and the strands that go through it."""

    chain: Chain
    strands: tuple[Strand, ...]


@dataclass(frozen=True)
class Stage:
    """What can be done once all earlier stages are.

    Attributes:
        plain: values that Python and torch compute, in order.
        guards: indices of guards that can be asked then.
        passes: kernels that run after that; what they make is there in the next stage.
    """

    plain: tuple[int, ...]
    guards: tuple[int, ...]
    passes: tuple[Pass, ...]


def together(strands: Sequence[tuple[Chain, Strand]]) -> tuple[Pass, ...]:
    """Strands of one chain are one call."""
    by_chain: dict[Chain, list[Strand]] = {}
    for chain, strand in strands:
        by_chain.setdefault(chain, []).append(strand)
    return tuple(Pass(chain, tuple(many)) for chain, many in by_chain.items())


def joined(
    stages: Sequence[Sequence[Pass]], memory: Callable[[int], int]
) -> tuple[Pass, ...] | None:
    """The passes of several stages, those of the same tensors after each other.

    Args:
        stages: each has to be over for some tensors before the next is done for them.
        memory: equal for buffers that are the same memory.

    Returns:
        In the order in which they are to be done; None where it brings nothing.
    """
    strands = [
        (stage, one.chain, strand)
        for stage, passes in enumerate(stages)
        for one in passes
        for strand in one.strands
    ]
    if not any(stages[:-1]) or sum(each.elements for *_, each in strands) < _WORTH:
        return None
    groups = Groups()
    for index, (_, _, strand) in enumerate(strands):
        groups.join(index, [memory(each) for each in strand.buffers])
    turns: list[list[int]] = [[]]
    held = 0
    for group in groups.of(range(len(strands))):
        turns[-1] += group
        held += max(strands[each][2].elements for each in group)
        if held >= _TURN:
            turns.append([])
            held = 0
    turns = [each for each in turns if each]
    if len(turns) == 1:
        return None
    made: list[Pass] = []
    for turn in turns:
        for wanted in range(len(stages)):
            chosen = [strands[each] for each in turn]
            made += together(
                [(chain, strand) for stage, chain, strand in chosen if stage == wanted]
            )
    return tuple(made)

"""Puts what a source lacks, written in blocks of their own, before it."""

import ast
from collections.abc import Sequence

from dux_prompts.reply_sources import Written, needed

Place = tuple[int, int]


def composed(blocks: Sequence[Written], main: int) -> str:
    """The source of the block `main` with the imports and helpers that it lacks.

    Of the other blocks come the statements that define a name which is used and not
    defined, and what these use in turn; nearest before it first, then after it. So
    nothing of a usage example comes along, nor an older version of the class.

    Args:
        blocks: of the reply, in order.
        main: index of the block that is the rule.
    """
    source = blocks[main].text
    lacking = needed(source)
    if not lacking or len(blocks) == 1:
        return source
    order = [*range(main - 1, -1, -1), *range(main + 1, len(blocks))]
    where, lines = _definitions(blocks, order)
    own = {name for names, _ in blocks[main].statements() for name in names}
    taken: set[Place] = set()
    left = sorted(lacking)
    while left:
        name = left.pop()
        place = where.get(name)
        if place is None or place in taken or name in own:
            continue
        taken.add(place)
        left += sorted(needed(lines[place]))
    if not taken:
        return source
    return _joined([lines[place] for place in sorted(taken)], blocks[main])


def _definitions(
    blocks: Sequence[Written], order: Sequence[int]
) -> tuple[dict[str, Place], dict[Place, str]]:
    """Where each name is defined last, by name; and the statement at each place."""
    where: dict[str, Place] = {}
    lines: dict[Place, str] = {}
    for block in order:
        here: dict[str, Place] = {}
        for number, (names, text) in enumerate(blocks[block].statements()):
            lines[block, number] = text
            here |= dict.fromkeys(names, (block, number))
        for name, place in here.items():
            where.setdefault(name, place)
    return where, lines


def _joined(helpers: list[str], main: Written) -> str:
    """Helpers and source; what Python wants at the beginning of a file stays there."""
    lines = main.text.split("\n")
    first = 0
    for node in main.tree.body if main.tree is not None else ():
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            first = node.end_lineno or first
    return "\n".join([*lines[:first], *helpers, "", "", *lines[first:]])

"""Changes of a text that leave every line where it is."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass


class CannotEdit(Exception):
    """A text does not hold what its tree says that it does, at that place."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(f"line {line} cannot be rewritten")


@dataclass(frozen=True)
class Edit:
    """One change.

    Attributes:
        start: line, 1-based, and byte in that line where it begins.
        end: likewise, where it ends.
        new: text without line ends that takes the place of what is there.
    """

    start: tuple[int, int]
    end: tuple[int, int]
    new: str

    @classmethod
    def of(cls, node: ast.expr | ast.stmt, new: str) -> Edit:
        """A node replaced by a text."""
        end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
        return cls((node.lineno, node.col_offset), end, new)


def edited(
    lines: list[str], edits: Iterable[Edit]
) -> tuple[list[str], dict[int, set[int]]]:
    """The lines with the edits made, of which none may overlap another.

    Returns:
        As many lines as before; and by the first line of each edit that spans several
        the lines that are left empty by it.
    """
    made = list(lines)
    emptied: dict[int, set[int]] = {}
    for edit in sorted(set(edits), key=lambda each: each.start, reverse=True):
        (first, begin), (last, end) = edit.start, edit.end
        before = made[first - 1].encode()[:begin].decode()
        after = made[last - 1].encode()[end:].decode()
        made[first - 1] = before + edit.new + after
        for line in range(first + 1, last + 1):
            made[line - 1] = ""
            emptied.setdefault(first, set()).add(line)
    return made, emptied


def text_at(lines: list[str], edit: Edit) -> str:
    """What stands where an edit is to be made, on one line; "" where it spans more."""
    if edit.start[0] != edit.end[0]:
        return ""
    return lines[edit.start[0] - 1].encode()[edit.start[1] : edit.end[1]].decode()


def renaming(lines: list[str], node: ast.Name, new: str) -> Edit:
    """An edit that gives a name another.

    Raises:
        CannotEdit: the name is not where the tree has it (inside some f-strings).
    """
    edit = Edit.of(node, new)
    if text_at(lines, edit) != node.id:
        raise CannotEdit(node.lineno)
    return edit

"""Two sources, line by line: what stays, what goes, what comes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

Kind = Literal["same", "gone", "new", "gap"]

_CONTEXT = 4  # unchanged lines shown around a change
# difflib's time grows with the product of the lengths.
_MOST_LINES = 2000


@dataclass(frozen=True)
class DiffLine:
    """One line of a diff.

    Attributes:
        kind: "same", "gone", "new", or "gap" for unchanged lines left out.
        old, new: 1-based numbers of the line in either source, or None.
        text: the line without its end; of a gap, what is left out.
    """

    kind: Kind
    old: int | None
    new: int | None
    text: str


def difference(incumbent: str | None, source: str) -> list[DiffLine] | None:
    """The way from the incumbent's source to another.

    Args:
        incumbent: None for the base optimizer, which has no source: all is new.
        source: the other.

    Returns:
        The lines; None where the sources are too long to be compared.
    """
    before = [] if incumbent is None else incumbent.splitlines()
    after = source.splitlines()
    if incumbent is None:
        return [DiffLine("new", None, at, line) for at, line in enumerate(after, 1)]
    if max(len(before), len(after)) > _MOST_LINES:
        return None
    lines: list[DiffLine] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, old, old_end, new, new_end in matcher.get_opcodes():
        if kind == "equal":
            lines += [
                DiffLine("same", old + 1 + at, new + 1 + at, before[old + at])
                for at in range(old_end - old)
            ]
            continue
        lines += [
            DiffLine("gone", at + 1, None, before[at]) for at in range(old, old_end)
        ]
        lines += [
            DiffLine("new", None, at + 1, after[at]) for at in range(new, new_end)
        ]
    return _without_the_middle(lines)


def changes(lines: list[DiffLine]) -> tuple[int, int]:
    """How many lines come and how many go."""
    kinds = [line.kind for line in lines]
    return kinds.count("new"), kinds.count("gone")


def _without_the_middle(lines: list[DiffLine]) -> list[DiffLine]:
    """Long stretches without a change become a gap."""
    near: set[int] = set()
    for place, line in enumerate(lines):
        if line.kind != "same":
            near.update(range(place - _CONTEXT, place + _CONTEXT + 1))
    kept: list[DiffLine] = []
    place = 0
    while place < len(lines):
        if place in near:
            kept.append(lines[place])
            place += 1
            continue
        end = place
        while end < len(lines) and end not in near:
            end += 1
        if end - place == 1:
            kept.append(lines[place])
        else:
            kept.append(DiffLine("gap", None, None, f"{end - place} lines as before"))
        place = end
    return kept

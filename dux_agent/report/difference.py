"""Two sources, line by line: what stays, what goes, what comes."""

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
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    lines: list[DiffLine] = []
    told = 0  # lines of the incumbent that are in `lines` so far
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        lines += _gap(told, group[0][1])
        for kind, old, old_end, new, new_end in group:
            if kind == "equal":
                pairs = zip(range(old, old_end), range(new, new_end), strict=True)
                lines += [
                    DiffLine("same", one + 1, other + 1, before[one])
                    for one, other in pairs
                ]
                continue
            lines += [
                DiffLine("gone", at + 1, None, before[at]) for at in range(old, old_end)
            ]
            lines += [
                DiffLine("new", None, at + 1, after[at]) for at in range(new, new_end)
            ]
        told = group[-1][2]
    return lines + _gap(told, len(before))


def changes(lines: list[DiffLine]) -> tuple[int, int]:
    """How many lines come and how many go."""
    kinds = [line.kind for line in lines]
    return kinds.count("new"), kinds.count("gone")


def _gap(begin: int, end: int) -> list[DiffLine]:
    count = end - begin
    if not count:
        return []
    return [DiffLine("gap", None, None, f"{count} line{'s' * (count > 1)} as before")]

"""A source that was put together from lines of files, and where each came from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dux_sandbox.findings import Finding

Origin = tuple[str, int]
# Where Python's parser ends a line; str.splitlines ends it at form feeds as well.
_ENDS = re.compile("\r\n|\r|\n")


@dataclass(frozen=True)
class Gathered:
    """One source and the place of each of its lines.

    Attributes:
        lines: without their ends.
        origins: for each line, the file it stands in and its number there.
    """

    lines: tuple[str, ...]
    origins: tuple[Origin, ...]

    @classmethod
    def of(cls, file: str, text: str) -> Gathered:
        """A file as it is."""
        lines = tuple(_ENDS.split(text))
        lines = lines if lines[-1] else lines[:-1]
        return cls(lines, tuple((file, at) for at in range(1, len(lines) + 1)))

    @property
    def text(self) -> str:
        """The source, every line ended."""
        return "".join(f"{line}\n" for line in self.lines)

    def origin(self, line: int) -> Origin:
        """Where a line of the source, 1-based, comes from."""
        at = min(max(line, 1), len(self.origins)) - 1
        return self.origins[at] if self.origins else ("", line)

    def only(self, numbers: Iterable[int]) -> Gathered:
        """These lines, 1-based, in the order in which they are named."""
        kept = list(numbers)
        return Gathered(
            tuple(self.lines[at - 1] for at in kept),
            tuple(self.origins[at - 1] for at in kept),
        )

    def with_line(self, after: int, text: str) -> Gathered:
        """With a line put in after so many; it counts as part of the next one."""
        origin = self.origins[min(after, len(self.origins) - 1)]
        return Gathered(
            (*self.lines[:after], text, *self.lines[after:]),
            (*self.origins[:after], origin, *self.origins[after:]),
        )

    def placed(self, finding: Finding) -> tuple[str | None, Finding]:
        """A finding with the line of the file it is about, and that file."""
        if finding.line is None:
            return None, finding
        file, line = self.origin(finding.line)
        return file, replace(finding, line=line)

"""What one class needs of a file, and its static check."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from dux_agent.checking.trying import Tried
from dux_agent.checking.vetted import Told, VettedClass
from dux_sandbox.findings import CheckReport, Finding
from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.outline import Outline, is_main_block, lines_of
from dux_sandbox.gathering.slicing import only_needed, part_of
from dux_sandbox.static_check import check

_BINDS = (
    *(ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom),
    *(ast.Assign, ast.AnnAssign, ast.Pass),
)


@dataclass(frozen=True)
class Part:
    """What one class needs, and its static check.

    Attributes:
        unjudged: notes on what is part of no class of the file.
    """

    file: str
    name: str | None
    lines: Gathered
    text: str
    report: CheckReport
    unjudged: tuple[Told, ...] = ()

    @classmethod
    def of(
        cls, file: str, source: str, whole: Gathered, about: Outline, name: str
    ) -> Part:
        """The part of a source that is judged for a class."""
        lines = part_of(whole, about, name)
        # A file that is judged as it is keeps its own line ends, and its digest.
        plain = lines.lines == Gathered.of(file, source).lines
        return cls.judged(file, name, lines, source if plain else lines.text)

    @classmethod
    def judged(cls, file: str, name: str | None, lines: Gathered, text: str) -> Part:
        """Check a text whose lines come from files."""

        def where(line: int) -> str:
            origin, number = lines.origin(line)
            return str(number) if origin == file else f"{number} of {origin}"

        return cls(file, name, lines, text, check(text, where=where))

    def alone(self, whole: Gathered, about: Outline) -> Part:
        """The class and what it uses, without anything else of the file."""
        if self.report.ok or self.name is None:
            return self
        lines = only_needed(whole, about, [self.name])
        return Part.judged(self.file, self.name, lines, lines.text)

    def told(self, findings: Sequence[Finding]) -> tuple[Told, ...]:
        """Findings about the text, at the lines of the files it is made of."""
        placed = [self.lines.placed(finding) for finding in findings]
        return tuple(Told(file or self.file, finding) for file, finding in placed)

    def vetted(self, tried: Tried | None) -> VettedClass:
        """With what came of the dry run."""
        report = None if tried is None else tried.report
        found = () if report is None else report.findings
        notes = () if tried is None else tried.notes
        return VettedClass(
            self.name,
            self.text,
            self.report,
            self.told([*self.report.findings, *found]),
            (*self.told([*self.report.notes, *notes]), *self.unjudged),
            report,
            None if tried is None else tried.recorded,
            self._unrecorded(tried),
        )

    def _unrecorded(self, tried: Tried | None) -> Told | None:
        if tried is None or tried.unrecorded is None:
            return None
        return self.told([tried.unrecorded])[0]


def with_less(part: Part, whole: Gathered, about: Outline, joined: bool) -> Part:
    """A class without what it does not use, where that is accepted and the whole not.

    Nothing of the file may be lost by that but definitions, imports and constants. Of a
    file by itself, nothing but what stands in functions and classes may be the trouble:
    an import is a line to take out.
    """
    alone = part.alone(whole, about)
    held = set(alone.lines.origins)
    lost = [
        each
        for each in about.tree.body
        if held.isdisjoint(whole.origin(line) for line in lines_of(each))
    ]
    defined = {
        whole.origin(line)
        for each in lost
        if isinstance(each, (ast.FunctionDef, ast.ClassDef))
        for line in lines_of(each)
    }
    faults = {part.lines.origin(each.line or 0) for each in part.report.findings}
    spared = joined or faults <= defined
    binds = all(map(_only_binds, lost))
    return alone if spared and alone.report.ok and binds else part


def _only_binds(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Try, ast.If)):
        inside = [each for each in ast.walk(statement) if isinstance(each, ast.stmt)]
        within = (each for each in inside if not isinstance(each, (ast.Try, ast.If)))
        return is_main_block(statement) or all(map(_only_binds, within))
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, _BINDS)

"""A file as the static check sees it: each of its optimizers, with what it needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dux_agent.checking.strangers import stranger_finding
from dux_agent.checking.trying import Tried
from dux_agent.checking.vetted import Told, VettedClass
from dux_agent.errors import BadArgument
from dux_sandbox.findings import CheckReport, Finding
from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.joining import Joined, join
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.gathering.outline import Outline, is_main_block, lines_of, outline
from dux_sandbox.gathering.reading import CannotJoin
from dux_sandbox.gathering.scripts import signs_of, told
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
        )


def _own(file: str, whole: Gathered, about: Outline, names: Sequence[str]) -> list[str]:
    """Those of the classes that stand in the file itself, and not in one beside it."""
    return [
        name
        for name in names
        if whole.origin(about.bindings.classes[name].lineno)[0] == file
    ]


def _chosen(
    file: str, names: Sequence[str], whole: Gathered, about: Outline | None
) -> list[str]:
    """The classes that are meant: the optimizers, or else the last base of some."""
    rules = [] if about is None else _own(file, whole, about, about.rules)
    bases = [] if about is None else _own(file, whole, about, about.bases)
    if not names:
        return rules or bases[-1:]
    known = [*rules, *bases]
    for name in names:
        if name not in known:
            held = f"it has {', '.join(known)}" if known else "it has none"
            raise BadArgument(
                f"--class {name}: {file} has no optimizer of that name; {held}; name a "
                f"class that is built on torch.optim.Optimizer."
            )
    return list(dict.fromkeys(names))


def _without_optimizer(held: Read) -> Read:
    text = held.whole.text if held.beside else held.text
    part = Part.judged(held.file, None, held.whole, text)
    if held.about is None:
        return replace(held, parts=(part,))
    signs = signs_of(held.about)
    if signs:
        found = _script(held.file, told(signs), signs[0].line, [])
        nothing = replace(part, report=replace(part.report, findings=()))
        return replace(held, parts=(nothing,), signs=told(signs), found=(found,))
    strangers = [
        stranger_finding(held.about, name, base) for name, base in held.about.strangers
    ]
    rest = [
        finding
        for finding in part.report.findings
        if not (strangers and finding.rule == "contract" and finding.line is None)
    ]
    report = replace(part.report, findings=(*strangers, *rest))
    return replace(held, parts=(replace(part, report=report),))


def _script(file: str, signs: str, line: int, parts: Sequence[Part]) -> Told:
    fine = [part.name for part in parts if part.report.ok and part.name is not None]
    instead = "put the optimizer into a file of its own"
    if fine:
        instead = (
            f"put {' and '.join(fine)} into a file of its own; "
            f"`dux check --fix {file}` does so"
        )
    message = f"a whole script and no optimizer file: {signs}"
    return Told(file, Finding("script", line, message, instead))


@dataclass(frozen=True)
class Read:
    """A file as the static check sees it.

    Attributes:
        file: as it was named.
        text: what it holds.
        whole: that, and what it uses of the files beside it.
        about: the top level of the whole; None where it cannot be read.
        parts: for each optimizer that is meant, what it needs.
        signs: what makes it a whole script; "" where it is none.
        found: what speaks against the file and not against one class.
        beside: files that are part of the whole.
    """

    file: str
    text: str
    whole: Gathered
    about: Outline | None = None
    parts: tuple[Part, ...] = ()
    signs: str = ""
    found: tuple[Told, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the static check accepts it."""
        every = all(part.report.ok for part in self.parts)
        return bool(self.parts) and every and not self.found


def read(
    file: str,
    text: str,
    *,
    names: Sequence[str] = (),
    beside: Sequence[SourceFile] = (),
) -> Read:
    """Judge every optimizer of a file without running anything; see `vet`.

    Raises:
        BadArgument: a name is no optimizer of the file.
    """
    try:
        joined, without = _joined(file, text, beside)
    except CannotJoin as error:
        found = Told(error.file, error.finding)
        return Read(file, text, Gathered.of(file, text), found=(found,))
    whole = joined.source
    about = outline(whole.text)
    chosen = _chosen(file, names, whole, about)
    held = Read(file, text, whole, about, beside=joined.files)
    if about is None or not chosen:
        return _without_optimizer(held)
    parts = [Part.of(file, text, whole, about, name) for name in chosen]
    if joined.files:
        parts = [_with_less(part, whole, about) for part in parts]
    if not all(part.report.ok for part in parts):
        alone = outline(text)
        signs = [] if alone is None else signs_of(alone)
        if signs:
            parts = [part.alone(whole, about) for part in parts]
            found = _script(file, told(signs), signs[0].line, parts)
            held = replace(held, signs=told(signs), found=(found,))
    if not names and not held.signs:
        lost = _in_none_of([part.lines for part in parts], whole, about)
        parts[-1] = replace(parts[-1], unjudged=(*without, *lost))
    return replace(held, parts=tuple(parts))


def _joined(
    file: str, text: str, beside: Sequence[SourceFile]
) -> tuple[Joined, list[Told]]:
    """A file and what it uses of others, or what its optimizers use of it and others.

    Returns:
        What was joined, and a note on each statement that was left out before that.

    Raises:
        CannotJoin: what those use cannot be had.
    """
    try:
        return join(SourceFile(file, text), beside), []
    except CannotJoin:
        about = outline(text)
        if about is None or not (about.rules or about.strangers):
            raise
        named = [*about.rules, *(name for name, _ in about.strangers)]
        every = Gathered.of(file, text)
        less = only_needed(every, about, named)
        made = join(SourceFile(file, less.text), beside)
        origins = tuple(
            less.origin(line) if name == file else (name, line)
            for name, line in made.source.origins
        )
        source = replace(made.source, origins=origins)
        without = list(_in_none_of([less], every, about))
        return replace(made, source=source), without


def _with_less(part: Part, whole: Gathered, about: Outline) -> Part:
    """A class without what it does not use, where that is accepted and the whole not.

    Nothing of the file may be lost by that but definitions, imports and constants.
    """
    alone = part.alone(whole, about)
    held = set(alone.lines.origins)
    lost = [
        each
        for each in about.tree.body
        if held.isdisjoint(whole.origin(line) for line in lines_of(each))
    ]
    return alone if alone.report.ok and all(map(_only_binds, lost)) else part


def _only_binds(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Try, ast.If)):
        inside = [each for each in ast.walk(statement) if isinstance(each, ast.stmt)]
        within = (each for each in inside if not isinstance(each, (ast.Try, ast.If)))
        return is_main_block(statement) or all(map(_only_binds, within))
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, _BINDS)


def _in_none_of(
    parts: Sequence[Gathered], whole: Gathered, about: Outline
) -> Iterator[Told]:
    """A note on each statement that is in no part of a source.

    One that uses something of every class, as a list of them, is in none: each class is
    judged without what the others need.
    """
    held = {origin for part in parts for origin in part.origins}
    for statement in about.tree.body:
        places = [whole.origin(line) for line in lines_of(statement)]
        if not is_main_block(statement) and held.isdisjoint(places):
            file, line = places[0]
            message = "a statement that no class uses"
            yield Told(file, Finding("left out", line, message, "leave it out"))

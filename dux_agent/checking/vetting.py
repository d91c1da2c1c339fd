"""`dux check`: is an optimizer in a file allowed, and does it do no harm?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dux_agent.checking.advice import stranger_finding
from dux_agent.checking.vetted import Told, Vetted, VettedClass
from dux_agent.errors import BadArgument, DuxError
from dux_sandbox.findings import CheckReport, DryRunReport, Finding, digest_of
from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.joining import join
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.gathering.outline import Outline, outline
from dux_sandbox.gathering.reading import CannotJoin
from dux_sandbox.gathering.scripts import signs_of, told
from dux_sandbox.gathering.slicing import only_needed, part_of
from dux_sandbox.static_check import check

if TYPE_CHECKING:
    from dux_agent.checking.trying import Trial

# Far beyond any source that the check accepts; a larger file is read no further.
_MOST_BYTES = 1 << 22


def read_source(file: str) -> str:
    """The text of a file.

    Raises:
        BadArgument: it is missing, unreadable, no ordinary file, or no UTF-8 text.
    """
    path = Path(file)
    wanted = "a Python file was wanted; name one that you can read"
    try:
        if path.exists() and not path.is_file():
            raise BadArgument(f"{file} is no ordinary file; {wanted}.")
        with path.open("rb") as held:
            content = held.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, BadArgument):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise BadArgument(f"{file} cannot be read: {why}; {wanted}.") from None
    try:
        # A byte order mark is no part of the source.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A long text is cut anywhere; it is refused for its length further on.
        if len(content) == _MOST_BYTES and error.start > _MOST_BYTES - 4:
            return content[: error.start].decode("utf-8-sig")
        raise BadArgument(
            f"{file} is no UTF-8 text (byte {error.start}); {wanted}."
        ) from None


def vet(
    file: str,
    source: str,
    *,
    static: bool = False,
    names: Sequence[str] = (),
    beside: Sequence[SourceFile] = (),
    trial: Trial | None = None,
) -> Vetted:
    """Judge every optimizer of a file: a static check, then a dry run.

    Args:
        file: where the source lies; so it is called in findings.
        source: its text.
        static: only read the source; run nothing.
        names: the classes that are meant; all of them by default.
        beside: files that it may import; what it uses of them is judged with it.
        trial: what the dry run is made on; a small built-in model by default.

    Raises:
        BadArgument: a name is no optimizer of the file.
        DuxError: no process for the dry run can be had on this system.
    """
    digest = digest_of(source)
    try:
        joined = join(SourceFile(file, source), beside)
    except CannotJoin as error:
        found = Told(error.file, error.finding)
        return Vetted(file, "optimizer", digest, about=(found,))
    whole = joined.source
    about = outline(whole.text)
    own = [] if about is None else _own_rules(file, whole, about)
    chosen = _chosen(file, names, own, about)
    if about is None or not chosen:
        return _without_optimizer(file, source, whole, about, joined.files)
    parts = [_Part.of(file, source, whole, about, name) for name in chosen]
    kind, told_of_file = "optimizer", []
    if not all(part.report.ok for part in parts):
        alone = outline(source)
        signs = [] if alone is None else signs_of(alone)
        if signs:
            kind = "script"
            parts = [part.alone(whole, about) for part in parts]
            told_of_file = [_script(file, told(signs), signs[0].line, parts)]
    vetted = []
    for part in parts:
        tried = None
        if part.report.ok and not static:
            tried = _tried(part.text, trial)
        vetted.append(part.vetted(tried))
    return Vetted(file, kind, digest, tuple(vetted), tuple(told_of_file), joined.files)


@dataclass(frozen=True)
class _Part:
    """What one class needs, and its static check."""

    file: str
    name: str | None
    lines: Gathered
    text: str
    report: CheckReport

    @classmethod
    def of(
        cls, file: str, source: str, whole: Gathered, about: Outline, name: str
    ) -> _Part:
        """The part of a source that is judged for a class."""
        lines = part_of(whole, about, name)
        # A file that is judged as it is keeps its own line ends, and its digest.
        plain = lines.lines == Gathered.of(file, source).lines
        return cls.judged(file, name, lines, source if plain else lines.text)

    @classmethod
    def judged(cls, file: str, name: str | None, lines: Gathered, text: str) -> _Part:
        """Check a text whose lines come from files."""

        def where(line: int) -> str:
            origin, number = lines.origin(line)
            return str(number) if origin == file else f"{number} of {origin}"

        return cls(file, name, lines, text, check(text, where=where))

    def alone(self, whole: Gathered, about: Outline) -> _Part:
        """The class and what it uses, without anything else of the file."""
        if self.report.ok or self.name is None:
            return self
        lines = only_needed(whole, about, [self.name])
        return _Part.judged(self.file, self.name, lines, lines.text)

    def told(self, findings: Sequence[Finding]) -> tuple[Told, ...]:
        """Findings about the text, at the lines of the files it is made of."""
        placed = [self.lines.placed(finding) for finding in findings]
        return tuple(Told(file or self.file, finding) for file, finding in placed)

    def vetted(self, tried: DryRunReport | None) -> VettedClass:
        """With what came of the dry run."""
        found = () if tried is None else tried.findings
        return VettedClass(
            self.name,
            self.text,
            self.report,
            self.told([*self.report.findings, *found]),
            self.told(self.report.notes),
            tried,
        )


def _own_rules(file: str, whole: Gathered, about: Outline) -> list[str]:
    """The optimizers that stand in the file itself, and not in one beside it."""
    return [
        name
        for name in about.rules
        if whole.origin(about.bindings.classes[name].lineno)[0] == file
    ]


def _chosen(
    file: str, names: Sequence[str], own: list[str], about: Outline | None
) -> list[str]:
    if not names:
        return own or list(() if about is None else about.bases[-1:])
    known = [*own, *(() if about is None else about.bases)]
    for name in names:
        if name not in known:
            held = f"it has {', '.join(known)}" if known else "it has none"
            raise BadArgument(
                f"--class {name}: {file} has no optimizer of that name; {held}; name a "
                f"class that is built on torch.optim.Optimizer."
            )
    return list(dict.fromkeys(names))


def _without_optimizer(
    file: str,
    source: str,
    whole: Gathered,
    about: Outline | None,
    beside: tuple[str, ...],
) -> Vetted:
    part = _Part.judged(file, None, whole, whole.text if beside else source)
    vetted = part.vetted(None)
    signs = [] if about is None else signs_of(about)
    digest = digest_of(source)
    if signs:
        said = [_script(file, told(signs), signs[0].line, [])]
        kept = replace(vetted, findings=())
        return Vetted(file, "script", digest, (kept,), tuple(said), beside)
    strangers = () if about is None else about.strangers
    found = [
        Told(*_placed(whole, file, stranger_finding(about, name, base)))
        for name, base in strangers
        if about is not None
    ]
    rest = [
        one
        for one in vetted.findings
        if not (found and one.finding.rule == "contract" and one.finding.line is None)
    ]
    vetted = replace(vetted, findings=(*found, *rest))
    kind = "optimizer" if strangers else "other"
    return Vetted(file, kind, digest, (vetted,), (), beside)


def _placed(whole: Gathered, file: str, finding: Finding) -> tuple[str, Finding]:
    """A finding about a line of a source, with the file that the line is of."""
    origin, placed = whole.placed(finding)
    return origin or file, placed


def _script(file: str, signs: str, line: int, parts: Sequence[_Part]) -> Told:
    fine = [part.name for part in parts if part.report.ok and part.name is not None]
    instead = "put the optimizer into a file of its own"
    if fine:
        instead = (
            f"put {' and '.join(fine)} into a file of its own; "
            f"`dux check --fix {file}` does so"
        )
    message = f"a whole script and no optimizer file: {signs}"
    return Told(file, Finding("script", line, message, instead))


def _tried(source: str, trial: Trial | None) -> DryRunReport:
    from dux_agent.checking.trying import built_in, try_out
    from dux_sandbox.process.spawning import IsolationUnavailable

    try:
        return try_out(source, trial or built_in())
    except IsolationUnavailable as error:
        raise DuxError(f"{error}; pass --static to read the source only.") from None

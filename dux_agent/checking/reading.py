"""A file as the static check sees it: each of its optimizers, with what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dux_agent.checking.given_options import GivenOptions
from dux_agent.checking.parts import Part, with_less
from dux_agent.checking.strangers import stranger_finding
from dux_agent.checking.vetted import Told
from dux_agent.errors import BadArgument
from dux_sandbox.findings import Finding
from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.joining import Joined, join
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.gathering.outline import Outline, is_main_block, lines_of, outline
from dux_sandbox.gathering.reading import CannotJoin
from dux_sandbox.gathering.scripts import signs_of, told
from dux_sandbox.gathering.slicing import only_needed

_OWN = GivenOptions()


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
    options: GivenOptions = _OWN,
) -> Read:
    """Judge every optimizer of a file without running anything; see `vet`.

    Raises:
        BadArgument: a name is no optimizer of the file, or an option no argument of its
            constructors.
    """
    changed, given = options.put_into(file, text)
    try:
        joined, without = _joined(file, changed, beside)
    except CannotJoin as error:
        found = Told(error.file, error.finding)
        return Read(file, text, Gathered.of(file, text), found=(found,))
    whole = joined.source
    about = outline(whole.text)
    chosen = _chosen(file, names, whole, about)
    held = Read(file, text, whole, about, beside=joined.files)
    if about is None or not chosen:
        return _without_optimizer(held)
    parts = [Part.of(file, changed, whole, about, name) for name in chosen]
    parts = [with_less(part, whole, about, bool(joined.files)) for part in parts]
    if not all(part.report.ok for part in parts):
        alone = outline(changed)
        signs = [] if alone is None else signs_of(alone)
        if signs:
            parts = [part.alone(whole, about) for part in parts]
            found = _script(file, told(signs), signs[0].line, parts)
            held = replace(held, signs=told(signs), found=(found,))
    if not names and not held.signs:
        lost = _in_none_of([part.lines for part in parts], whole, about)
        given = [*given, *without, *lost]
    parts[-1] = replace(parts[-1], unjudged=tuple(given))
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

"""`mend`: rewrite a source until the static check accepts its optimizers."""

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.gathered import Gathered, Origin
from dux_sandbox.gathering.outline import lines_of, outline
from dux_sandbox.gathering.slicing import part_of
from dux_sandbox.mending import (
    computed,
    decorators,
    enumerations,
    exceptions,
    flags,
    names,
    out_arguments,
    processes,
    signatures,
    substitutions,
    talk,
    unused,
)
from dux_sandbox.mending.draft import Change, Draft, Rewrite
from dux_sandbox.static_check import check

Rule = Callable[[Draft, Iterable[Finding]], Rewrite]
# Of every source, whatever is found in it.
ALWAYS: tuple[Rule, ...] = (decorators.speeding, out_arguments.copied, unused.imports)
# Of what is refused, one after another, the mildest first.
WHERE_REFUSED: tuple[Rule, ...] = (
    unused.beside,
    processes.alone,
    computed.written_down,
    talk.silenced,
    flags.left_out,
    signatures.hints,
    substitutions.of_packages,
    exceptions.plain,
    enumerations.plain,
    names.of_methods,
    names.of_the_module,
    unused.methods,
    decorators.refused,
    names.missing,
)
_MOST_TURNS = 40


@dataclass(frozen=True)
class Mended:
    """A source after every rule of thumb that applies.

    Attributes:
        source: its lines and where they come from.
        changes: what was done.
        findings: what still speaks against it, at lines of the files.
    """

    source: Gathered
    changes: tuple[Change, ...]
    findings: tuple[tuple[str | None, Finding], ...]

    @property
    def ok(self) -> bool:
        """Whether the static check accepts it."""
        return not self.findings


def mend(
    source: Gathered,
    rules: Sequence[str],
    *,
    script: bool = False,
    left: Iterable[Origin] = (),
    values: Mapping[str, str] | None = None,
    idle: Mapping[str, str] | None = None,
) -> Mended | None:
    """Rewrite a source; None where it cannot be read.

    Args:
        source: its lines and where they come from.
        rules: the classes that are to become acceptable.
        script: whether everything that they do not use is to go.
        left: lines that are to stay as they are.
        values: literals of what constants of the module are known to be.
        idle: what classes raise that take no step; they are to go.
    """
    about = outline(source.text)
    if about is None:
        return None
    draft = Draft(source, about, tuple(rules), (), frozenset(left), values or {})
    if script:
        draft = _with(draft, unused.script, ()) or draft
    if idle:
        draft = draft.with_rewrite(unused.idle(draft, idle)) or draft
    for rule in ALWAYS:
        draft = _again(draft, rule)
    for _ in range(_MOST_TURNS):
        findings = found_in(draft)
        if not findings:
            break
        made = next(
            (made for rule in WHERE_REFUSED if (made := _with(draft, rule, findings))),
            None,
        )
        if made is None:
            break
        draft = _again(made, unused.imports)
    draft = _without_unjudged(source, draft)
    placed = tuple(draft.source.placed(finding) for finding in found_in(draft))
    changes = sorted(draft.changes, key=lambda change: change.origin)
    return Mended(draft.source, tuple(changes), placed)


def _again(draft: Draft, rule: Rule) -> Draft:
    """A rule until it finds no more."""
    for _ in range(_MOST_TURNS):
        made = _with(draft, rule, ())
        if made is None:
            return draft
        draft = made
    return draft


def _with(draft: Draft, rule: Rule, findings: Iterable[Finding]) -> Draft | None:
    rewrite = rule(draft, findings)
    return draft.with_rewrite(rewrite) if rewrite else None


def _without_unjudged(source: Gathered, draft: Draft) -> Draft:
    """A rewrite without what no class is judged with, where a rule may not say that.

    It would run when the rewrite is imported, and would have been seen by nobody.
    """
    joined = len({file for file, _ in source.origins}) > 1
    for _ in range(_MOST_TURNS):
        if not (draft.changes or joined):
            break  # nothing is going to be written
        made = _with(draft, unused.beside, _against_the_rest(draft))
        if made is None:
            break
        draft = _again(made, unused.imports)
    return draft


def _against_the_rest(draft: Draft) -> list[Finding]:
    """What speaks against statements that none of the classes uses.

    They are put before the classes: behind them they would be left out.
    """
    needed = draft.about.needed(draft.rules)
    imports = (ast.Import, ast.ImportFrom)
    first, early, late = set[int](), set[int](), set[int]()
    for at, each in enumerate(draft.tree.body):
        begins = at == 0 or isinstance(each, imports)
        lines = first if begins else late if each in needed else early
        lines |= set(lines_of(each))
    early -= first
    order = [*sorted(first), *sorted(early), *sorted(late - early - first)]
    return _at_lines_of(draft, draft.source.only(order))


def _at_lines_of(draft: Draft, part: Gathered) -> list[Finding]:
    """What the static check finds in a part, at lines of the draft."""
    line_of = {origin: at for at, origin in enumerate(draft.source.origins, 1)}
    found = []
    for finding in check(part.text).findings:
        if finding.line is not None:
            line = line_of.get(part.origin(finding.line), finding.line)
            finding = Finding(finding.rule, line, finding.message, finding.instead)
        found.append(finding)
    return found


def found_in(draft: Draft) -> list[Finding]:
    """What speaks against any of the classes, at lines of the draft."""
    found: dict[Finding, None] = {}
    for rule in draft.rules:
        part = part_of(draft.source, draft.about, rule)
        found.update(dict.fromkeys(_at_lines_of(draft, part)))
    return list(found)

"""A source on its way to being acceptable, and what was changed in it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.gathered import Gathered, Origin
from dux_sandbox.gathering.outline import Outline, lines_of, outline
from dux_sandbox.gathering.scopes import Scope, scopes_of
from dux_sandbox.gathering.text_edits import Edit, edited, text_at

Statements = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Change:
    """One thing that was rewritten.

    Attributes:
        origin: the file and the line that it stood in.
        what: what was done, in a few words.
        past: a line that a comparison of steps has to come past, for the change to have
            been tried; None where it changes no step.
    """

    origin: Origin
    what: str
    past: Origin | None = None


@dataclass(frozen=True)
class Rewrite:
    """What one rule of thumb wants changed.

    Attributes:
        edits: texts to put in place of others.
        gone: statements to take out; a body that is left empty gets `pass`.
        added: lines to put in, by the line of the draft that they come before.
        told: by the line of the draft, what was done, and the line that has to be run
            for it to be tried, or None.
    """

    edits: tuple[Edit, ...] = ()
    gone: tuple[ast.stmt, ...] = ()
    told: tuple[tuple[int, str, int | None], ...] = ()
    added: tuple[tuple[int, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.edits or self.gone or self.added)


@dataclass(frozen=True)
class Draft:
    """One state of a source.

    Attributes:
        source: its lines and where they come from.
        about: its top level.
        rules: the classes that are to become acceptable.
        changes: what was done so far.
        left: lines of files that are to stay as they are.
        values: literals of what constants of the module are known to be.
    """

    source: Gathered
    about: Outline
    rules: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    left: frozenset[Origin] = field(default_factory=frozenset)
    values: Mapping[str, str] = field(default_factory=dict)

    def first_import(self) -> int:
        """The line of the first import that is there, but for those from the future."""
        for node in self.tree.body:
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not future:
                return node.lineno
        return 1

    @property
    def tree(self) -> ast.Module:
        """As it was parsed."""
        return self.about.tree

    @functools.cached_property
    def scopes(self) -> list[Scope]:
        """Its scopes, the module's first."""
        return scopes_of(self.tree)

    @functools.cached_property
    def bodies(self) -> dict[ast.stmt, list[ast.stmt]]:
        """By statement, the body it stands in."""
        found: dict[ast.stmt, list[ast.stmt]] = {}
        for node in ast.walk(self.tree):
            for name in ("body", "orelse", "finalbody"):
                held = getattr(node, name, None)
                if isinstance(held, list):
                    found.update((each, held) for each in held)
        return found

    def may_touch(self, line: int) -> bool:
        """Whether a line of the draft is not one that is to stay."""
        return self.source.origin(line) not in self.left

    def with_rewrite(self, rewrite: Rewrite) -> Draft | None:
        """The draft with a rewrite made; None where it would not be Python any more."""
        edits, gone = list(rewrite.edits), set(rewrite.gone)
        out: set[int] = set()
        for statement in rewrite.gone:
            body = self.bodies[statement]
            if all(each in gone for each in body) and body is not self.tree.body:
                if statement is body[0]:
                    edits.append(_passing(statement))
                    out |= set(lines_of(statement)) - {lines_of(statement).start}
                    continue
            shared = {
                line for each in body if each not in gone for line in lines_of(each)
            }
            out |= set(lines_of(statement)) - shared
            if set(lines_of(statement)) & shared:
                edits.append(Edit.of(statement, "pass"))
        lines, emptied = edited(list(self.source.lines), edits)
        out |= {line for some in emptied.values() for line in some}
        out |= {edit.start[0] for edit in edits if not lines[edit.start[0] - 1].strip()}
        out |= self._over(rewrite.gone, out)
        kept = [at for at in range(1, len(lines) + 1) if at not in out]
        made = replace(self.source, lines=tuple(lines)).only(kept)
        for before, text in rewrite.added:
            made = made.with_line(sum(at < before for at in kept), text)
        about = outline(made.text)
        if about is None:
            return None
        told = tuple(
            Change(
                self.source.origin(line),
                what,
                None if past is None else self.source.origin(past),
            )
            for line, what, past in rewrite.told
        )
        changes = tuple(dict.fromkeys([*self.changes, *told]))
        return replace(self, source=made, about=about, changes=changes)

    def _over(self, gone: Iterable[ast.stmt], out: set[int]) -> set[int]:
        """Comments over what goes, and the empty lines that would be too many."""
        lines = self.source.lines
        more: set[int] = set()
        for statement in gone:
            at = lines_of(statement).start - 1
            indent = " " * statement.col_offset
            while at > 0 and lines[at - 1].startswith(f"{indent}#"):
                more.add(at)
                at -= 1
            empty_before = at == 0 or not lines[at - 1].strip()
            after = lines_of(statement).stop
            while empty_before and after <= len(lines) and not lines[after - 1].strip():
                more.add(after)
                after += 1
        return more | out

    def at(self, findings: Iterable[Finding]) -> set[int]:
        """The lines that findings are about, and those that use a refused import."""
        lines = {finding.line for finding in findings if finding.line is not None}
        names = self.refused(findings)
        lines |= {
            node.lineno
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and node.id in names
        }
        return lines

    def refused(self, findings: Iterable[Finding]) -> set[str]:
        """The names that refused imports bring."""
        lines = {finding.line for finding in findings if finding.line is not None}
        return {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Import, ast.ImportFrom)) and node.lineno in lines
            for alias in node.names
            if alias.name.partition(".")[0] != "torch" or alias.asname
        }

    def line_beside(self, node: ast.stmt, gone: Collection[ast.stmt] = ()) -> int:
        """A line that is run where a statement is: that of one before or after it.

        Where all of a block are gone, the line of what holds it.
        """
        body = self.bodies[node]
        at = body.index(node)
        for other in [*body[:at][::-1], *body[at + 1 :]]:
            if other not in gone:
                return other.lineno
        around = (each for each in ast.walk(self.tree) if isinstance(each, ast.stmt))
        holding = (each for each in around if node in ast.iter_child_nodes(each))
        return next(holding, node).lineno

    def written(self, node: ast.expr) -> str:
        """An expression as it stands in the source, where that is on one line."""
        return text_at(list(self.source.lines), Edit.of(node, "")) or ast.unparse(node)


def _passing(statement: ast.stmt) -> Edit:
    start = lines_of(statement).start
    begin = statement.col_offset
    end = statement.end_col_offset or 0
    last = statement.end_lineno or statement.lineno
    if start != statement.lineno:  # a decorator stands first, at the same indent
        return Edit((start, begin), (last, end), "pass")
    return Edit((statement.lineno, begin), (last, end), "pass")

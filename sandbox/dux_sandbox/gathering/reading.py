"""Reads a file that imports files at hand, or is imported by one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.modules import Files, SourceFile
from dux_sandbox.gathering.outline import Outline, outline
from dux_sandbox.gathering.scopes import Scope, scopes_of
from dux_sandbox.gathering.text_edits import Edit, edited
from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.fallbacks import FAILS

_Import = ast.Import | ast.ImportFrom


class CannotJoin(Exception):
    """Files cannot be made one source.

    Attributes:
        file: the file that the finding is about.
        finding: why.
    """

    def __init__(self, file: str, line: int | None, message: str, instead: str) -> None:
        self.file = file
        self.finding = Finding("import", line, message, instead)
        super().__init__(message)


@dataclass(frozen=True)
class Symbol:
    """A name at the top level of a file."""

    file: str
    name: str


@dataclass(frozen=True)
class Link:
    """What one name of a scope stands for: a symbol, or modules by dotted path.

    Attributes:
        symbol: what it is, where it is no module.
        modules: for the rest of a dotted path, "" among them, the file that it is.
        fault: why it stands for nothing; it matters where the name is used.
    """

    symbol: Symbol | None = None
    modules: tuple[tuple[str, str], ...] = ()
    fault: CannotJoin | None = None


@dataclass(eq=False)
class Module:
    """One file, read.

    Attributes:
        file: the file.
        lines: its lines, fallbacks of imports that are at hand taken out.
        about: its top level.
        scopes: its scopes, the module's first.
        links: by scope and name, what an import of a file at hand brings.
        assigned: import statements that become assignments: what is bound there is
            bound again elsewhere, or inside a function.
        matched: by statement, the aliases that mean files at hand.
        gone: lines that are left out.
        hints: imports that only type checkers follow.
    """

    file: SourceFile
    lines: list[str]
    about: Outline
    scopes: list[Scope]
    links: dict[tuple[Scope, str], Link] = field(default_factory=dict)
    assigned: dict[_Import, list[tuple[str, Symbol]]] = field(default_factory=dict)
    matched: dict[_Import, set[ast.alias]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    hints: set[_Import] = field(default_factory=set)

    @property
    def scope(self) -> Scope:
        """The module's own scope."""
        return self.scopes[0]


def read(file: SourceFile, files: Files) -> Module:
    """Read a file.

    Args:
        file: the file.
        files: those at hand.

    Raises:
        CannotJoin: it is no Python, or too large.
    """
    text = file.text.removeprefix("\ufeff")
    about = outline(text)
    lines = list(Gathered.of(file.name, text).lines)
    if about is None:
        raise CannotJoin(
            file.name,
            None,
            f"{file.name} cannot be read as Python within the size limits",
            "run `dux check` on it alone",
        )
    edits, gone = _fallbacks(file, files, about.tree, lines)
    if edits:
        lines, _ = edited(lines, edits)
        for at in gone:
            lines[at - 1] = ""
        again = outline("".join(f"{line}\n" for line in lines))
        about = again or about
    scopes = scopes_of(about.tree)
    return Module(file, lines, about, scopes, gone=gone, hints=_hints(about))


def _at_hand(file: SourceFile, files: Files, statement: _Import) -> bool:
    if isinstance(statement, ast.Import):
        names = [alias.name for alias in statement.names]
        return any(files.find(file, 0, name) for name in names)
    dotted, level = statement.module or "", statement.level
    names = [dotted, *(f"{dotted}.{each.name}" for each in statement.names)]
    names = [name.strip(".") for name in names]
    return any(files.find(file, level, name) for name in names if name)


def _fallbacks(
    file: SourceFile, files: Files, tree: ast.Module, lines: list[str]
) -> tuple[list[Edit], set[int]]:
    """`try:` round an import of a file at hand: it is there, so nothing fails."""
    edits: list[Edit] = []
    gone: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try) or not node.handlers:
            continue
        imports = [each for each in node.body if isinstance(each, _Import)]
        at_hand = [each for each in imports if _at_hand(file, files, each)]
        if not at_hand or not all(map(_catches_missing, node.handlers)):
            continue
        start = (node.lineno, node.col_offset)
        edits.append(Edit(start, (start[0], start[1] + 3), "if True"))
        last = node.handlers[-1].end_lineno or node.lineno
        gone |= set(range(node.handlers[0].lineno, last + 1))
        for block in (node.orelse, node.finalbody):
            if block:
                edits += _keyword(lines, last, block[0].lineno)
                last = block[-1].end_lineno or last
    return edits, gone


def _catches_missing(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return handler.type is None or any(
        isinstance(kind, ast.Name) and kind.id in FAILS for kind in kinds
    )


def _keyword(lines: list[str], after: int, before: int) -> Iterator[Edit]:
    """`else:` or `finally:` between two lines, made `if True:`."""
    for at in range(after + 1, before + 1):
        bare = lines[at - 1].lstrip()
        for word in ("else", "finally"):
            if bare.startswith(word):
                begin = len(lines[at - 1]) - len(bare)
                yield Edit((at, begin), (at, begin + len(word)), "if True")
                return


def _hints(about: Outline) -> set[_Import]:
    """Imports under `if TYPE_CHECKING:`, which never run."""
    aliases = {**about.bindings.modules, "typing": "typing"}
    aliases["TYPE_CHECKING"] = "typing.TYPE_CHECKING"
    return {
        each
        for node in ast.walk(about.tree)
        if isinstance(node, ast.If)
        and (path_of(node.test, aliases) or "").endswith(".TYPE_CHECKING")
        for statement in node.body
        for each in ast.walk(statement)
        if isinstance(each, _Import)
    }

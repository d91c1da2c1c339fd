"""Makes one source of a file and the files beside it that it imports."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dux_sandbox.gathering.choosing import Choice
from dux_sandbox.gathering.gathered import Gathered, Origin
from dux_sandbox.gathering.linking import Linker
from dux_sandbox.gathering.modules import Files, Shelf, SourceFile
from dux_sandbox.gathering.outline import lines_of, parsed
from dux_sandbox.gathering.reading import CannotJoin, Module, Symbol
from dux_sandbox.gathering.scopes import Scope
from dux_sandbox.gathering.text_edits import CannotEdit, Edit, edited, renaming

_Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Joined:
    """One source made of several files.

    Attributes:
        source: its lines, and where each comes from.
        files: those that are part of it beside the first.
        needed: those, and the ones that only hand names of them on.
    """

    source: Gathered
    files: tuple[str, ...]
    needed: tuple[str, ...] = ()


def join(
    main: SourceFile, beside: Sequence[SourceFile], shelf: Shelf | None = None
) -> Joined:
    """Put what `main` uses of the files beside it before what stands in it.

    The files come in the order in which Python would run them, each with the statements
    that are used of it and no others. Where two of them have a name in common, the one
    of the file beside is given another. A file that imports none of the others comes
    out as it is.

    Args:
        main: the file.
        beside: files that it may import, directly or not.
        shelf: where others may be looked for.

    Raises:
        CannotJoin: they need each other before they are run, a name that is used is
            missing, or a module is used in another way than by the names in it.
    """
    text = main.text.removeprefix("\ufeff")
    alone = Joined(Gathered.of(main.name, text), ())
    if not (beside or shelf) or parsed(text) is None:
        return alone
    # Two may have one name: the first file is meant by its own.
    linker = Linker(Files([*beside, main], shelf))
    choice = Choice(linker, main.name)
    if not any(module.matched for module in choice.modules.values()):
        return alone
    joined = _Joining(choice).joined()
    others = [name for name in linker.handing if name != main.name]
    return replace(joined, needed=tuple(dict.fromkeys([*others, *joined.files])))


class _Joining:
    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._modules = choice.modules
        self._main = choice.main
        self._kept = choice.kept

    def joined(self) -> Joined:
        order = [name for name in self._modules if name != self._main]
        used = [name for name in order if self._kept[name]]
        head, body = self._own()
        lines: list[str] = [*head.lines]
        origins: list[Origin] = [*head.origins]
        if self._futures():
            lines.append("from __future__ import annotations")
            origins.append(head.origins[-1] if head.origins else (self._main, 1))
        for name in used:
            part = self._part_of(name)
            if not part.lines:
                continue
            lines += ["", *part.lines, ""]
            origins += [part.origins[0], *part.origins, part.origins[-1]]
        lines += body.lines
        origins += body.origins
        return Joined(Gathered(tuple(lines), tuple(origins)), tuple(used))

    def _edits(self, file: str) -> list[Edit]:
        module = self._modules[file]
        edits: list[Edit] = []
        within = {line for each in self._kept[file] for line in lines_of(each)}
        replaced = set()
        try:
            for use in self._choice.through[file]:
                if use.root.lineno in within:
                    new = self._choice.name_of(use.symbol)
                    edits.append(use.edit(module.lines, new))
                    replaced.add(use.root)
            for scope in module.scopes:
                for name, uses in scope.uses.items():
                    symbol = self._meant(module, scope, name)
                    new = name if symbol is None else self._choice.name_of(symbol)
                    if symbol is None or new == name:
                        continue
                    edits += [
                        renaming(module.lines, use, new)
                        for use in uses
                        if use not in replaced and use.lineno in within
                    ]
        except CannotEdit as error:
            raise CannotJoin(
                file,
                error.line,
                "a name here cannot be given another one",
                "write the line more plainly, without a name inside of an f-string",
            ) from None
        edits += self._definitions(module)
        edits += self._imports(module)
        return [edit for edit in edits if edit.start[0] in within]

    def _meant(self, module: Module, scope: Scope, name: str) -> Symbol | None:
        link = module.links.get((scope, name))
        if link is not None:
            return link.symbol
        return Symbol(module.file.name, name) if scope is module.scope else None

    def _definitions(self, module: Module) -> Iterator[Edit]:
        """Functions and classes of the top level that get another name."""
        left: list[ast.AST] = list(module.about.tree.body)
        while left:
            node = left.pop()
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                new = self._choice.names.get(Symbol(module.file.name, node.name))
                line = module.lines[node.lineno - 1]
                at = line.find(node.name, node.col_offset + 4)
                if new is not None and at >= 0:
                    begin = len(line[:at].encode())
                    end = begin + len(node.name.encode())
                    yield Edit((node.lineno, begin), (node.lineno, end), new)
            else:
                left += ast.iter_child_nodes(node)

    def _imports(self, module: Module) -> Iterator[Edit]:
        """Imports of files at hand go; those of others may bring another name."""
        for scope in module.scopes:
            for statement in scope.imports:
                matched = module.matched.get(statement, set())
                rest = [each for each in statement.names if each not in matched]
                renamed = self._renamed(module, scope, rest)
                assigned = [
                    f"{name} = {self._choice.name_of(symbol)}"
                    for name, symbol in module.assigned.get(statement, ())
                ]
                if not matched and renamed == rest:
                    continue
                parts = assigned
                if renamed:
                    left = ast.Import(renamed)
                    if isinstance(statement, ast.ImportFrom):
                        left = ast.ImportFrom(  # type: ignore[assignment]
                            statement.module, renamed, statement.level
                        )
                    parts = [ast.unparse(left), *assigned]
                yield Edit.of(statement, "; ".join(parts) or "pass")

    def _renamed(
        self, module: Module, scope: Scope, aliases: list[ast.alias]
    ) -> list[ast.alias]:
        if scope is not module.scope:
            return aliases
        made = []
        for alias in aliases:
            bound = alias.asname or alias.name
            new = self._choice.names.get(Symbol(module.file.name, bound))
            made.append(ast.alias(alias.name, new) if new is not None else alias)
        return made

    def _written(self, file: str) -> tuple[list[str], set[int]]:
        """The lines of a file with its edits, and those that go."""
        module = self._modules[file]
        lines, emptied = edited(module.lines, self._edits(file))
        gone = {line for some in emptied.values() for line in some} | module.gone
        for statement in module.about.tree.body:
            if isinstance(statement, _Import):
                span = lines_of(statement)
                if lines[span.start - 1].strip() == "pass" or _is_future(statement):
                    gone |= set(span)
        return lines, gone

    def _part_of(self, file: str) -> Gathered:
        """What is used of a file beside, with the comments over it."""
        module = self._modules[file]
        lines, gone = self._written(file)
        numbers: list[int] = []
        for statement in module.about.tree.body:
            if statement not in self._kept[file]:
                continue
            span = lines_of(statement)
            first = span.start
            while first > 1 and lines[first - 2].startswith("#"):
                first -= 1
            while first > 1 and not lines[first - 2].strip():
                first -= 1
            numbers += [at for at in range(first, span.stop) if at not in numbers]
        kept = [at for at in numbers if at not in gone]
        origins = tuple((file, at) for at in kept)
        return Gathered(tuple(lines[at - 1] for at in kept), origins)

    def _own(self) -> tuple[Gathered, Gathered]:
        """The first file: its docstring and what is over it, and the rest."""
        lines, gone = self._written(self._main)
        whole = Gathered(
            tuple(lines), tuple((self._main, at) for at in range(1, len(lines) + 1))
        )
        body = self._modules[self._main].about.tree.body
        end = 0
        if body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant):
                end = body[0].end_lineno or 0
        numbers = [at for at in range(1, len(lines) + 1) if at not in gone]
        head = whole.only(at for at in numbers if at <= end)
        return head, whole.only(at for at in numbers if at > end)

    def _futures(self) -> bool:
        return any(
            _is_future(statement)
            for module in self._modules.values()
            for statement in module.about.tree.body
        )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"

"""Reads a file and the files beside it: what each import of one by another brings."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dux_sandbox.gathering.modules import Files, SourceFile
from dux_sandbox.gathering.reading import CannotJoin, Link, Module, Symbol, read
from dux_sandbox.gathering.scopes import Scope
from dux_sandbox.language.preparing import torchs_own

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_Import = ast.Import | ast.ImportFrom
_MOST_NAMES = 8


class Linker:
    """Reads files as they are imported.

    Attributes:
        modules: by the name of the file, in the order of Python's imports: each after
            those that it imports.
    """

    def __init__(self, main: SourceFile, beside: list[SourceFile]) -> None:
        """Read `main` and whatever of `beside` it imports, directly or not.

        Raises:
            CannotJoin: a file cannot be read, files import each other, or a name is
                missing.
        """
        self.files = Files([main, *beside])
        self.modules: dict[str, Module] = {}
        self._texts = {file.name: file for file in [*beside, main]}
        self._open: list[str] = []
        self._read: dict[str, Module] = {}
        self._visit(main)
        for module in list(self._read.values()):
            for scope in module.scopes:
                for statement in scope.imports:
                    self._link(module, scope, statement)

    def _visit(self, file: SourceFile) -> None:
        if file.name in self._open:
            ring = [*self._open[self._open.index(file.name) :], file.name]
            raise CannotJoin(
                self._open[-1],
                None,
                f"files import each other: {' -> '.join(ring)}",
                "move what both need into a file that imports neither",
            )
        if file.name in self.modules:
            return
        module = self._read.get(file.name) or read(file, self.files)
        self._read[file.name] = module
        self._open.append(file.name)
        later: list[SourceFile] = []
        for scope in module.scopes:
            for found in self._imported(module, scope):
                if _inside_function(scope):
                    later.append(found)  # runs when it is called: no ring
                else:
                    self._visit(found)
        self._open.pop()
        held = self._open
        self._open = []
        self.modules[file.name] = module
        for found in later:
            if found.name not in held:
                self._visit(found)
        self._open = held

    def _imported(self, module: Module, scope: Scope) -> Iterator[SourceFile]:
        for statement in scope.imports:
            if statement not in module.hints:
                for _, _, found in self._means(module.file, statement):
                    yield found

    def _means(
        self, file: SourceFile, statement: _Import
    ) -> Iterator[tuple[ast.alias, str, SourceFile]]:
        """(alias, name in the file, or "" for the file itself; the file)."""
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                found = self.files.find(file, 0, alias.name)
                if found is not None:
                    yield alias, "", found
            return
        dotted, level = statement.module or "", statement.level
        package = self.files.find(file, level, dotted) if dotted or level else None
        if package is not None and not package.named and torchs_own(statement):
            return  # a copy of torch's file beside a copy of torch's optimizer
        for alias in statement.names:
            inner = f"{dotted}.{alias.name}".lstrip(".")
            if package is not None:
                own = self._read.get(package.name) or read(package, self.files)
                self._read.setdefault(package.name, own)
                if alias.name == "*" or alias.name in own.scope.bound or own.stars:
                    yield alias, alias.name, package
                    continue
            beside = self.files.find(file, level, inner) if alias.name != "*" else None
            if beside is not None:
                yield alias, "", beside
            elif package is not None:
                yield alias, alias.name, package

    # Linking

    def _link(self, module: Module, scope: Scope, statement: _Import) -> None:
        if statement in module.hints:
            return
        for alias, name, found in self._means(module.file, statement):
            module.matched.setdefault(statement, set()).add(alias)
            if name == "*":
                module.stars.append(found.name)
            elif name == "":
                self._link_module(module, scope, alias, found, statement)
            else:
                symbol = self.symbol(found.name, name)
                if symbol is None:
                    raise self._missing(module, statement, found, name)
                bound = alias.asname or alias.name
                self._bind(module, scope, statement, bound, Link(symbol))

    def _link_module(
        self,
        module: Module,
        scope: Scope,
        alias: ast.alias,
        found: SourceFile,
        statement: _Import,
    ) -> None:
        dotted = isinstance(statement, ast.Import) and alias.asname is None
        top, _, rest = alias.name.partition(".") if dotted else (alias.name, "", "")
        bound = alias.asname or top
        before = module.links.get((scope, bound), Link()).modules
        link = Link(None, (*before, (rest, found.name)))
        self._bind(module, scope, statement, bound, link)

    def _bind(
        self, module: Module, scope: Scope, statement: _Import, name: str, link: Link
    ) -> None:
        again = _bound_otherwise(module, scope, name)
        symbol = link.symbol
        if symbol is not None and (again or _inside_function(scope)):
            module.assigned.setdefault(statement, []).append((name, symbol))
            return
        if again:
            raise CannotJoin(
                module.file.name,
                statement.lineno,
                f"the name {name} of a module is bound again",
                "choose another name for the other thing",
            )
        module.links[(scope, name)] = link

    def _missing(
        self, module: Module, statement: _Import, found: SourceFile, name: str
    ) -> CannotJoin:
        own = sorted(each for each in self._read[found.name].scope.bound)
        shown = ", ".join(own[:_MOST_NAMES]) + (", ..." if own[_MOST_NAMES:] else "")
        return CannotJoin(
            module.file.name,
            statement.lineno,
            f"{found.name} has no name {name}; it has {shown or 'none at all'}",
            "import what that file defines, or name with --with the file that defines "
            "it",
        )

    # What names stand for

    def symbol(
        self, file: str, name: str, seen: frozenset[str] = frozenset()
    ) -> Symbol | None:
        """Where a name of a file is defined, through the files that hand it on."""
        module = self._read.get(file)
        if module is None or file in seen:
            return None
        for statement in self._own_imports(module):
            for alias, meant, found in self._means(module.file, statement):
                bound = alias.asname or alias.name
                if meant not in ("", "*") and bound == name:
                    if not _bound_otherwise(module, module.scope, name):
                        return self.symbol(found.name, meant, seen | {file})
        if name in module.scope.bound:
            return Symbol(file, name)
        for statement in self._own_imports(module):
            for _, meant, found in self._means(module.file, statement):
                if meant == "*":
                    handed = self.symbol(found.name, name, seen | {file})
                    if handed is not None and name in self.public(found.name):
                        return handed
        return None

    def _own_imports(self, module: Module) -> Iterator[_Import]:
        for statement in module.scope.imports:
            if statement not in module.hints:
                yield statement

    def public(self, file: str) -> set[str]:
        """What `from file import *` brings."""
        module = self._read[file]
        for statement in module.about.tree.body:
            if isinstance(statement, ast.Assign) and any(
                isinstance(each, ast.Name) and each.id == "__all__"
                for each in statement.targets
            ):
                return {
                    each.value
                    for each in ast.walk(statement.value)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
        names = {name for name in module.scope.bound if not name.startswith("_")}
        for star in module.stars:
            names |= self.public(star)
        return names


def _inside_function(scope: Scope | None) -> bool:
    while scope is not None:
        if isinstance(scope.node, _FUNCTIONS):
            return True
        scope = scope.outer
    return False


def _bound_otherwise(module: Module, scope: Scope, name: str) -> bool:
    """Whether a scope binds a name by more than imports of files."""
    for use in scope.uses.get(name, ()):
        if not isinstance(use.ctx, ast.Load):
            return True
    body = getattr(scope.node, "body", [])
    left: list[ast.AST] = list(body) if isinstance(body, list) else []
    while left:
        node = left.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name == name:
                return True
        elif not isinstance(node, ast.Lambda):
            left += ast.iter_child_nodes(node)
    return False

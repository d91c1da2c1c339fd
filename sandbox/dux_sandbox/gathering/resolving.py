"""What the names of files stand for, through the imports of one from another."""

import ast
from collections.abc import Iterator

from dux_sandbox.gathering.modules import Files, SourceFile
from dux_sandbox.gathering.reading import CannotJoin, Module, Symbol, read
from dux_sandbox.gathering.scopes import Scope
from dux_sandbox.language.preparing import torchs_own

_Import = ast.Import | ast.ImportFrom


class Resolver:
    """Reads files where something of them is asked for.

    Attributes:
        handing: the files that define a name that was asked for, or hand it on.
    """

    def __init__(self, files: Files) -> None:
        """Nothing is read yet."""
        self._files = files
        self.handing: dict[str, None] = {}
        self._read: dict[str, Module | CannotJoin] = {}
        self._asked: set[tuple[str, str]] = set()

    def outlined(self, name: str) -> Module:
        """A file, read; its imports bring nothing yet.

        Raises:
            CannotJoin: it cannot be read.
        """
        if name not in self._read:
            try:
                self._read[name] = read(self._files.by_name[name], self._files)
            except CannotJoin as error:
                self._read[name] = error
        found = self._read[name]
        if isinstance(found, CannotJoin):
            raise found
        return found

    def means(
        self, file: SourceFile, statement: _Import
    ) -> Iterator[tuple[ast.alias, str, SourceFile]]:
        """What an import brings of files at hand.

        Yields:
            The alias; the name in a file, or "" for the file itself; the file.
        """
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                found = self._files.find(file, 0, alias.name)
                if found is not None:
                    yield alias, "", found
            return
        dotted, level = statement.module or "", statement.level
        package = self._files.find(file, level, dotted) if dotted or level else None
        if package is not None and not package.named and torchs_own(statement):
            return  # a copy of torch's file beside a copy of torch's optimizer
        for alias in statement.names:
            inner = f"{dotted}.{alias.name}".lstrip(".")
            own = package is None or package.name == file.name
            if package and not own and self._defines(package.name, alias.name):
                handed = self.module_of(package.name, alias.name)
                if handed is None:
                    yield alias, alias.name, package
                else:
                    yield alias, "", handed
                continue
            beside = self._files.find(file, level, inner) if alias.name != "*" else None
            if beside is not None:
                yield alias, "", beside
            elif package is not None:
                yield alias, alias.name, package

    def _defines(self, file: str, name: str) -> bool:
        """Whether a file has a name, of its own or by a star."""
        if name == "*":
            return True
        if (file, name) in self._asked:
            return False
        self._asked.add((file, name))
        try:
            own = self.outlined(file)
            return name in own.scope.bound or bool(
                self._by_star(own, name, frozenset([file]))
            )
        except CannotJoin:
            return False
        finally:
            self._asked.discard((file, name))

    def module_of(self, file: str, name: str) -> SourceFile | None:
        """The file that a name of another stands for as a module; None for others.

        Raises:
            CannotJoin: that other cannot be read.
        """
        if name == "*":
            return None
        module = self.outlined(file)
        for statement in self._own_imports(module):
            if isinstance(statement, ast.ImportFrom) and any(
                (each.asname or each.name) == name for each in statement.names
            ):
                for alias, meant, found in self.means(module.file, statement):
                    if (alias.asname or alias.name) == name and meant == "":
                        self.handing[file] = None
                        return found
        return None

    def symbol(
        self, file: str, name: str, seen: frozenset[str] = frozenset()
    ) -> Symbol | None:
        """Where a name of a file is defined, through the files that hand it on.

        Raises:
            CannotJoin: one of them cannot be read.
        """
        found = self._symbol(file, name, seen)
        if found is not None:
            self.handing[file] = None
        return found

    def _symbol(self, file: str, name: str, seen: frozenset[str]) -> Symbol | None:
        if file in seen:
            return None
        module = self.outlined(file)
        for statement in self._own_imports(module):
            if not any((each.asname or each.name) == name for each in statement.names):
                continue
            for alias, meant, found in self.means(module.file, statement):
                bound = alias.asname or alias.name
                if meant not in ("", "*") and bound == name:
                    if not bound_otherwise(module, module.scope, name):
                        return self.symbol(found.name, meant, seen | {file})
        if name in module.scope.bound:
            return Symbol(file, name)
        return self._by_star(module, name, seen | {file})

    def _by_star(
        self, module: Module, name: str, seen: frozenset[str]
    ) -> Symbol | None:
        for star in self._stars(module):
            handed = self.symbol(star, name, seen)
            if handed is not None and name in self.public(star):
                return handed
        return None

    def _stars(self, module: Module) -> Iterator[str]:
        """The files of which a module imports everything."""
        for statement in self._own_imports(module):
            if statement.names[0].name == "*":
                for _, _, found in self.means(module.file, statement):
                    yield found.name

    def _own_imports(self, module: Module) -> Iterator[_Import]:
        for statement in module.scope.imports:
            if statement not in module.hints:
                yield statement

    def public(self, file: str, seen: frozenset[str] = frozenset()) -> set[str]:
        """What `from file import *` brings.

        Raises:
            CannotJoin: it cannot be read.
        """
        module = self.outlined(file)
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
        for star in self._stars(module):
            if star not in seen:
                names |= self.public(star, seen | {file})
        return names


def bound_otherwise(module: Module, scope: Scope, name: str) -> bool:
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

"""Reads a file and the files beside it: what each import of one by another brings."""

import ast
import builtins

from dux_sandbox.gathering.modules import Files, SourceFile
from dux_sandbox.gathering.reading import CannotJoin, Link, Module
from dux_sandbox.gathering.resolving import Resolver, bound_otherwise
from dux_sandbox.gathering.scopes import Scope

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_Import = ast.Import | ast.ImportFrom
_MOST_NAMES = 8


class Linker(Resolver):
    """Says of every scope of a file which names files at hand bring."""

    def __init__(self, files: Files) -> None:
        """Nothing is read yet."""
        super().__init__(files)
        self._linked: set[str] = set()

    def module(self, name: str) -> Module:
        """A file, with what its imports bring.

        Raises:
            CannotJoin: it cannot be read.
        """
        module = self.outlined(name)
        if name not in self._linked:
            self._linked.add(name)
            for scope in module.scopes:
                for statement in scope.imports:
                    self._link(module, scope, statement)
        return module

    def _link(self, module: Module, scope: Scope, statement: _Import) -> None:
        if statement in module.hints:
            return
        for alias, name, found in self.means(module.file, statement):
            module.matched.setdefault(statement, set()).add(alias)
            if name == "*":
                self._link_star(module, found.name)
            elif name == "":
                self._link_module(module, scope, alias, found, statement)
            else:
                bound = alias.asname or alias.name
                link = self._linked_to(module, statement, found.name, name)
                self._bind(module, scope, statement, bound, link)

    def _link_star(self, module: Module, file: str) -> None:
        used = set(module.scope.uses) - module.scope.bound
        try:
            for name in self.public(file) & used:
                symbol = self.symbol(file, name)
                if symbol is not None:
                    module.links[(module.scope, name)] = Link(symbol)
        except CannotJoin as error:
            for name in used - set(dir(builtins)):
                module.links.setdefault((module.scope, name), Link(fault=error))

    def _linked_to(
        self, module: Module, statement: _Import, file: str, name: str
    ) -> Link:
        try:
            symbol = self.symbol(file, name)
        except CannotJoin as error:
            return Link(fault=error)
        if symbol is None:
            return Link(fault=self._missing(module, statement, file, name))
        return Link(symbol)

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
        again = bound_otherwise(module, scope, name)
        symbol = link.symbol
        if symbol is not None and (again or _inside_function(scope)):
            module.assigned.setdefault(statement, []).append((name, symbol))
            return
        if again:
            fault = CannotJoin(
                module.file.name,
                statement.lineno,
                f"the name {name} of a module is bound again",
                "choose another name for the other thing",
            )
            link = Link(fault=link.fault or fault)
        module.links[(scope, name)] = link

    def _missing(
        self, module: Module, statement: _Import, file: str, name: str
    ) -> CannotJoin:
        own = sorted(self.outlined(file).scope.bound)
        shown = ", ".join(own[:_MOST_NAMES]) + (", ..." if own[_MOST_NAMES:] else "")
        return CannotJoin(
            module.file.name,
            statement.lineno,
            f"{file} has no name {name}; it has {shown or 'none at all'}",
            "import what that file defines, or name with --with the file that defines "
            "it",
        )


def _inside_function(scope: Scope | None) -> bool:
    while scope is not None:
        if isinstance(scope.node, _FUNCTIONS):
            return True
        scope = scope.outer
    return False

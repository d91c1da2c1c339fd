"""What is used of the files beside one, and what it is called in one source."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dux_sandbox.gathering.linking import Linker
from dux_sandbox.gathering.reading import Module, Symbol
from dux_sandbox.gathering.scopes import Scope
from dux_sandbox.gathering.uses import Use, uses_of_modules
from dux_sandbox.language.bindings import bound_names
from dux_sandbox.language.usage import touched

_Import = ast.Import | ast.ImportFrom


class Choice:
    """The statements that one source is made of.

    Attributes:
        modules: the files, in the order in which Python would run them.
        main: the name of the file that imports the others.
        through: by file, its uses of a module that is a file at hand.
        kept: by file, the statements at the top level that are used; all of `main`.
        names: new names, of those that would mean two things.
    """

    def __init__(self, linker: Linker, main: str) -> None:
        """Read off what is used.

        Raises:
            CannotJoin: a module is used otherwise than by the names in it.
        """
        self.modules = linker.modules
        self.main = main
        for module in self.modules.values():
            _bring_stars(linker, module)
        self.through: dict[str, list[Use]] = {
            name: list(uses_of_modules(linker, module))
            for name, module in self.modules.items()
        }
        self.kept = self._needed()
        self.names = self._named()

    def name_of(self, symbol: Symbol) -> str:
        """What a symbol is called in the one source."""
        return self.names.get(symbol, symbol.name)

    def _needed(self) -> dict[str, set[ast.stmt]]:
        """By file the statements at the top level that are used; all of the first."""
        kept: dict[str, set[ast.stmt]] = {name: set() for name in self.modules}
        main = self.modules[self.main]
        left = [(self.main, each) for each in main.about.tree.body]
        kept[self.main] = set(main.about.tree.body)
        owners = {name: _owners(module) for name, module in self.modules.items()}
        while left:
            file, statement = left.pop()
            for symbol in self._symbols(file, statement, owners[file]):
                module = self.modules[symbol.file]
                for binder in module.about.binders.get(symbol.name, ()):
                    if binder not in kept[symbol.file]:
                        kept[symbol.file].add(binder)
                        left.append((symbol.file, binder))
        return kept

    def _symbols(
        self, file: str, statement: ast.stmt, owner: dict[ast.Name, Scope]
    ) -> Iterator[Symbol]:
        """What a statement uses of any file."""
        module = self.modules[file]
        inside = set(ast.walk(statement))
        for node in inside:
            if isinstance(node, ast.Name):
                link = module.links.get((owner[node], node.id))
                if link is not None and link.symbol is not None:
                    yield link.symbol
                elif link is None and owner[node] is module.scope:
                    yield Symbol(file, node.id)
            elif isinstance(node, _Import):
                for _, symbol in module.assigned.get(node, ()):
                    yield symbol
        for name in touched(statement, module.about.bindings.modules):
            yield Symbol(file, name)
        for use in self.through[file]:
            if use.node in inside:
                yield use.symbol

    def _named(self) -> dict[Symbol, str]:
        """A name for every symbol that is used: its own, where no other has that."""
        taken = {name: self._words(name) for name in self.modules}
        names: dict[Symbol, str] = {}
        everywhere = {word for words in taken.values() for word in words}
        forced = {
            symbol
            for module in self.modules.values()
            for pairs in module.assigned.values()
            for _, symbol in pairs
        }
        for file, module in self.modules.items():
            if file == self.main:
                continue
            bound = {
                name
                for statement in self.kept[file]
                for name in touched(statement, module.about.bindings.modules)
            }
            for name in sorted(bound & module.scope.bound):
                symbol = Symbol(file, name)
                if symbol in forced or self._clashes(symbol, taken):
                    made = _fresh(name, module.file.stem, everywhere)
                    everywhere.add(made)
                    names[symbol] = made
        return names

    def _words(self, file: str) -> set[str]:
        """Every name that is bound or read anywhere in the part that is kept."""
        found: set[str] = set()
        for statement in self.kept[file]:
            for node in ast.walk(statement):
                found.update(bound_names(node))
                if isinstance(node, ast.Name):
                    found.add(node.id)
        return found

    def _clashes(self, symbol: Symbol, words: dict[str, set[str]]) -> bool:
        """Whether another file means something else by that name."""
        path = self._imported_path(symbol.file, symbol.name)
        for file, module in self.modules.items():
            if file == symbol.file or symbol.name not in words[file]:
                continue
            link = module.links.get((module.scope, symbol.name))
            if link is not None and link.symbol == symbol:
                through = {use.symbol for use in self.through[file]}
                if symbol not in through:
                    continue
            if path is None or self._imported_path(file, symbol.name) != path:
                return True
        return False

    def _imported_path(self, file: str, name: str) -> str | None:
        """The one thing outside that a name of a file is imported as."""
        return self.modules[file].about.bindings.modules.get(name)


def _bring_stars(linker: Linker, module: Module) -> None:
    for star in module.stars:
        for name in linker.public(star) & set(module.scope.uses):
            symbol = linker.symbol(star, name)
            if symbol is not None and name not in module.scope.bound:
                module.link(module.scope, name, symbol)


def _owners(module: Module) -> dict[ast.Name, Scope]:
    return {
        use: scope
        for scope in module.scopes
        for uses in scope.uses.values()
        for use in uses
    }


def _fresh(name: str, stem: str, taken: set[str]) -> str:
    """A name that nobody has, which says where it is from."""
    bare = name.lstrip("_")
    made = f"{name[: len(name) - len(bare)][:1]}{stem}_{bare}"
    while made in taken:
        made += "_"
    return made

"""What is used of the files beside one, and what it is called in one source."""

import ast
from collections.abc import Iterator

from dux_sandbox.gathering.linking import Linker
from dux_sandbox.gathering.ordering import in_order, run_at_once
from dux_sandbox.gathering.reading import Module, Symbol
from dux_sandbox.gathering.scopes import Scope
from dux_sandbox.gathering.uses import Use, uses_of_modules
from dux_sandbox.language.bindings import bound_names
from dux_sandbox.language.usage import touched

_Import = ast.Import | ast.ImportFrom


class Choice:
    """The statements that one source is made of.

    Attributes:
        modules: the files of which something is used, each after those that it needs.
        main: the name of the file that imports the others.
        through: by file, its uses of a module that is a file at hand.
        kept: by file, the statements at the top level that are used; all of `main`.
        names: new names, of those that would mean two things.
    """

    def __init__(self, linker: Linker, main: str) -> None:
        """Read off what is used.

        Raises:
            CannotJoin: what is used is not there, or is used otherwise than by the
                names in a module; or files need each other before they are run.
        """
        self._linker = linker
        self.main = main
        self.modules: dict[str, Module] = {}
        self.through: dict[str, list[Use]] = {}
        self.kept: dict[str, set[ast.stmt]] = {}
        self._owners: dict[str, dict[ast.Name, Scope]] = {}
        self._needs: dict[str, dict[str, bool]] = {}
        self._follow()
        order = in_order(self._needs, main)
        self.modules = {name: self.modules[name] for name in order}
        self.names = self._named()

    def name_of(self, symbol: Symbol) -> str:
        """What a symbol is called in the one source."""
        return self.names.get(symbol, symbol.name)

    def _open(self, file: str) -> Module:
        if file not in self.modules:
            module = self._linker.module(file)
            self.modules[file] = module
            self.through[file] = list(uses_of_modules(self._linker, module))
            self.kept[file] = set()
            self._owners[file] = _owners(module)
            self._needs[file] = {}
        return self.modules[file]

    def _follow(self) -> None:
        """Keep all of the first file, and of the others what is used of them."""
        body = self._open(self.main).about.tree.body
        self.kept[self.main] = set(body)
        left = [(self.main, each) for each in reversed(body)]
        while left:
            file, statement = left.pop()
            at_once = set(run_at_once(self.modules[file].about, statement))
            more = []
            for node, symbol in self._symbols(file, statement):
                module = self._open(symbol.file)
                if symbol.file != file:
                    early = self._needs[file].get(symbol.file, False)
                    self._needs[file][symbol.file] = early or node in at_once
                for binder in module.about.binders.get(symbol.name, ()):
                    if binder not in self.kept[symbol.file]:
                        self.kept[symbol.file].add(binder)
                        more.append((symbol.file, binder))
            left += reversed(more)

    def _symbols(
        self, file: str, statement: ast.stmt
    ) -> Iterator[tuple[ast.AST, Symbol]]:
        """What a statement uses of any file, and where in it."""
        module, owner = self.modules[file], self._owners[file]
        inside = list(ast.walk(statement))
        for node in inside:
            if isinstance(node, ast.Name):
                link = module.links.get((owner[node], node.id))
                if link is not None and link.symbol is not None:
                    yield node, link.symbol
                elif link is None and owner[node] is module.scope:
                    yield node, Symbol(file, node.id)
            elif isinstance(node, _Import):
                for _, symbol in module.assigned.get(node, ()):
                    yield node, symbol
        for name in touched(statement, module.about.bindings.modules):
            yield statement, Symbol(file, name)
        roots = set(inside)
        for use in self.through[file]:
            if use.root in roots:
                yield use.root, use.symbol

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
                through = {use.found for use in self.through[file]}
                if symbol not in through:
                    continue
            if path is None or self._imported_path(file, symbol.name) != path:
                return True
        return False

    def _imported_path(self, file: str, name: str) -> str | None:
        """The one thing outside that a name of a file is imported as."""
        return self.modules[file].about.bindings.modules.get(name)


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

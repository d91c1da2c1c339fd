"""Which scope each name of a module is looked up in."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from dux_sandbox.language.bindings import bound_names

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(eq=False)
class Scope:
    """One scope: a module, a class, a function, a lambda or a comprehension.

    Attributes:
        node: whose scope it is.
        outer: the scope around it; None for the module.
        bound: names that are bound in it.
        uses: names that are read, written or deleted and belong to it, by name.
        imports: import statements that bind names of it.
    """

    node: ast.AST
    outer: Scope | None = None
    bound: set[str] = field(default_factory=set)
    uses: dict[str, list[ast.Name]] = field(default_factory=dict)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        """Whether what is inside it does not see its names."""
        return isinstance(self.node, ast.ClassDef)


def scopes_of(tree: ast.Module) -> list[Scope]:
    """Every scope of a module, itself first, each name in the scope it belongs to.

    A name that no scope binds is one of the module's: a builtin, or what is missing.
    """
    reader = _Reader()
    reader.read(tree)
    return reader.scopes


class _Reader:
    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    def read(self, tree: ast.Module) -> None:
        module = Scope(tree, None, _bound_in(tree.body))
        self.scopes.append(module)
        for statement in tree.body:
            self._visit(statement, module)

    def _inner(self, node: ast.AST, outer: Scope, bound: set[str]) -> Scope:
        made = Scope(node, outer, bound)
        self.scopes.append(made)
        return made

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Name):
            owner = _owner(node.id, scope)
            owner.uses.setdefault(node.id, []).append(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            scope.imports.append(node)
        elif isinstance(node, _FUNCTIONS):
            self._all([*node.decorator_list, *_outside(node.args)], scope)
            self._all([node.returns] if node.returns else [], scope)
            bound = _bound_in(node.body) | _arguments(node.args)
            self._all(node.body, self._inner(node, scope, bound))
        elif isinstance(node, ast.Lambda):
            self._all(_outside(node.args), scope)
            inner = self._inner(node, scope, _arguments(node.args))
            self._visit(node.body, inner)
        elif isinstance(node, ast.ClassDef):
            around = [*node.decorator_list, *node.bases, *node.keywords]
            self._all(around, scope)
            self._class_body(node, scope)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node, scope)
        else:
            self._all(ast.iter_child_nodes(node), scope)

    def _all(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        for node in nodes:
            self._visit(node, scope)

    def _class_body(self, node: ast.ClassDef, scope: Scope) -> None:
        """A class binds its names one after another: `eps = eps` reads what is around
        it."""
        inner = self._inner(node, scope, set())
        for statement in node.body:
            if isinstance(statement, ast.Assign):
                self._visit(statement.value, inner)
                inner.bound |= _bound_in([statement])
                self._all(statement.targets, inner)
            elif isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
                self._visit(statement, inner)
                inner.bound |= _bound_in([statement])
            else:
                inner.bound |= _bound_in([statement])
                self._visit(statement, inner)

    def _comprehension(self, node: _Comprehension, scope: Scope) -> None:
        bound = {
            each.id
            for generator in node.generators
            for each in ast.walk(generator.target)
            if isinstance(each, ast.Name)
        }
        self._visit(node.generators[0].iter, scope)
        inner = self._inner(node, scope, bound)
        for at, generator in enumerate(node.generators):
            self._visit(generator.target, inner)
            if at:
                self._visit(generator.iter, inner)
            self._all(generator.ifs, inner)
        if isinstance(node, ast.DictComp):
            self._all([node.key, node.value], inner)
        else:
            self._visit(node.elt, inner)


def _owner(name: str, scope: Scope) -> Scope:
    """The scope that a name belongs to, where it is used in `scope`."""
    at: Scope = scope
    if name in at.bound:
        return at
    while at.outer is not None:
        at = at.outer
        if name in at.bound and not at.is_class:
            return at
    return at


def _outside(arguments: ast.arguments) -> list[ast.AST]:
    """What of a signature is computed outside: defaults and hints."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    hints = [each.annotation for each in every if each.annotation is not None]
    defaults = [each for each in arguments.kw_defaults if each is not None]
    return [*hints, *arguments.defaults, *defaults]


def _arguments(arguments: ast.arguments) -> set[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return {each.arg for each in every}


def _bound_in(body: list[ast.stmt]) -> set[str]:
    """Names that statements bind in the scope they stand in."""
    found: set[str] = set()
    declared: set[str] = set()
    left: list[ast.AST] = list(body)
    while left:
        node = left.pop()
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            declared.update(node.names)
            continue
        found.update(bound_names(node))
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda)):
            left += getattr(node, "decorator_list", [])
        elif isinstance(node, _COMPREHENSIONS):
            # A walrus inside binds in the scope around; a target of its own does not.
            left += [each for each in ast.walk(node) if isinstance(each, ast.NamedExpr)]
        else:
            left += ast.iter_child_nodes(node)
    return found - declared

"""What no step of a rule can come to, as it is built: `Rule(params)`.

Branches that an option decides and its default does not take, methods that nobody
names, and definitions and imports that only those mention. It is read off a tree of
its own, when something was refused; what it says is told by place, so that it can be
held against the tree that is being judged. Wrongly said, it costs a rule an exception
and opens nothing: what is not reached is left out, whoever reaches it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.language import torch_names
from dux_sandbox.language.bindings import Bindings, bound_names
from dux_sandbox.language.contract import lineage
from dux_sandbox.language.options import Options

Place = tuple[int, int]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_ASKING = frozenset("getattr hasattr setattr".split())
# Called by others than the source: the trainer, and torch.
_CALLED = torch_names.OPTIMIZER_OWN | {"train", "eval"}
# Not called by a training loop: torch's own stand in their place.
_NOT_ASKED = frozenset("__setstate__ load_state_dict state_dict zero_grad".split())


@dataclass(frozen=True)
class Unreached:
    """Places, as (line, column), of what is not reached.

    Attributes:
        methods: of classes.
        statements: definitions and imports at the top level that only what is not
            reached mentions.
        branches: of `if`, the one that is not taken: its first statement.
        unread: names that imports bind and nothing mentions, reached or not.
    """

    methods: frozenset[Place] = frozenset()
    statements: frozenset[Place] = frozenset()
    branches: frozenset[Place] = frozenset()
    unread: frozenset[str] = frozenset()


NOTHING = Unreached()


def place_of(node: ast.stmt) -> Place:
    """Where a statement begins, its decorators apart."""
    return node.lineno, node.col_offset


def unreached(tree: ast.Module, bindings: Bindings, rule: str) -> Unreached:
    """Read off `tree`, which is not changed, what the class `rule` does not come to.

    Each node is looked at twice, once as what may be reached and once as what is not.
    """
    search = _Search(tree, bindings, rule)
    search.run()
    return search.found()


@dataclass
class _Unit:
    """A definition or import at the top level, or a method of a class there."""

    node: ast.stmt
    names: frozenset[str]
    owner: _Unit | None = None
    live: bool = False

    @property
    def method(self) -> bool:
        return self.owner is not None

    @property
    def idle(self) -> bool:
        """Whether it is a method that nobody calls, of a class that is used."""
        if self.owner is None or not self.owner.live:
            return False
        return not self.live or not self.names.isdisjoint(_NOT_ASKED)


class _Search:
    def __init__(self, tree: ast.Module, bindings: Bindings, rule: str) -> None:
        self._tree = tree
        self._options = Options.of(tree, bindings, rule)
        self._chain = {node.name for node in lineage(rule, bindings)}
        self._units: list[_Unit] = []
        self._by_name: dict[str, list[_Unit]] = {}
        self._not_taken: list[ast.stmt] = []
        self._left: list[ast.AST] = []
        self._seen: set[str] = set()
        self._any_method = False

    def run(self) -> None:
        for statement in self._tree.body:
            if not isinstance(statement, (*_FUNCTIONS, ast.ClassDef, *_IMPORTS)):
                self._left.append(statement)
                continue
            unit = _Unit(statement, frozenset(bound_names(statement)))
            self._add(unit)
            if isinstance(statement, ast.ClassDef):
                for each in statement.body:
                    if isinstance(each, _FUNCTIONS):
                        self._add(_Unit(each, frozenset([each.name]), unit))
        for name in self._chain:
            self._mention(name)
        while self._left:
            self._walk(self._left.pop())

    def _add(self, unit: _Unit) -> None:
        self._units.append(unit)
        for name in unit.names:
            self._by_name.setdefault(name, []).append(unit)

    def _reach(self, unit: _Unit) -> None:
        if unit.live:
            return
        unit.live = True
        if not isinstance(unit.node, ast.ClassDef):
            self._left.append(unit.node)
            return
        self._left += [*unit.node.bases, *unit.node.keywords]
        for each in unit.node.body:
            if not isinstance(each, _FUNCTIONS):
                self._left.append(each)
            elif each.name in _CALLED or each.name.startswith("__"):
                self._mention(each.name)

    def _mention(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            for unit in self._by_name.get(name, ()):
                self._reach(unit)

    def _walk(self, root: ast.AST) -> None:
        """Everything that a piece of code mentions, but for branches not taken."""
        function = root if isinstance(root, ast.FunctionDef) else None
        left = [root]
        while left:
            node = left.pop()
            for name in mentions(node):
                self._mention(name)
            if asks_by_computed_name(node) and not self._any_method:
                self._any_method = True
                for unit in self._units:
                    if unit.method:
                        self._reach(unit)
            dead: list[ast.stmt] = []
            if isinstance(node, ast.If):
                taken = self._options.truth(node.test, function)
                if taken is not None:
                    dead = node.orelse if taken else node.body
                    self._not_taken += dead[:1]
            gone = set(map(id, dead))
            left += [c for c in ast.iter_child_nodes(node) if id(c) not in gone]

    def found(self) -> Unreached:
        """After `run`."""
        methods = [unit.node for unit in self._units if unit.idle]
        mentioned = self._in_vain([*methods, *self._branches()])
        statements = [
            unit.node
            for unit in self._units
            if not unit.method and not unit.live and unit.names & mentioned
        ]
        return Unreached(
            frozenset(map(place_of, methods)),
            frozenset(map(place_of, statements)),
            frozenset(map(place_of, self._not_taken)),
            self._imported() - self._seen - mentioned,
        )

    def _imported(self) -> frozenset[str]:
        imports = [u for u in self._units if isinstance(u.node, _IMPORTS)]
        return frozenset(name for unit in imports for name in unit.names)

    def _branches(self) -> Iterator[ast.stmt]:
        """The statements of branches not taken, whole."""
        first = set(map(id, self._not_taken))
        for node in ast.walk(self._tree):
            if isinstance(node, ast.If):
                for held in (node.body, node.orelse):
                    if held and id(held[0]) in first:
                        yield from held

    def _in_vain(self, roots: list[ast.stmt]) -> set[str]:
        """The names that code which is not reached mentions, directly or not."""
        left: list[ast.AST] = list(roots)
        names: set[str] = set()
        while left:
            for node in ast.walk(left.pop()):
                for name in mentions(node):
                    if name not in names:
                        names.add(name)
                        left += [
                            unit.node
                            for unit in self._by_name.get(name, ())
                            if not (unit.live or unit.method)
                        ]
        return names


def mentions(node: ast.AST) -> Iterator[str]:
    """Names that one node stands for: of variables, attributes, or as text."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def asks_by_computed_name(node: ast.AST) -> bool:
    """`getattr(self, name)`, which may come to any method."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _ASKING
        and not (len(node.args) > 1 and isinstance(node.args[1], ast.Constant))
    )

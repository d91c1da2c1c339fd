"""What stands at the top level of a file: its statements, its optimizers."""

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dux_sandbox.language.before_parsing import limits_passed
from dux_sandbox.language.bindings import Bindings, collect, levels
from dux_sandbox.language.contract import lineage, stock_of_classes
from dux_sandbox.language.hidden_characters import hidden_character
from dux_sandbox.language.policy import is_main, without_main
from dux_sandbox.language.preparing import prepare
from dux_sandbox.language.quiet_parsing import quiet_parser
from dux_sandbox.language.tree_size import tree_too_large
from dux_sandbox.language.usage import mentioned, touched
from dux_sandbox.language.vocabulary import MODULES, TREE_DEPTH

_KNOWN = frozenset(name.partition(".")[0] for name in MODULES)
# How much larger than a rule a file may be that holds several, or a script.
_TIMES = 4
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parsed(text: str) -> ast.Module | None:
    """The tree of a text, or None where the static check would not read it."""
    with quiet_parser():
        if limits_passed(text, times=_TIMES) or hidden_character(text):
            return None
        try:
            tree = ast.parse(text, feature_version=(3, 11))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    layers = [layer for layer, _ in zip(levels(tree), range(TREE_DEPTH + 1))]  # noqa: B905
    return None if tree_too_large(layers, times=_TIMES) else tree


def lines_of(node: ast.stmt) -> range:
    """The lines of a statement, 1-based, its decorators among them."""
    first = node.lineno
    if isinstance(node, _DEFINITIONS):
        first = min([first, *(each.lineno for each in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)


@dataclass(frozen=True)
class Outline:
    """The top level of one source.

    Attributes:
        tree: as it was parsed.
        bindings: what it binds, with fallbacks of imports resolved.
        rules: classes built on torch's optimizers, but for those that others build on
            and that take no step of their own, and those that have none beside others.
        bases: those others.
        strangers: classes with a step whose base the source does not hold, by name.
    """

    tree: ast.Module
    bindings: Bindings
    rules: tuple[str, ...]
    bases: tuple[str, ...]
    strangers: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def binders(self) -> dict[str, list[ast.stmt]]:
        """By name, the statements that bind it or change what it stands for.

        What a main block binds is nothing to what is imported.
        """
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree.body:
            if is_main_block(statement):
                continue
            for name in touched(statement, self.bindings.modules):
                found.setdefault(name, []).append(statement)
        return found

    def needed(self, names: Iterable[str]) -> set[ast.stmt]:
        """The statements that bind these names and, in turn, what those use."""
        left, seen = list(names), set(names)
        kept: set[ast.stmt] = set()
        while left:
            for statement in self.binders.get(left.pop(), ()):
                if statement not in kept:
                    kept.add(statement)
                    more = set(mentioned(statement)) - seen
                    seen |= more
                    left += more
        return kept


def outline(text: str) -> Outline | None:
    """Read the top level of a source; None where it cannot be read."""
    tree, prepared = parsed(text), parsed(text)
    if tree is None or prepared is None:
        return None
    without_main(prepared)
    prepare(prepared, list(levels(prepared)))
    bindings = collect(prepared)
    stocks = stock_of_classes(bindings)
    every = [name for name, stock in stocks.items() if stock is not None]
    built_on = {parent.name for name in every for parent in lineage(name, bindings)[1:]}
    written = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    left_open = {each.name for each in written if any(map(_is_left_open, each.body))}
    stepping = [name for name in every if _has_step(name, bindings, stocks[name])]
    bases = [
        name
        for name in every
        if (name in built_on and name in left_open)
        or (name in built_on and _takes_no_step(name, bindings, stocks[name]))
        or (stepping and name not in stepping)
    ]
    rules = tuple(name for name in every if name not in bases)
    strangers = tuple(_strangers(bindings, every))
    return Outline(tree, bindings, rules, tuple(bases), strangers)


def _strangers(bindings: Bindings, known: list[str]) -> Iterator[tuple[str, str]]:
    """(class, base) where the base may be an optimizer, and is not at hand."""
    for name, node in bindings.classes.items():
        steps = any(
            isinstance(each, ast.FunctionDef) and each.name == "step"
            for each in node.body
        )
        if name in known or not steps:
            continue
        for base in node.bases:
            written = ast.unparse(base)
            top = written.partition(".")[0]
            path = bindings.modules.get(top, "")
            outside = path.partition(".")[0] not in _KNOWN
            if top not in bindings.classes and top != "object" and outside:
                yield name, written


def _has_step(name: str, bindings: Bindings, stock: str | None) -> bool:
    """Whether a class has a step of its own, or from a stock optimizer."""
    return stock != "Optimizer" or any(
        isinstance(statement, ast.FunctionDef) and statement.name == "step"
        for node in lineage(name, bindings)
        for statement in node.body
    )


def _takes_no_step(name: str, bindings: Bindings, stock: str | None) -> bool:
    """Whether a class leaves its step to those that are built on it."""
    for node in lineage(name, bindings):
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "step":
                return all(_does_nothing(each) for each in statement.body)
    return stock == "Optimizer"


def _is_left_open(statement: ast.stmt) -> bool:
    """A method that only raises NotImplementedError, or is abstract."""
    if not isinstance(statement, ast.FunctionDef):
        return False
    says = [*statement.decorator_list, statement.body[-1]]
    told = " ".join(ast.unparse(each) for each in says)
    left = "NotImplementedError" in told or "abstractmethod" in told
    return left and all(map(_does_nothing, statement.body))


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, (ast.Pass, ast.Raise))


def is_main_block(statement: ast.stmt) -> bool:
    """`if __name__ == "__main__":`."""
    return isinstance(statement, ast.If) and is_main(statement.test)

"""Sources with one part taken out: a step on, or the ablation of a winner."""

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from dux_graphs.evolution.individual import Draft, Standing
from dux_graphs.evolution.syntax import (
    constants_in,
    constructor,
    rule_in,
    with_constants,
)

Change = Callable[[ast.AST], None]
"""Takes a part out of a node, in place."""


def simplify(parents: Sequence[Standing], rng: Random) -> Draft | None:
    """The first parent without a part of its step; None where nothing can go."""
    tree = ast.parse(parents[0].individual.draft.source)
    found = list(_parts(tree))
    if not found:
        return None
    part, place, change = rng.choice(found)
    return Draft(_changed(tree, place, change), f"Without `{part}`.")


def simpler(source: str) -> Iterator[tuple[str, str]]:
    """Every part that may go, as text, with the source without it, in their order.

    A part is a statement that binds nothing which is read, a call in a chain, one side
    of an operation, or a condition. Whether the rest still runs is not known here.
    """
    tree = ast.parse(source)
    for part, place, change in _parts(tree):
        yield part, _changed(tree, place, change)


def ablated(source: str) -> Iterator[tuple[str, str]]:
    """Every part that may go, as `simpler` has them, then each option at 0."""
    yield from simpler(source)
    for name, value in constants_in(source).items():
        if value and name != "lr":
            yield f"option {name}, at 0", with_constants(source, {name: 0.0})


def _parts(tree: ast.Module) -> Iterator[tuple[str, int, Change]]:
    """Every part that may go: as text, the place of a node in a walk, its change."""
    made = constructor(tree)
    for place, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.FunctionDef) and node is not made:
            yield from _without_statements(place, node)
    inside = {id(each) for each in ast.walk(made)} if made else set()
    for place, node in enumerate(ast.walk(tree)):
        if id(node) in inside:
            continue
        for part, shorter in _shorter(node):
            yield part, place, shorter


def _without_statements(
    place: int, function: ast.FunctionDef
) -> Iterator[tuple[str, int, Change]]:
    read = {
        each.id
        for each in ast.walk(function)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }
    for at, node in enumerate(ast.walk(function)):
        body = getattr(node, "body", ())
        for number, each in enumerate(body if isinstance(body, list) else ()):
            if not _may_go(each, read):
                continue

            def remove(twin: ast.AST, at: int = at, number: int = number) -> None:
                body = list(ast.walk(twin))[at].body  # type: ignore[attr-defined]
                body[number : number + 1] = [] if len(body) > 1 else [ast.Pass()]

            yield _told(each), place, remove


def _may_go(statement: ast.stmt, read: set[str]) -> bool:
    if isinstance(statement, ast.Assign):
        names = [each.id for each in statement.targets if isinstance(each, ast.Name)]
        return len(names) == len(statement.targets) and read.isdisjoint(names)
    if isinstance(statement, ast.If):
        # Conditions that only pass over a weight, or begin, or call the closure.
        ends = isinstance(statement.body[-1], ast.Continue)
        usual = ast.unparse(statement.test) in ("not state", "closure is not None")
        return not ends and not usual and not statement.orelse
    return isinstance(statement, ast.Expr | ast.AugAssign)


def _shorter(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """Each part of an expression that may go, as text, and how it does."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if isinstance(node.func.value, ast.Call):
            yield f".{node.func.attr}(...) of {_told(node)}", _inner_call
    if isinstance(node, ast.BinOp):
        whole = _told(node)
        yield f"{_told(node.right)} of {whole}", _left
        if isinstance(node.op, ast.Add | ast.Mult):
            yield f"{_told(node.left)} of {whole}", _right


def _inner_call(node: Any) -> None:
    _become(node, node.func.value)


def _left(node: Any) -> None:
    _become(node, node.left)


def _right(node: Any) -> None:
    _become(node, node.right)


def _become(node: ast.AST, other: ast.AST) -> None:
    """Put another node in the place of one."""
    node.__class__ = other.__class__
    node.__dict__ = other.__dict__


def _changed(tree: ast.Module, place: int, change: Change) -> str:
    """The source after a change of the node at that place of a walk."""
    twin = copy.deepcopy(tree)
    change(list(ast.walk(twin))[place])
    _drop_unused_options(twin)
    return ast.unparse(twin) + "\n"


def _drop_unused_options(tree: ast.Module) -> None:
    """Take out of the constructor what no step reads any more."""
    made = constructor(tree)
    rule = rule_in(tree)
    if rule is None or made is None or len(made.body) != 1:
        return
    steps = [each for each in rule.body if each is not made]
    steps += [each for each in tree.body if each is not rule]
    rest = ast.unparse(ast.Module(steps, []))
    unused = {
        each.arg
        for each in made.args.args[2:]
        if f"'{each.arg}'" not in rest and each.arg != "lr"
    }
    first = len(made.args.args) - len(made.args.defaults)
    pairs = list(zip(made.args.args[first:], made.args.defaults, strict=True))
    kept = [pair for pair in pairs if pair[0].arg not in unused]
    made.args.args = made.args.args[:first] + [argument for argument, _ in kept]
    made.args.defaults = [default for _, default in kept]
    for node in ast.walk(made):
        if isinstance(node, ast.Call):
            node.keywords = [e for e in node.keywords if e.arg not in unused]


def _told(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."

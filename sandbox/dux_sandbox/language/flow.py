"""Where control flows: loops without a way out, `finally` left early, and copies.

One pass over the statements of a module, each looked at once. CPython compiles the
body of a `finally` anew for every way into it: for each return, break and continue
that leaves the `try`, and twice besides. Nested, the copies multiply. From Python 3.12
on its compiler crashes where more than 20 handlers are open at a place: it counts
those of `try` and `with`, and forgets that a comprehension is one as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

# Instructions, in nodes, that each way out of a `with` or an `except ... as` costs.
_LEAVING = 4
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Flow:
    """What the pass found.

    Attributes:
        compiled: nodes that the compiler will meet, copies counted.
        endless: `while` statements whose body has no way out.
        early: statements that leave a `finally` early.
        handlers: the most handlers of exceptions that are open at one place.
        deepest: the line of that place.
    """

    compiled: int = 0
    handlers: int = 0
    deepest: int = 1
    endless: set[ast.While] = field(default_factory=set)
    early: list[ast.stmt] = field(default_factory=list)


@dataclass(frozen=True)
class _Around:
    """What is around a statement, within its function."""

    final: bool = False  # a finally
    loop: bool = False  # a loop inside that finally
    handlers: int = 0  # open here

    def within(self, handlers: int) -> _Around:
        """The same inside a block that opens so many."""
        return replace(self, handlers=self.handlers + handlers)


@dataclass
class _Ways:
    """The ways out of some statements, and what they cost to compile."""

    returns: int = 0
    raises: int = 0
    jumps: int = 0  # break and continue of a loop around them
    breaks: int = 0  # of those the breaks
    nodes: int = 0

    def add(self, other: _Ways) -> None:
        self.returns += other.returns
        self.raises += other.raises
        self.jumps += other.jumps
        self.breaks += other.breaks
        self.nodes += other.nodes

    @property
    def out(self) -> int:
        return self.returns + self.jumps


def flow_of(tree: ast.Module) -> Flow:
    """Read off `tree` how control flows in it; `tree` is not changed."""
    flow = Flow()
    flow.compiled = _body(tree.body, flow, _Around()).nodes
    return flow


def _body(statements: Iterable[ast.stmt], flow: Flow, around: _Around) -> _Ways:
    ways = _Ways()
    for statement in statements:
        ways.add(_statement(statement, flow, around))
    return ways


def _statement(statement: ast.stmt, flow: Flow, around: _Around) -> _Ways:
    ways = _Ways(nodes=_see(statement, flow, around))
    if isinstance(statement, _SCOPES):
        ways.nodes += _body(statement.body, flow, _Around()).nodes
    elif isinstance(statement, ast.Return):
        ways.returns = 1
        if around.final:
            flow.early.append(statement)
    elif isinstance(statement, ast.Raise):
        ways.raises = 1
    elif isinstance(statement, (ast.Break, ast.Continue)):
        ways.jumps = 1
        ways.breaks = int(isinstance(statement, ast.Break))
        if around.final and not around.loop:
            flow.early.append(statement)
    elif isinstance(statement, _LOOPS):
        inside = _body(statement.body, flow, replace(around, loop=True))
        leaves = inside.returns or inside.raises or inside.breaks
        if isinstance(statement, ast.While) and not leaves:
            flow.endless.add(statement)
        inside.jumps = inside.breaks = 0
        ways.add(inside)
        ways.add(_body(statement.orelse, flow, around))
    elif isinstance(statement, (ast.Try, ast.TryStar)):
        ways.add(_try(statement, flow, around))
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        ways.add(_body(statement.body, flow, around.within(len(statement.items))))
        ways.nodes += _LEAVING * len(statement.items) * ways.out
    elif isinstance(statement, ast.Match):
        for case in statement.cases:
            ways.add(_body(case.body, flow, around))
    elif isinstance(statement, ast.If):
        ways.add(_body(statement.body, flow, around))
        ways.add(_body(statement.orelse, flow, around))
    return ways


def _try(statement: ast.Try | ast.TryStar, flow: Flow, around: _Around) -> _Ways:
    final = int(bool(statement.finalbody))
    around = around.within(final)
    ways = _body(statement.body, flow, around.within(1))
    for handler in statement.handlers:
        if handler.type is not None:
            _see(handler.type, flow, around)
        inside = _body(handler.body, flow, around.within(2))
        inside.nodes += _LEAVING * inside.out
        ways.add(inside)
    ways.add(_body(statement.orelse, flow, around))
    if final:
        here = _Around(final=True, handlers=around.handlers)
        last = _body(statement.finalbody, flow, here)
        last.nodes *= 2 + ways.out
        ways.add(last)
    return ways


def _see(root: ast.stmt | ast.expr, flow: Flow, around: _Around) -> int:
    """Count the nodes of a statement or expression, not those of statements inside."""
    count = 0
    left: list[tuple[ast.AST, int]] = [(root, around.handlers)]
    while left:
        node, handlers = left.pop()
        count += 1
        if isinstance(node, _COMPREHENSIONS):
            handlers += 1
        if handlers > flow.handlers:
            flow.handlers, flow.deepest = handlers, root.lineno
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                if value._fields:
                    left.append((value, handlers))
            elif type(value) is list:
                left += [
                    (item, handlers)
                    for item in value
                    if isinstance(item, ast.AST)
                    and not isinstance(item, (ast.stmt, ast.ExceptHandler))
                ]
    return count

"""Rules that run the backward pass of what their closure gives: it has done that."""

import ast
from collections.abc import Iterator

from dux_sandbox.findings import Finding

_LISTS = ("body", "orelse", "finalbody")
_GRAPHS = frozenset(["create_graph", "retain_graph"])


def leave_out(node: ast.ClassDef) -> Iterator[Finding]:
    """Take `loss.backward()` after `loss = closure()` out of methods, in place.

    Also where it keeps a graph: what could differentiate that is judged by itself.

    Yields:
        A note for each.
    """
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and _takes_closure(method):
            losses = losses_of(method)
            for inner in ast.walk(method) if losses else ():
                for name in _LISTS:
                    held = getattr(inner, name, None)
                    if isinstance(held, list):
                        yield from _out_of(held, losses)


def losses_of(method: ast.FunctionDef) -> set[str]:
    """The variables of a method that get `closure()`."""
    return {
        each.targets[0].id
        for each in ast.walk(method)
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Name)
        and _calls(each.value, "closure")
    }


def _takes_closure(method: ast.FunctionDef) -> bool:
    return any(each.arg == "closure" for each in method.args.args)


def _calls(value: ast.expr, name: str) -> bool:
    called = value.func if isinstance(value, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == name


def _out_of(held: list[ast.stmt], losses: set[str]) -> Iterator[Finding]:
    for at, statement in enumerate(held):
        if not isinstance(statement, ast.Expr):
            continue
        call = statement.value
        if not isinstance(call, ast.Call) or call.args:
            continue
        if not {each.arg for each in call.keywords} <= _GRAPHS:
            continue
        method = call.func
        if not isinstance(method, ast.Attribute) or method.attr != "backward":
            continue
        if isinstance(method.value, ast.Name) and method.value.id in losses:
            held[at] = ast.copy_location(ast.Pass(), statement)
            yield Finding(
                "left out",
                statement.lineno,
                "the backward pass of a loss that closure() gave: it has run it",
                "leave it out",
            )

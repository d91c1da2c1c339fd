"""Values that the checks of a function let through, as `if not 0 < x < 1: raise`."""

import ast
import operator
from collections.abc import Callable, Iterable

_COMPARED: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def first_allowed(
    values: Iterable[object], name: str, function: ast.FunctionDef
) -> object:
    """The first of some values that `if not 0 < x: raise` and its like let through.

    Checks that are about something else, too, say nothing; without one that is let
    through it is the first.
    """
    listed = list(values)
    tests = [
        (test, isinstance(each, ast.Assert))
        for each in function.body
        if isinstance(each, ast.Assert)
        or (isinstance(each, ast.If) and isinstance(each.body[-1], ast.Raise))
        for test in _alternatives(each.test)
    ]
    for value in listed:
        told = [(_truth(test, name, value), wanted) for test, wanted in tests]
        if all(truth is None or bool(truth) == wanted for truth, wanted in told):
            return value
    return listed[0]


def _alternatives(test: ast.expr) -> list[ast.expr]:
    apart = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)
    return test.values if apart else [test]  # type: ignore[attr-defined]


def _truth(test: ast.expr, name: str, value: object) -> object:
    """What a comparison of one name with constants gives; None where that is unknown.

    Nothing but `ast.Compare`, `not` and `and` of names and numbers is looked at.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(test.operand, name, value)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        parts = [_truth(each, name, value) for each in test.values]
        return None if None in parts else all(parts)
    if not isinstance(test, ast.Compare):
        return None
    sides = [_side(each, name, value) for each in (test.left, *test.comparators)]
    truths: list[bool] = []
    for at, op in enumerate(test.ops):
        left, right = sides[at], sides[at + 1]
        compare = _COMPARED.get(type(op))
        if compare is None or left is None or right is None:
            return None
        truths.append(compare(left, right))
    return all(truths)


def _side(node: ast.expr, name: str, value: object) -> float | None:
    if isinstance(node, ast.Name) and node.id == name:
        return value if isinstance(value, (int, float)) else None
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    kinds = {f"type({name})": type(value), "int": int, "float": float}
    kind = kinds.get(ast.unparse(node))
    return None if kind is None else float(hash(kind))

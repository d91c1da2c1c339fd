"""What a rule says about what is trained: its parameters are, and copies never are."""

import ast
import collections
from collections.abc import Container

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import bound_names

_WRITTEN = "requires_grad"
_CALLED = "requires_grad_"
_COPYING = frozenset(
    "clone detach empty_like full_like ones_like randn_like zeros_like".split()
)


def leave_out(node: ast.ClassDef, attributes: Container[str]) -> list[Finding]:
    """Take `p.requires_grad = True` out of an optimizer, in place.

    What a rule is given is trained anyway, and of its own tensors nothing is
    differentiated, so that False may be said of copies. To say it of a parameter is
    refused: the loop decides that.

    Args:
        attributes: the names of all attributes of the source.

    Returns:
        A note on each place.
    """
    if _WRITTEN not in attributes and _CALLED not in attributes:
        return []
    taken = _TakenOut()
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef):
            taken.idle |= _of_copies(each)
    taken.visit(node)
    return [
        Finding(
            "left out",
            line,
            "that a tensor is trained: parameters are, and nothing else can be",
            "leave it out",
        )
        for line in dict.fromkeys(taken.lines)
    ]


def _said(node: ast.AST) -> tuple[str, bool] | None:
    """Of which tensor a statement or call says that it is trained, or is not."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        written = isinstance(target, ast.Attribute) and target.attr == _WRITTEN
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        given = [*node.args, *(each.value for each in node.keywords)]
        target, value = node.func, given[0] if given else ast.Constant(True)
        written = target.attr == _CALLED and len(given) <= 1
    else:
        return None
    if not written or not (_is(value, True) or _is(value, False)):
        return None
    return ast.unparse(target.value), _is(value, True)  # type: ignore[attr-defined]


def _of_copies(function: ast.FunctionDef) -> set[ast.AST]:
    """What is said of a copy, or of a variable that is bound to a copy and once."""
    nodes = [*ast.walk(function)]
    bound = collections.Counter(name for each in nodes for name in bound_names(each))
    copies = {
        each.targets[0].id
        for each in nodes
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Name)
        and bound[each.targets[0].id] == len(each.targets) == 1
        and _is_copy(each.value)
    }
    return {
        each
        for each in nodes
        if (found := _said(each)) is not None
        and (found[0] in copies or _is_copy(_tensor_of(each)))
    }


def _tensor_of(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value
    return None


def _is_copy(value: ast.expr | None) -> bool:
    called = value.func if isinstance(value, ast.Call) else None
    if not isinstance(called, ast.Attribute):
        return False
    said = called.attr == _CALLED and _is_copy(called.value)
    return said or called.attr in _COPYING


class _TakenOut(ast.NodeTransformer):
    """Takes out what says that a tensor is trained, and what says it idly.

    Attributes:
        idle: nodes that say it, or its contrary, where nothing hangs on it.
        lines: of all that was taken out.
    """

    def __init__(self) -> None:
        self.idle: set[ast.AST] = set()
        self.lines: list[int] = []

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        found = _said(node)
        if found is None or not (found[1] or node in self.idle):
            return node
        self.lines.append(node.lineno)
        return ast.copy_location(ast.Pass(), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        found = _said(node)
        if found is None or not (found[1] or node in self.idle):
            return node
        self.lines.append(node.lineno)
        return node.func.value  # type: ignore[attr-defined,no-any-return]


def _is(value: ast.expr, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted

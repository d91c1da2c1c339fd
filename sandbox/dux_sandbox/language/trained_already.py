"""What a rule says about what is trained: its parameters are, and copies never are."""

import ast
from collections.abc import Container

from dux_sandbox.findings import Finding

_WRITTEN = "requires_grad"
_CALLED = "requires_grad_"


def leave_out(node: ast.ClassDef, attributes: Container[str]) -> list[Finding]:
    """Take `p.requires_grad = True` out of an optimizer, in place.

    What a rule is given is trained anyway, and of its own tensors nothing is
    differentiated. To say False of a parameter is refused: the loop decides that.

    Args:
        attributes: the names of all attributes of the source.

    Returns:
        A note on each place.
    """
    if _WRITTEN not in attributes and _CALLED not in attributes:
        return []
    taken = _TakenOut()
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


class _TakenOut(ast.NodeTransformer):
    def __init__(self) -> None:
        self.lines: list[int] = []

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        target = node.targets[0]
        written = isinstance(target, ast.Attribute) and target.attr == _WRITTEN
        if not written or len(node.targets) > 1 or not _is(node.value, True):
            return node
        self.lines.append(node.lineno)
        return ast.copy_location(ast.Pass(), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = node.func
        if not isinstance(called, ast.Attribute) or called.attr != _CALLED:
            return node
        given = [*node.args, *(each.value for each in node.keywords)]
        if given and not (len(given) == 1 and _is(given[0], True)):
            return node
        self.lines.append(node.lineno)
        return called.value


def _is(value: ast.expr, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted

"""`x.unsqueeze_(0)` of a variable becomes `x := x.unsqueeze(0)`: a view, by its name.

A tensor whose shape is changed in place is changed for whoever holds it: a parameter,
a gradient, a state. A function's own variable is nobody else's, where what it stands
for was computed there.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import bound_names

OF_SHAPE = frozenset("squeeze_ t_ transpose_ unsqueeze_".split())
_COMPUTED = (ast.BinOp, ast.Call, ast.UnaryOp)


def rename(function: ast.FunctionDef) -> list[Finding]:
    """Rewrite what changes the shape of a variable of `function`, in place.

    Returns:
        A note for each.
    """
    renaming = _Renaming(_own(function))
    function.body = [renaming.visit(each) for each in function.body]
    return renaming.notes


class _Renaming(ast.NodeTransformer):
    def __init__(self, own: set[str]) -> None:
        self.notes: list[Finding] = []
        self._own = own

    def _elsewhere(self, node: ast.AST) -> ast.AST:
        """What is inside has variables of its own, or runs at another time."""
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _elsewhere
    visit_Lambda = visit_GeneratorExp = _elsewhere
    visit_ListComp = visit_SetComp = visit_DictComp = _elsewhere

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        method = node.func
        if not isinstance(method, ast.Attribute) or method.attr not in OF_SHAPE:
            return node
        held = method.value
        if not isinstance(held, ast.Name) or held.id not in self._own:
            return node
        written, method.attr = method.attr, method.attr.removesuffix("_")
        line, name = node.lineno, held.id
        what = f"{name}.{written}() is written as {name} := {name}.{method.attr}()"
        instead = f"write {name} = {name}.{method.attr}(...)"
        self.notes.append(Finding("written", line, what, instead))
        target = ast.copy_location(ast.Name(name, ast.Store()), node)
        return ast.copy_location(ast.NamedExpr(target, node), node)


def _own(function: ast.FunctionDef) -> set[str]:
    """Variables that the function binds to what it computes, and to nothing else."""
    good: set[str] = set()
    bad: set[str] = set()
    left: list[ast.AST] = [function.args, *function.body]
    while left:
        node = left.pop()
        if isinstance(node, ast.Assign):
            computed = isinstance(node.value, _COMPUTED) or _detached(node.value)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    (good if computed else bad).add(target.id)
                else:
                    left.append(target)
            left.append(node.value)
        elif isinstance(node, ast.AugAssign):
            left.append(node.value)  # it stays what it was
        else:
            bad.update(bound_names(node))
            left += ast.iter_child_nodes(node)
    return good - bad


def _detached(value: ast.expr) -> bool:
    """`p.grad.data`, which is a tensor of its own on the same memory."""
    return isinstance(value, ast.Attribute) and value.attr == "data"

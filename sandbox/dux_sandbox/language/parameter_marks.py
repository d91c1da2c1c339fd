"""Values that a rule hangs on its parameters, `p.hess = ...`: it keeps them on itself.

Nothing is written on a tensor. Where a source walks over parameters and writes a name
of its own on them, that name is read and written in a dict by parameter instead, which
is saved with the rule.
"""

import ast
from collections.abc import Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.usual_values import put_first
from dux_sandbox.language.vocabulary import TENSOR

_OF_TENSORS = frozenset([*TENSOR, "requires_grad", "names"])
_FOREACH = (ast.For, ast.comprehension)


def keep(node: ast.ClassDef, hung: set[str]) -> list[Finding]:
    """Change an optimizer that writes on its parameters, in place.

    Args:
        hung: the attributes that its source writes on something else than `self`.

    Returns:
        A note for each name.
    """
    if hung <= _OF_TENSORS:
        return []
    methods = [
        each
        for each in node.body
        if isinstance(each, ast.FunctionDef)
        and [a.arg for a in each.args.args[:1]] == ["self"]
    ]
    init = next((each for each in methods if each.name == "__init__"), None)
    if init is None:
        return []
    marked = [(method, list(_on_parameters(method))) for method in methods]
    written = {
        each.attr: each.lineno
        for _, found in marked
        for each in found
        if isinstance(each.ctx, ast.Store) and not each.attr.startswith("__")
    }
    for method, found in marked:
        places = {each for each in found if each.attr in written}
        if places:
            _Kept(places).visit(method)
    put_first(init, "\n".join(f"self.{_named(name)} = {{}}" for name in written))
    return [
        Finding(
            "kept",
            line,
            f"{name}, written on parameters, is kept on the rule, by parameter",
            f'write self.state[p]["{name}"]',
        )
        for name, line in written.items()
    ]


def _named(name: str) -> str:
    return f"{name}_by_parameter"


def _on_parameters(method: ast.FunctionDef) -> Iterator[ast.Attribute]:
    """`p.name` of what a method walks over parameters with, but a tensor's own."""
    walked = {
        each.id
        for loop in ast.walk(method)
        if isinstance(loop, _FOREACH) and "params" in ast.unparse(loop.iter)
        for each in ast.walk(loop.target)
        if isinstance(each, ast.Name)
    }
    for each in ast.walk(method) if walked else ():
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            if each.value.id in walked and each.attr not in _OF_TENSORS:
                yield each


class _Kept(ast.NodeTransformer):
    def __init__(self, places: set[ast.Attribute]) -> None:
        self._places = places

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node not in self._places:
            return self.generic_visit(node)
        held = ast.Attribute(ast.Name("self", ast.Load()), _named(node.attr))
        held.ctx = ast.Load()
        made = ast.Subscript(held, node.value, node.ctx)
        return ast.fix_missing_locations(ast.copy_location(made, node))

"""`torch.set_grad_enabled(False)` of a block or a function is `torch.no_grad()`.

As a statement it would set the mode for whatever comes after it: it stays, and is
refused.
"""

import ast
from collections.abc import Callable

_SETS = "torch.set_grad_enabled"


def plain(
    node: ast.With | ast.FunctionDef, path_of: Callable[[ast.expr], str | None]
) -> bool:
    """Write the contexts or decorators of `node` by their plain names, in place.

    Args:
        path_of: the dotted path that an expression stands for.

    Returns:
        Whether there were any.
    """
    if isinstance(node, ast.With):
        entered = [item.context_expr for item in node.items]
    else:
        entered = node.decorator_list
    found = [each for each in entered if _sets(each, path_of)]
    for call in found:
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        mode = (call.args or [call.keywords[0].value])[0]
        assert isinstance(mode, ast.Constant)
        call.func.attr = "enable_grad" if mode.value else "no_grad"
        call.args, call.keywords = [], []
    return bool(found)


def _sets(node: ast.expr, path_of: Callable[[ast.expr], str | None]) -> bool:
    """Whether an expression sets the mode to what is written there."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    named = [each.value for each in node.keywords if each.arg == "mode"]
    given = [*node.args, *named]
    plain = len(given) == len(node.args) + len(node.keywords) == 1
    literal = plain and isinstance(given[0], ast.Constant)
    return (
        literal
        and type(given[0].value) is bool  # type: ignore[attr-defined]
        and path_of(node.func) == _SETS
    )

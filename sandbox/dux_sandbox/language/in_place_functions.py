"""`torch.abs_(x)` is read as `x.abs_()`: what holds for the method holds for it."""

import ast

from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.torch_names import IN_PLACE

_NAMES = frozenset(IN_PLACE)


def as_methods(tree: ast.Module, aliases: dict[str, str], attributes: set[str]) -> bool:
    """Change calls of torch's functions that write into their first argument, in place.

    Args:
        attributes: the names of all attributes of `tree`.

    Returns:
        Whether there was one.
    """
    changed = False
    for node in ast.walk(tree) if _NAMES & attributes else ():
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        into = node.args[0] if node.args else None
        if name in _NAMES and path_of(node.func, aliases) == f"torch.{name}":
            if into is not None and not isinstance(into, ast.Starred):
                node.func = ast.copy_location(
                    ast.Attribute(into, name, ast.Load()), node.func
                )
                del node.args[0]
                changed = True
    return changed

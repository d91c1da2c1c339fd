"""Helpers of a source on `torch.nn.Module`, as a rule can have them.

Of a module that computes, and keeps no parameters, only `forward` is ever called: it is
a plain class then, and what else a module has is refused where it is asked for.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import path_of

_CALL = """
def __call__(self, *inputs, **options):
    return self.forward(*inputs, **options)
"""


def as_plain(node: ast.ClassDef, aliases: dict[str, str]) -> list[Finding]:
    """Change such a class, in place.

    Args:
        aliases: what the names of its source are imported as.

    Returns:
        A note; none where it is no such class.
    """
    base = path_of(node.bases[0], aliases) if len(node.bases) == 1 else None
    if base != "torch.nn.Module" or not _computes(node):
        return []
    call = ast.parse(_CALL).body[0]
    for part in ast.walk(call):
        ast.copy_location(part, node)
    node.body.append(call)
    node.bases = []
    message = f"nn.Module under {node.name}, of which only forward() is called"
    return [Finding("left out", node.lineno, message, "write a plain class")]


def _computes(node: ast.ClassDef) -> bool:
    names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    return "forward" in names and "__call__" not in names

"""Helpers of a source on `torch.nn.Module` and `Parameter`, as a rule can have them.

Of a module that computes, and keeps no parameters, only `forward` is ever called: it is
a plain class then, and what else a module has is refused where it is asked for. A class
of parameters is asked for by `isinstance`, and no parameter that a rule gets is one.
"""

import ast

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.placing import placed

_PARAMETERS = frozenset(["torch.nn.Parameter", "torch.nn.parameter.Parameter"])
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
    if base in _PARAMETERS and not node.col_offset:
        return [_as_mark(node)]
    if base != "torch.nn.Module" or not _computes(node):
        return []
    node.body.append(placed(ast.parse(_CALL).body[0], node))
    node.bases = []
    message = f"nn.Module under {node.name}, of which only forward() is called"
    return [Finding("left out", node.lineno, message, "write a plain class")]


def _as_mark(node: ast.ClassDef) -> Finding:
    """Leave the attributes that its objects would have, and nothing else, in place."""
    held = dict.fromkeys(
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and not each.attr.startswith("_")
    )
    node.bases, node.keywords = [], []
    text = "\n".join(f"{name} = None" for name in held) or "pass"
    node.body = [placed(each, node) for each in ast.parse(text).body]
    message = f"no parameter that a rule gets is a {node.name}"
    return Finding("left out", node.lineno, message, "leave out what asks for one")


def _computes(node: ast.ClassDef) -> bool:
    names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    return "forward" in names and "__call__" not in names

"""`torch.FloatTensor([0.0])` of old code is read as `torch.tensor([0.0], dtype=...)`.

And `x.type(torch.cuda.FloatTensor)` as `x.cuda().type(torch.float32)`: on a GPU where
the rule's tensors are on one, and not elsewhere. Sizes give zeros, where torch hands
out memory that was never written.
"""

import ast

from dux_sandbox.language.bindings import path_of

_DTYPES = dict(
    FloatTensor="float32",
    DoubleTensor="float64",
    HalfTensor="float16",
    IntTensor="int32",
    LongTensor="int64",
)


def as_today(tree: ast.Module, aliases: dict[str, str], attributes: set[str]) -> bool:
    """Change them, in place.

    Args:
        attributes: the names of all attributes of `tree`.

    Returns:
        Whether there was one.
    """
    if _DTYPES.keys().isdisjoint(attributes):
        return False
    reading = _Reading(aliases)
    reading.visit(tree)
    return reading.changed


class _Reading(ast.NodeTransformer):
    def __init__(self, aliases: dict[str, str]) -> None:
        self.changed = False
        self._aliases = aliases

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called, given = node.func, node.args
        if not isinstance(called, ast.Attribute) or node.keywords:
            return node
        if called.attr == "type" and len(given) == 1:
            found = self._named(given[0])
            if found is not None:
                _, dtype, place = found
                moved = _call(called.value, place)
                return self._placed(_call(moved, "type", dtype), node)
        found = self._named(called)
        if found is None:
            return node
        torch, dtype, place = found
        if len(given) == 1 and isinstance(given[0], (ast.List, ast.Tuple)):
            made = _call(torch, "tensor", given[0])
        elif all(isinstance(each, (ast.Constant, ast.Starred)) for each in given):
            made = _call(torch, "zeros", *(given or [ast.Constant(0)]))
        else:
            return node
        made.keywords = [ast.keyword("dtype", dtype)]
        return self._placed(made if place == "cpu" else _call(made, place), node)

    def _named(self, node: ast.expr) -> tuple[ast.expr, ast.expr, str] | None:
        """What stands for torch in `torch.cuda.FloatTensor`, its dtype and place."""
        path = path_of(node, self._aliases) or ""
        home, _, name = path.rpartition(".")
        dtype = _DTYPES.get(name)
        if dtype is None or home not in ("torch", "torch.cuda"):
            return None
        torch = node.value if isinstance(node, ast.Attribute) else None
        if home == "torch.cuda" and isinstance(torch, ast.Attribute):
            torch = torch.value
        if not isinstance(torch, ast.Name) or self._aliases.get(torch.id) != "torch":
            return None
        made = ast.Attribute(torch, dtype, ast.Load())
        return torch, made, "cuda" if home == "torch.cuda" else "cpu"

    def _placed(self, made: ast.expr, at: ast.expr) -> ast.expr:
        self.changed = True
        for each in ast.walk(made):
            if not hasattr(each, "lineno"):
                ast.copy_location(each, at)
        return made


def _call(of: ast.expr, name: str, *given: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(of, name, ast.Load()), [*given], [])

"""Calls of packages that a rule may not import, where torch or math has the same."""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language.bindings import aliases_in, path_of
from dux_sandbox.mending.draft import Draft, Rewrite

# Of numpy and of cmath-like modules: what math has by the same name, of numbers.
_OF_MATH = frozenset(
    """acos asin atan ceil cos cosh e exp expm1 floor hypot inf isfinite isinf isnan log
    log10 log1p log2 nan pi prod sin sinh sqrt tan tanh trunc""".split()
)
_BUILTIN = {
    "numpy.abs": "abs",
    "numpy.absolute": "abs",
    "numpy.fabs": "abs",
    "numpy.maximum": "max",
    "numpy.minimum": "min",
    "numpy.max": "max",
    "numpy.min": "min",
    "numpy.sum": "sum",
    "numpy.round": "round",
    "numpy.float32": "float",
    "numpy.float64": "float",
}
_POWERS = frozenset(["numpy.power", "numpy.float_power"])


def of_packages(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`np.sqrt(x)` becomes `math.sqrt(x)`.

    `x.set_(y)`, which makes x another tensor, becomes `x.copy_(y)`.
    """
    aliases = aliases_in(draft.tree)
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    inside: set[ast.AST] = set()
    math = False
    for node in ast.walk(draft.tree):
        if node in inside or not isinstance(node, (ast.Call, ast.Attribute, ast.Name)):
            continue
        if isinstance(node, ast.Call):
            new = _of_call(draft, node, aliases)
            if new is None:
                continue
        else:
            path = path_of(node, aliases) or ""
            short = path.removeprefix("numpy.")
            ours = short != path and (short in _OF_MATH or path in _BUILTIN)
            if not ours or not isinstance(node.ctx, ast.Load):
                continue
            new = _BUILTIN.get(path) or f"math.{short}"
            math |= path not in _BUILTIN
        if not draft.may_touch(node.lineno):
            continue
        inside.update(ast.walk(node))
        edits.append(Edit.of(node, new))
        told.append(
            (
                node.lineno,
                f"{draft.written(node)[:60]} is written as {new}",
                node.lineno,
            )
        )
    added = [(draft.first_import(), "import math")]
    if not math or aliases.get("math") == "math":
        added = []
    return Rewrite(tuple(edits), (), tuple(told), tuple(added))


def _of_call(draft: Draft, node: ast.Call, aliases: dict[str, str]) -> str | None:
    path = path_of(node.func, aliases)
    if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
        return None
    written = [draft.written(each) for each in node.args]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "set_":
        owner = draft.written(node.func.value)
        return f"{owner}.copy_({written[0]})" if len(written) == 1 else None
    if path in _POWERS and len(written) == 2:
        return f"(({written[0]}) ** ({written[1]}))"
    if path == "numpy.square" and len(written) == 1:
        return f"(({written[0]}) ** 2)"
    return None

"""`torch.add(a, b, out=c)` becomes `c.copy_(torch.add(a, b))`."""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.mending.draft import Draft, Rewrite

_PLAIN = (ast.Name, ast.Attribute, ast.Subscript)


def copied(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Every call that writes its result into a tensor that it is handed."""
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    functions = (each for each in ast.walk(draft.tree) if type(each) is ast.FunctionDef)
    own = {each.name for each in functions}
    for node in ast.walk(draft.tree):
        if not isinstance(node, ast.Call) or not draft.may_touch(node.lineno):
            continue
        into = [keyword for keyword in node.keywords if keyword.arg == "out"]
        if len(into) != 1 or not isinstance(into[0].value, _PLAIN):
            continue
        if any(_writes_out(each) for each in ast.walk(node) if each is not node):
            continue  # the inner one first; this one at the next turn
        if _last_name(node.func) in own:
            continue  # an argument of its own, whatever becomes of it there
        target = draft.written(into[0].value)
        rest = [keyword for keyword in node.keywords if keyword is not into[0]]
        given = [draft.written(each) for each in node.args]
        given += [
            f"{each.arg}={draft.written(each.value)}"
            if each.arg
            else f"**{draft.written(each.value)}"
            for each in rest
        ]
        call = f"{draft.written(node.func)}({', '.join(given)})"
        edits.append(Edit.of(node, f"{target}.copy_({call})"))
        told.append((node.lineno, f"out={target} is written as a copy", node.lineno))
    return Rewrite(tuple(edits), (), tuple(told))


def _last_name(called: ast.expr) -> str:
    return ast.unparse(called).rpartition(".")[2]


def _writes_out(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and any(
        each.arg == "out" for each in node.keywords
    )

"""What a source sets and nothing hangs on: flags of tensors, the name of an object."""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.mending.draft import Draft, Rewrite


def left_out(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`copy.requires_grad = False`, `p.grad = None` and `self.__name__ = "Mine"` go.

    A gradient is the training loop's to clear, before the next one. A comparison shows
    that nothing hangs on them: it looks at the flags of the weights as well as at their
    values. A name that is read anywhere stays.
    """
    written = [each for each in findings if each.message.startswith("writing ")]
    lines = {finding.line for finding in written}
    read = {
        node.attr
        for node in ast.walk(draft.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    gone = [
        node
        for node in ast.walk(draft.tree)
        if isinstance(node, (ast.Assign, ast.Expr))
        and lines & set(lines_of(node))
        and _sets_flag(node, read)
        and draft.may_touch(node.lineno)
    ]
    told = []
    for node in gone:
        what = f"{ast.unparse(node)[:60]} is left out: nothing hangs on it"
        told.append((node.lineno, what, draft.line_beside(node, gone)))
    return Rewrite((), tuple(gone), tuple(told))


def _sets_flag(node: ast.Assign | ast.Expr, read: set[str]) -> bool:
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        names = {"requires_grad", *({"__name__"} - read)}
        if isinstance(node.value, ast.Constant) and node.value.value is None:
            names.add("grad")
        return isinstance(target, ast.Attribute) and target.attr in names
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "requires_grad_"

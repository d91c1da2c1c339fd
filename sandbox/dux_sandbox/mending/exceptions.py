"""Exceptions of a source's own: what is raised becomes one that Python has."""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.mending.draft import Draft, Rewrite

_KNOWN = frozenset(
    """ArithmeticError AssertionError Exception KeyError NotImplementedError
    RuntimeError TypeError ValueError""".split()
)


def plain(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`raise NegativeRate(lr)` becomes `raise ValueError(lr)`, and the class goes.

    Only where a source does nothing with its exceptions but raise them.
    """
    refused = {
        finding.line
        for finding in findings
        if finding.rule == "class" and finding.message.startswith("a class built on ")
    }
    kinds = _kinds(draft.tree)
    if not refused & {node.lineno for node in kinds}:
        return Rewrite()
    names = {node.name for node in kinds}
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    raised: set[ast.AST] = set()
    for node in ast.walk(draft.tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            call = node.exc
            kind = call.func if isinstance(call, ast.Call) else call
            if not isinstance(kind, ast.Name) or kind.id not in names:
                continue
            raised.add(kind)
            given = _given(draft, call)
            base = _base(kind.id, kinds)
            edits.append(Edit.of(call, f"{base}({given})"))
            what = f"{base} is raised in place of {kind.id}"
            told.append((node.lineno, what, None))
    for node in ast.walk(draft.tree):
        if isinstance(node, ast.Name) and node.id in names and node not in raised:
            inside = any(node in each.bases for each in kinds)
            own = any(node in set(ast.walk(each)) for each in kinds)
            if not inside and not own:
                return Rewrite()  # it is caught, or kept: it has to stay what it is
    told += [
        (node.lineno, f"the exception {node.name} is left out", None) for node in kinds
    ]
    return Rewrite(tuple(edits), tuple(kinds), tuple(told))


def _kinds(tree: ast.Module) -> list[ast.ClassDef]:
    """Classes at the top level that are built on exceptions alone."""
    found: list[ast.ClassDef] = []
    names = set(_KNOWN)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.bases:
            bases = [each.id for each in node.bases if isinstance(each, ast.Name)]
            if len(bases) == len(node.bases) and set(bases) <= names:
                names.add(node.name)
                found.append(node)
    return found


def _base(name: str, kinds: list[ast.ClassDef]) -> str:
    """The exception of Python's that one is built on."""
    by_name = {node.name: node for node in kinds}
    while name in by_name:
        first = by_name[name].bases[0]
        assert isinstance(first, ast.Name)
        name = first.id
    return "ValueError" if name == "Exception" else name


def _given(draft: Draft, call: ast.expr) -> str:
    if not isinstance(call, ast.Call):
        return ""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return ", ".join(draft.written(each) for each in values)

"""What a source only says: prints and log lines, and what is made for them alone."""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.gathering.scopes import Scope
from dux_sandbox.mending.draft import Draft, Rewrite

_SAYS = frozenset(
    "breakpoint critical debug display error exception info log print set_trace warn "
    "warning write".split()
)


def silenced(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Statements that print or log, where a finding is about them or their text."""
    lines = draft.at(findings)
    said = [
        node
        for node in ast.walk(draft.tree)
        if isinstance(node, ast.Expr) and _says(node.value)
    ]
    inside = {each: node for node in said for each in ast.walk(node)}
    gone: list[ast.stmt] = [node for node in said if lines & set(lines_of(node))]
    for node in ast.walk(draft.tree):
        if not isinstance(node, ast.Assign) or not lines & set(lines_of(node)):
            continue
        uses = _uses(draft, node)
        if uses is not None and all(each in inside for each in uses):
            gone += [node, *(inside[each] for each in uses)]
    gone = [each for each in dict.fromkeys(gone) if draft.may_touch(each.lineno)]
    told = [(each.lineno, "what is only printed is left out", None) for each in gone]
    return Rewrite((), tuple(gone), tuple(told))


def _says(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return False
    name = getattr(value.func, "attr", getattr(value.func, "id", ""))
    return name in _SAYS


def _uses(draft: Draft, node: ast.Assign) -> list[ast.Name] | None:
    """Reads of the only name that an assignment in a function binds; None elsewhere."""
    if len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
        return None
    scope = _scope(draft, node.targets[0])
    if scope is None or not isinstance(scope.node, ast.FunctionDef):
        return None
    uses = scope.uses[node.targets[0].id]
    return [use for use in uses if isinstance(use.ctx, ast.Load)]


def _scope(draft: Draft, name: ast.Name) -> Scope | None:
    held = (each for each in draft.scopes if name in each.uses.get(name.id, ()))
    return next(held, None)

"""Constants of a module that are computed by what a rule may not use."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import Outline, lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.mending.draft import Draft, Rewrite


def constants_of(about: Outline) -> list[str]:
    """Names that a source computes once at its top level, and does not write down."""
    return [
        name
        for statement in about.tree.body
        for name, value in _bound(statement)
        if not isinstance(value, ast.Constant) and len(about.binders[name]) == 1
    ]


def written_down(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`NEW = at_least(torch.__version__, "2.4")` becomes `NEW = True`.

    Where a finding is about the statement, or about a function that it calls, and what
    it gives is known.
    """
    lines = draft.at(findings)
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for statement in draft.tree.body:
        for name, value in _bound(statement):
            known = draft.values.get(name)
            if known is None or isinstance(value, ast.Constant):
                continue
            used = [each.id for each in ast.walk(value) if isinstance(each, ast.Name)]
            about = {*draft.about.needed(used), statement}
            if not lines & {line for each in about for line in lines_of(each)}:
                continue
            if draft.may_touch(statement.lineno):
                edits.append(Edit.of(value, known))
                what = (
                    f"{draft.written(value)[:60]} is written as {known}, as it is here"
                )
                told.append((statement.lineno, what, statement.lineno))
    return Rewrite(tuple(edits), (), tuple(told))


def _bound(statement: ast.stmt) -> list[tuple[str, ast.expr]]:
    """The name that a statement binds to a value, and the value."""
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return []
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return []
    assert statement.value is not None
    return [(targets[0].id, statement.value)]

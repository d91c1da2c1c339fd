"""What is refused and never reached: it is left out of the rule, with a note."""

import ast
from typing import Any

from dux_sandbox.findings import Finding
from dux_sandbox.language.judging import Handlers, Judging, located
from dux_sandbox.language.reached import place_of
from dux_sandbox.language.statements import check_finally
from dux_sandbox.language.usage import left_out, mentioned

# What a statement at the top level is called, where it may be left out.
_NAMES = {
    "ClassDef": "a class",
    "FunctionDef": "a function",
    "Import": "an import",
    "ImportFrom": "an import",
}


def _module(policy: Judging, node: ast.Module) -> Any:
    """The top level; `if __name__ == "__main__":` has been dropped before."""
    check_finally(policy)
    body: list[ast.stmt] = []
    gone: set[str] = set()
    for statement in node.body:
        before = len(policy.findings)
        line, kind = statement.lineno, type(statement).__name__
        unused = statement in policy.unused
        # What is built on something that was left out goes with it.
        lost = unused and bool(gone) and not gone.isdisjoint(mentioned(statement))
        made = policy.visit(statement)
        if lost or (unused and len(policy.findings) > before):
            del policy.findings[before:]
            gone.add(statement.name)  # type: ignore[attr-defined]
            what = "class" if kind == "ClassDef" else "function"
            policy.notes.append(left_out(line, 1, what))
        elif not _in_vain(policy, statement, before, "statements", _NAMES.get(kind)):
            body.extend(made if isinstance(made, list) else [made])
    node.body = body
    return node


def _in_vain(
    policy: Judging, statement: ast.stmt, before: int, which: str, what: str | None
) -> bool:
    """Whether a statement is to be left out: it was refused, and is not reached.

    Args:
        before: the number of findings before it was judged.
        which: the field of `Unreached` that it would be in.
        what: how it is called.
    """
    if len(policy.findings) == before or what is None:
        return False
    if place_of(statement) not in getattr(policy.unreached(), which):
        return False
    del policy.findings[before:]
    message = f"{what}, which no step of the rule as it is built comes to"
    instead = "leave it out, or write it with what a rule may use"
    policy.notes.append(Finding("left out", statement.lineno, message, instead))
    return True


def judged_body(policy: Judging, node: ast.ClassDef) -> list[ast.stmt]:
    """The body of a class, without refused methods that nobody names."""
    body: list[ast.stmt] = []
    for statement in node.body:
        before = len(policy.findings)
        name = getattr(statement, "name", "")
        what = f"the method {name}" if name else None
        made = policy.visit(statement)
        if not _in_vain(policy, statement, before, "methods", what):
            body.extend(made if isinstance(made, list) else [made])
    return body or [ast.copy_location(ast.Pass(), node)]


def _if(policy: Judging, node: ast.If) -> ast.AST:
    """A branch that no default takes, and that is refused, raises instead."""
    node.test = policy.visit(node.test)
    for held in (node.body, node.orelse):
        if not held:
            continue
        before, first = len(policy.findings), held[0]
        made: list[ast.stmt] = []
        for statement in held:
            done = policy.visit(statement)
            made.extend(done if isinstance(done, list) else [done])
        if _in_vain(policy, first, before, "branches", "a branch"):
            made = [ast.Expr(policy.call("@unreached", [], first), **located(first))]
        held[:] = made
    return node


HANDLERS: Handlers = {"Module": _module, "If": _if}
"""What is called for a node, by the name of its kind."""

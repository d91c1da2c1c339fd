"""What stands after the rule's class and is nothing to it: factories, examples, uses.

The statements up to the class are the rule's, and of those after it the ones that bind
or change what the others use. The rest never runs: a definition in it may be kept where
nothing is wrong with it, everything else is left out.
"""

import ast
from collections.abc import Container, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import bound_names

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def usage_after(
    tree: ast.Module, rule: str, modules: Container[str]
) -> tuple[set[ast.stmt], Finding | None]:
    """Take usage lines out of `tree`, in place.

    Args:
        rule: the name of the rule's class.
        modules: names that stand for what is imported: a call changes nothing there.

    Returns:
        The definitions after the class that the rule does not use, and a note on the
        lines that were taken out.
    """
    last = max(
        index
        for index, each in enumerate(tree.body)
        if isinstance(each, ast.ClassDef) and each.name == rule
    )
    after = tree.body[last + 1 :]
    unused = _unused(tree.body[: last + 1], after, modules)
    gone = [
        each for each in after if each in unused and not isinstance(each, _DEFINITIONS)
    ]
    if not gone:
        return unused, None
    out = set(gone)
    tree.body = [each for each in tree.body if each not in out]
    return unused - out, left_out(gone[0].lineno, len(gone), "statement")


def left_out(line: int, count: int, what: str) -> Finding:
    """The note on what is not part of the rule."""
    several = f"{count} {what}s" if count > 1 else f"a {what}"
    return Finding(
        "left out",
        line,
        f"{several} after the class that the rule does not use",
        "leave out what uses the rule",
    )


def _unused(
    kept: list[ast.stmt], after: list[ast.stmt], modules: Container[str]
) -> set[ast.stmt]:
    """Statements that bind nothing that is used, and change nothing either."""
    binders: dict[str, list[ast.stmt]] = {}
    for statement in after:
        for name in touched(statement, modules):
            binders.setdefault(name, []).append(statement)
    unused = {each for each in after if not _is_docstring(each) and not _imports(each)}
    left = list(kept)
    seen: set[str] = set()
    while left:
        for name in mentioned(left.pop()):
            if name not in seen:
                seen.add(name)
                for statement in binders.get(name, ()):
                    if statement in unused:
                        unused.discard(statement)
                        left.append(statement)
    return unused


def _imports(statement: ast.stmt) -> bool:
    """What the module imports is judged, used or not."""
    return not isinstance(statement, _DEFINITIONS) and any(
        isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(statement)
    )


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def mentioned(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ClassDef):
            yield node.name


def _sets_attribute(node: ast.Call) -> bool:
    named = isinstance(node.func, ast.Name) and node.func.id == "setattr"
    return named and bool(node.args)


def touched(statement: ast.stmt, modules: Container[str]) -> Iterator[str]:
    """Names that a top-level statement binds, and those of what it writes into.

    What is bound inside a function or class is local to it.
    """
    if isinstance(statement, _DEFINITIONS):
        yield statement.name
        return
    for node in ast.walk(statement):
        yield from bound_names(node)
        inner: ast.AST | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            inner = node.func
        elif isinstance(node, ast.Call) and _sets_attribute(node):
            inner = node.args[0]
        elif isinstance(node, (ast.Attribute, ast.Subscript)):
            inner = None if isinstance(node.ctx, ast.Load) else node
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id not in modules:
            yield inner.id

"""A source without what never runs."""

import ast


def without_texts(tree: ast.Module) -> ast.Module:
    """The tree without docstrings and other texts that stand alone; in place."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            rest = [each for each in body if not _is_text(each)]
            node.body = rest or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def form_of(source: str) -> str:
    """A source without comments, docstrings, spaces and line ends.

    It has passed the static check, so it may be parsed.
    """
    try:
        return ast.dump(without_texts(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source  # a check of the caller's own let it pass


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )

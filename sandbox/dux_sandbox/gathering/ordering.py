"""The order in which the parts of several files can run as one source."""

import ast
from collections.abc import Iterator, Mapping

from dux_sandbox.gathering.outline import Outline
from dux_sandbox.gathering.reading import CannotJoin

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def in_order(needs: Mapping[str, Mapping[str, bool]], main: str) -> list[str]:
    """Files, each after those that it needs when it is run; the first one last.

    Files may use each other in a circle, as long as that is inside of functions: what
    is taken of them are definitions.

    Args:
        needs: by file, the files that it uses something of, and whether at once.
        main: the file that begins it.

    Raises:
        CannotJoin: files need each other at once.
    """
    order: list[str] = []
    _visit(main, needs, order, [], early=False)
    made: list[str] = []
    for name in [each for each in order if each != main]:
        _visit(name, needs, made, [main], early=True)
    return [*made, main]


def _visit(
    name: str,
    needs: Mapping[str, Mapping[str, bool]],
    order: list[str],
    path: list[str],
    *,
    early: bool,
) -> None:
    """Append what a file needs, and the file; `early`: only what it needs at once."""
    if name in order:
        return
    if name in path:
        if early:
            ring = [*path[path.index(name) :], name]
            raise CannotJoin(
                path[-1],
                None,
                f"files import each other: {' -> '.join(ring)}",
                "move what both need into a file that imports neither",
            )
        return
    for other, at_once in needs[name].items():
        if at_once or not early:
            _visit(other, needs, order, [*path, name], early=early)
    if name not in order:
        order.append(name)


def run_at_once(about: Outline, statement: ast.stmt) -> Iterator[ast.AST]:
    """Every node of a statement that is computed when the statement is run.

    What stands inside of functions is not, and nor are hints that nobody reads.
    """
    lazy = any(
        isinstance(each, ast.ImportFrom) and each.module == "__future__"
        for each in about.tree.body
    )
    left: list[ast.AST] = [statement]
    while left:
        node = left.pop()
        yield node
        if isinstance(node, _FUNCTIONS):
            left += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            left += getattr(node, "decorator_list", [])
            if not lazy:
                left += _hints(node)
        elif isinstance(node, ast.AnnAssign) and lazy:
            left += [node.target, *([node.value] if node.value else [])]
        else:
            left += ast.iter_child_nodes(node)


def _hints(function: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(getattr(function, "args")):  # noqa: B009
        if isinstance(node, ast.arg) and node.annotation is not None:
            yield node.annotation
    returns = getattr(function, "returns", None)
    if returns is not None:
        yield returns

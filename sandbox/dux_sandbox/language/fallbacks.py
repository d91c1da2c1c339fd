"""Read as where rules run: imports that may fail, and what is for type checkers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dux_sandbox.language import vocabulary
from dux_sandbox.language.bindings import import_aliases, path_of
from dux_sandbox.language.judging import known_path

FAILS = frozenset(["ImportError", "ModuleNotFoundError", "Exception"])


def kept(held: list[ast.stmt], aliases: dict[str, str]) -> Iterator[ast.stmt]:
    """The statements, with what never runs taken out and its alternative put in."""
    left = list(reversed(held))
    while left:
        statement = left.pop()
        if isinstance(statement, ast.If) and _for_checkers(statement.test, aliases):
            left.extend(reversed(statement.orelse))
        elif isinstance(statement, ast.Try) and _asks_in_vain(statement, aliases):
            taken = [*statement.handlers[0].body, *statement.finalbody]
            left.extend(reversed(taken))
        elif isinstance(statement, ast.Try) and _is_fallback(statement):
            if all(map(_is_known, _imports_of(statement))):
                taken = [*statement.body, *statement.orelse, *statement.finalbody]
            else:
                taken = [*statement.handlers[0].body, *statement.finalbody]
            left.extend(reversed(taken))
        else:
            yield statement


def _for_checkers(test: ast.expr, aliases: dict[str, str]) -> bool:
    path = path_of(test, aliases)
    return path in ("typing.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING")


def _imports_of(statement: ast.Try) -> list[ast.stmt]:
    return [s for s in statement.body if isinstance(s, (ast.Import, ast.ImportFrom))]


def _is_fallback(statement: ast.Try) -> bool:
    """A `try` that imports, and does something else where that fails."""
    if not _imports_of(statement) or len(statement.handlers) != 1:
        return False
    handler = statement.handlers[0]
    caught = handler.type
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    names = [kind.id for kind in kinds if isinstance(kind, ast.Name)]
    simple = all(
        isinstance(each, (ast.Import, ast.ImportFrom, ast.Assign, ast.Pass))
        for each in statement.body
    )
    gives_up = any(isinstance(each, ast.Raise) for each in handler.body)
    return simple and not gives_up and (caught is None or bool(FAILS & {*names}))


def _asks_in_vain(statement: ast.Try, aliases: dict[str, str]) -> bool:
    """`try: HAS = "x" in torch.ops.y.overloads()`, of what no rule can reach."""
    if len(statement.handlers) != 1 or _imports_of(statement):
        return False
    caught = statement.handlers[0].type
    name = caught.id if isinstance(caught, ast.Name) else ""
    if caught is not None and name not in ("AttributeError", "Exception"):
        return False
    if any(isinstance(each, ast.Raise) for each in statement.handlers[0].body):
        return False
    return all(isinstance(each, ast.Assign) for each in statement.body) and any(
        _leads_nowhere(path)
        for node in ast.walk(ast.Module(statement.body, []))
        if (path := path_of(node, aliases)) is not None
    )


def _leads_nowhere(path: str) -> bool:
    """Whether a dotted path leaves the modules of a rule at a name they lack."""
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        if module not in vocabulary.MODULES:
            return count > 1 and not known_path(module)
    return False


def _is_known(statement: ast.stmt) -> bool:
    """Whether every name that a statement imports is there for a rule."""
    if isinstance(statement, ast.Import):
        return all(alias.name in vocabulary.MODULES for alias in statement.names)
    return all(known_path(path) for _, path in import_aliases(statement)) and not (
        isinstance(statement, ast.ImportFrom) and statement.level
    )

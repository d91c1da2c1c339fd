"""What a source says that no program sees: texts that go nowhere, errors that it
catches."""

import ast
from dataclasses import dataclass

from dux_sandbox.language.quiet_parsing import quiet_parser

_TOLD = frozenset(
    ["print", "warn", "debug", "info", "warning", "error", "critical", "exception"]
)
_SUPPRESSES = frozenset(["suppress", "__exit__", "ExitStack", "contextmanager"])


@dataclass(frozen=True)
class Asides:
    """What is known of one source.

    Attributes:
        told: lines whose texts go nowhere: what is printed, logged or raised.
        catches: an error need not leave its step, so whether one is raised is a branch.
    """

    told: frozenset[int] = frozenset()
    catches: bool = False


def asides_of(source: str) -> Asides:
    """Look through a source that the static check has let through.

    >>> asides_of("try:\\n    print(1 / x)\\nexcept ZeroDivisionError:\\n    pass")
    Asides(told=frozenset({2}), catches=True)
    """
    told: set[int] = set()
    catches = False
    with quiet_parser():
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Try, ast.TryStar)):
            catches = True
        elif isinstance(node, (ast.Name, ast.Attribute, ast.FunctionDef)):
            catches |= _name_of(node) in _SUPPRESSES
        if isinstance(node, ast.stmt) and _is_told(node):
            told.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return Asides(frozenset(told), catches)


def _is_told(node: ast.stmt) -> bool:
    called = node.value if isinstance(node, ast.Expr) else None
    is_call = isinstance(called, ast.Call) and _name_of(called.func) in _TOLD
    return is_call or isinstance(node, ast.Raise)


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return str(getattr(node, "id", getattr(node, "name", "")))

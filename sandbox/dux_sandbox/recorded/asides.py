"""What a source says that no program sees: texts that go nowhere, errors that it
catches."""

import ast
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from dux_sandbox.language.quiet_parsing import quiet_parser

_TOLD = frozenset(
    ["print", "warn", "debug", "info", "warning", "error", "critical", "exception"]
)
_SUPPRESSES = frozenset(["suppress", "__exit__", "ExitStack", "contextmanager"])
_SHOWS = _TOLD | frozenset(["str", "repr", "format", "join"])
_USES = (ast.NamedExpr, ast.Subscript, ast.Compare, ast.Lambda, ast.Yield)


@dataclass(frozen=True)
class Asides:
    """What is known of one source.

    Attributes:
        told: lines all of whose texts go nowhere: what is printed or logged, or raised
            where nothing is caught.
        catches: an error need not leave its step, so whether one is raised is a branch.
    """

    told: frozenset[int] = frozenset()
    catches: bool = False


def asides_of(source: str) -> Asides:
    """Look through a source that the static check has let through.

    >>> asides_of("try:\\n    print(1 / x)\\nexcept ZeroDivisionError:\\n    pass")
    Asides(told=frozenset({2}), catches=True)
    """
    with quiet_parser():
        nodes = list(ast.walk(ast.parse(source)))
    catches = any(map(_may_catch, nodes))
    own = {_name_of(each) for each in nodes if _is_bound(each)}
    told: Counter[int] = Counter()
    begun: Counter[int] = Counter()
    for node in nodes:
        if isinstance(node, ast.stmt):
            lines = range(node.lineno, _last_line(node) + 1)
            begun.update(lines)
            if _is_told(node, own) and not (catches and isinstance(node, ast.Raise)):
                told.update(lines)
    return Asides(frozenset(at for at in told if told[at] == begun[at]), catches)


def _last_line(node: ast.stmt) -> int:
    """Of a statement that holds others: the last one before these."""
    parts = ast.iter_child_nodes(node) if hasattr(node, "body") else [node]
    kinds = ast.expr if hasattr(node, "body") else ast.stmt
    ends = [x.end_lineno for x in parts if isinstance(x, kinds)]
    return max([node.lineno, *(each for each in ends if each is not None)])


def _is_bound(node: ast.AST) -> bool:
    """Whether the source gives its name a meaning of its own."""
    stored = isinstance(getattr(node, "ctx", None), ast.Store)
    return stored or isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.arg))


def _may_catch(node: ast.AST) -> bool:
    if isinstance(node, (ast.Name, ast.Attribute, ast.FunctionDef)):
        return _name_of(node) in _SUPPRESSES
    return isinstance(node, (ast.Try, ast.TryStar))


def _is_told(node: ast.stmt, own: Collection[str]) -> bool:
    """Whether nothing comes of the texts in it, as of a key or an argument does.

    Args:
        own: names that the source gives meanings of its own.
    """
    if isinstance(node, ast.Raise):
        said = node.exc
        names = {_name_of(said.func)} if isinstance(said, ast.Call) else set()
    else:
        said = node.value if isinstance(node, ast.Expr) else None
        names = set()
        if not isinstance(said, ast.Call) or _name_of(said.func) not in _TOLD:
            return False
    names = (names | _SHOWS) - set(own)
    return said is not None and not any(_uses(each, names) for each in ast.walk(said))


def _uses(node: ast.AST, shows: Collection[str]) -> bool:
    """Whether something but another text may come of a text inside it."""
    if isinstance(node, ast.Call):
        uses = _name_of(node.func) not in shows
    else:
        uses = isinstance(node, _USES)
    return uses and any(map(_is_text, ast.walk(node)))


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _name_of(node.func) in _SHOWS
    return isinstance(node, (ast.JoinedStr, ast.Mod))


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    names = (getattr(node, each, None) for each in ("id", "name", "arg"))
    return next((each for each in names if each is not None), "")

"""Sources as syntax trees: when two are the same, and which constants one has."""

import ast
import hashlib
from collections.abc import Mapping
from functools import lru_cache

from dux_graphs.source_form import without_texts

_KNOWN = 256  # sources whose forms are remembered

Constants = dict[str, float]
"""By name; "betas[0]" is the first of a tuple."""


@lru_cache(_KNOWN)
def normal_form(source: str) -> str:
    """A digest that no comment, no layout and no choice of names changes.

    >>> one, two = "def f(a):\\n  return a + 1", "def g(b): return b + 1  # more"
    >>> normal_form(one) == normal_form(two) != normal_form("def f(a): return a")
    True
    """
    tree = without_texts(ast.parse(source))
    names: dict[str, str] = {}
    for each in ast.walk(tree):
        for name in _bound_by(each):
            names.setdefault(name, f"name{len(names)}")
    for node in ast.walk(tree):
        for place in ("id", "arg", "name"):
            if not isinstance(node, ast.keyword | ast.alias):
                bound = getattr(node, place, None)
                if isinstance(bound, str) and bound in names:
                    setattr(node, place, names[bound])
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@lru_cache(_KNOWN)
def structure(source: str) -> str:
    """The normal form of a source whose constants are left open."""
    return normal_form(with_constants(source, dict.fromkeys(constants_in(source), 0.0)))


def _bound_by(node: ast.AST) -> list[str]:
    """The names that a node binds; those of methods and options mean something."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Module):
        functions = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        arguments = [each.arg for f in functions for each in f.args.args]
        return [*(f.name for f in functions), *arguments]
    return []


def constants_in(source: str) -> Constants:
    """The defaults of the class's constructor that are numbers.

    >>> constants_in("class A:\\n def __init__(self, p, lr=0.1, b=(0.9, 1)): 0")
    {'lr': 0.1, 'b[0]': 0.9, 'b[1]': 1}
    """
    return {name: ast.literal_eval(node) for name, node in _defaults(ast.parse(source))}


def with_constants(source: str, values: Mapping[str, float]) -> str:
    """The source with other values for some of its constants."""
    tree = ast.parse(source)
    for name, node in _defaults(tree):
        if name in values:
            node.value = values[name]
    return ast.unparse(tree)


def _defaults(tree: ast.Module) -> list[tuple[str, ast.Constant]]:
    made = constructor(tree)
    if made is None:
        return []
    arguments = made.args.args[len(made.args.args) - len(made.args.defaults) :]
    pairs = [
        *zip(arguments, made.args.defaults, strict=True),
        *zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True),
    ]
    found = []
    for argument, default in pairs:
        named = [(argument.arg, default)]
        if isinstance(default, ast.Tuple):
            named = [(f"{argument.arg}[{at}]", e) for at, e in enumerate(default.elts)]
        for name, node in named:
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                found.append((name, node))
    return found


def rule_in(tree: ast.Module) -> ast.ClassDef | None:
    """The class of a source: its last one."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return classes[-1] if classes else None


def method(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """A method of the class."""
    for node in getattr(rule_in(tree), "body", ()):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    return None


def constructor(tree: ast.Module) -> ast.FunctionDef | None:
    """Its `__init__`."""
    return method(tree, "__init__")


def lines_of(source: str) -> int:
    """Lines of code, without texts and comments, in one layout for all."""
    return len(ast.unparse(without_texts(ast.parse(source))).splitlines())

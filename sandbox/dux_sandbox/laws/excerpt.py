"""The part of a file that an optimizer's class needs, for a script of its own."""

import ast
import builtins

import torch

from dux_sandbox.laws.joining import bound_by

# A script that is longer hides the experiment, which is what is to be read.
MOST_LINES = 200


def excerpt(text: str, name: str) -> str:
    """The class of this name and what it uses, each as it is written in the file.

    Where that is long, without comments, docstrings, and methods that nobody calls.
    Usage lines and what stands beside the class are left out. A text that does not
    parse, or holds no such class, is given back whole.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    kept = needed(tree, name)
    if not kept:
        return text
    lines = text.splitlines()
    found = "\n".join(
        "\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in kept
    )
    if len(found.splitlines()) <= MOST_LINES:
        return found
    return "\n\n".join(ast.unparse(_bare(node, name)) for node in kept)


def needed(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of a file that bind `name` and, in turn, what those use."""
    given: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for bound in bound_by(node):
            given.setdefault(bound, []).append(node)
    wanted = [name]
    kept: set[ast.stmt] = set()
    if name not in given:
        return []
    while wanted:
        for node in given.get(wanted.pop(), []):
            if node not in kept:
                kept.add(node)
                wanted += _used(node)
    return [node for node in tree.body if node in kept or _star(node) or _future(node)]


def _used(node: ast.stmt) -> list[str]:
    return [
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and not hasattr(builtins, each.id)
    ]


def _star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _first_line(node: ast.stmt) -> int:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return node.lineno


def _bare(node: ast.stmt, name: str) -> ast.stmt:
    """The statement without docstrings, and a class without what nobody calls."""
    if isinstance(node, ast.ClassDef):
        _prune(node)
    for each in ast.walk(node):
        if isinstance(each, ast.ClassDef | ast.FunctionDef) and _documented(each):
            each.body = each.body[1:] or [ast.Pass()]
    return node


def _documented(node: ast.ClassDef | ast.FunctionDef) -> bool:
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _prune(node: ast.ClassDef) -> None:
    """Take out methods that neither torch nor a method that stays calls by name."""
    methods = {
        each.name: each for each in node.body if isinstance(each, ast.FunctionDef)
    }
    kept: set[str] = set()
    wanted = [
        name
        for name in methods
        if name.startswith("__") or hasattr(torch.optim.Optimizer, name)
    ]
    if {"train", "eval"} <= methods.keys():
        wanted.append("train")  # a script puts the rule in this mode
    wanted += [
        name
        for each in node.body
        if not isinstance(each, ast.FunctionDef)
        for name in _named(each)
    ]
    while wanted:
        name = wanted.pop()
        if name in methods and name not in kept:
            kept.add(name)
            wanted += _named(methods[name])
    node.body = [
        each
        for each in node.body
        if not isinstance(each, ast.FunctionDef) or each.name in kept
    ] or [ast.Pass()]


def _named(node: ast.AST) -> list[str]:
    """Every name, attribute and text in it: a method may be called by any of them."""
    found = []
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found.append(each.id)
        elif isinstance(each, ast.Attribute):
            found.append(each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            found.append(each.value)
    return found

"""Names that a rule may not have: methods like `__this__`, and what torch lacks."""

import ast
import builtins
from collections.abc import Iterable

import torch

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language.bindings import aliases_in, path_of
from dux_sandbox.mending.draft import Draft, Rewrite, Statements

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)


def of_methods(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`def __prepare__(self)` becomes `def prepare(self)`, and so where it is called.

    Only where Python gives the name no meaning, and nothing else has the new one.
    """
    lines = {finding.line for finding in findings}
    methods = [
        each
        for node in draft.tree.body
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.FunctionDef) and _own(each.name)
    ]
    refused = {each.name for each in methods if lines & set(lines_of(each))}
    refused |= {
        node.attr
        for node in ast.walk(draft.tree)
        if isinstance(node, ast.Attribute) and node.lineno in lines and _own(node.attr)
    } & {each.name for each in methods}
    words = {getattr(node, "attr", "") for node in ast.walk(draft.tree)}
    words |= {
        node.name for node in ast.walk(draft.tree) if isinstance(node, Statements)
    }
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for each in methods:
        new = each.name.strip("_")
        if each.name not in refused or new in words or not new.isidentifier():
            continue
        if not draft.may_touch(each.lineno):
            continue
        line = draft.source.lines[each.lineno - 1].encode()
        at = line.find(each.name.encode())
        begin, end = (each.lineno, at), (each.lineno, at + len(each.name.encode()))
        edits.append(Edit(begin, end, new))
        told.append((each.lineno, f"the method {each.name} is called {new}", None))
    renamed = {each.name for each in methods if each.lineno in {row[0] for row in told}}
    for node in ast.walk(draft.tree):
        if isinstance(node, ast.Attribute) and node.attr in renamed:
            last, stop = node.end_lineno or 0, node.end_col_offset or 0
            begin = (last, stop - len(node.attr.encode()))
            edits.append(Edit(begin, (last, stop), node.attr.strip("_")))
    return Rewrite(tuple(edits), (), tuple(told))


def _own(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name not in _PYTHONS


_PYTHONS = frozenset(
    name
    for kind in (object, type, int, float, dict, list, type(iter([])), BaseException)
    for name in dir(kind)
) | frozenset(
    """__call__ __enter__ __exit__ __getattr__ __set__ __get__ __delete__ __del__
    __set_name__ __setstate__ __copy__ __deepcopy__ __slots__ __post_init__ __missing__
    __aenter__ __aexit__ __aiter__ __anext__ __await__ __bytes__ __complex__ __fspath__
    __matmul__ __rmatmul__ __imatmul__ __instancecheck__ __subclasscheck__ __prepare__
    __class_getitem__ __length_hint__ __reversed__""".split()
)


def of_the_module(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """A `global` that functions alone assign to begins as None, at the top.

    Where it is read before, Python would have raised.
    """
    lines = {each.line for each in findings if each.message.startswith("global ")}
    nodes = list(ast.walk(draft.tree))
    bound = {
        each.id
        for each in nodes
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    taken = {each.name for each in nodes if isinstance(each, Statements)}
    taken |= {*aliases_in(draft.tree), *dir(builtins)}
    wanted = {
        name: None
        for node in nodes
        if isinstance(node, ast.Global) and node.lineno in lines
        for name in node.names
        if name in bound - taken and not name.startswith("_")
    }
    at = draft.first_import()
    told = [(at, f"the global {name} begins as None", None) for name in wanted]
    added = [(at, f"{name} = None") for name in wanted]
    return Rewrite((), (), tuple(told), tuple(added))


def missing(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """A statement that reads what torch does not have raises as it would."""
    lines = {finding.line for finding in findings}
    aliases = aliases_in(draft.tree)
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for node in ast.walk(draft.tree):
        if not isinstance(node, _SIMPLE) or not lines & set(lines_of(node)):
            continue
        paths = (path_of(each, aliases) for each in ast.walk(node))
        lacking = next(filter(None, map(_lacking, filter(None, paths))), None)
        if lacking is not None and draft.may_touch(node.lineno):
            said = f"torch has no {lacking}"
            edits.append(Edit.of(node, f"raise AttributeError({said!r})"))
            told.append((node.lineno, f"what needs {lacking} raises: {said}", None))
    return Rewrite(tuple(edits), (), tuple(told))


def _lacking(path: str) -> str | None:
    """What of a dotted path torch does not have, as far as modules lead."""
    first, *rest = path.split(".")
    if first != "torch":
        return None
    held: object = torch
    for at, name in enumerate(rest, 1):
        if not isinstance(held, type(torch)):
            return None
        if name not in vars(held) and not hasattr(held, name):
            return ".".join([first, *rest[:at]])
        held = getattr(held, name)
    return None

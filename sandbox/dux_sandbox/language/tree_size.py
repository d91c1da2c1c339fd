"""Size limits on a parsed source: what judging and compiling it would cost.

Everything here is linear in the number of nodes; so is, within these limits, all that
comes after it. What multiplies in CPython's compiler (copies of `finally`, names times
scopes, names of one pattern) is counted before it is compiled.
"""

import ast
from collections.abc import Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.language import vocabulary
from dux_sandbox.language.flow import Flow

_FUNCTIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ClassDef,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def tree_too_large(
    layers: Iterable[list[ast.AST]], *, times: int = 1
) -> Finding | None:
    """The first limit on nodes, depth, classes, chains or names that is passed over.

    Args:
        layers: the nodes of the tree, one list for each depth; read only as far as
            the limits go.
        times: by what the limit on nodes is multiplied, for a file of which only a part
            is to become a rule.
    """
    nodes = scopes = names = 0
    classes: list[ast.AST] = []
    chains: dict[int, int] = {}
    for depth, layer in enumerate(layers):
        if depth >= vocabulary.TREE_DEPTH:
            return too_deep(min(getattr(node, "lineno", 1) for node in layer))
        nodes += len(layer)
        if nodes > times * vocabulary.TREE_NODES:
            return Finding(
                "size",
                None,
                f"a source of more than {vocabulary.TREE_NODES} names, numbers and "
                f"operators",
                "write one compact class; compute tables instead of spelling them out",
            )
        for node in layer:
            kind = type(node)
            if kind is ast.Attribute:
                found = _chain(node, chains)  # type: ignore[arg-type]
                if found is not None:
                    return found
            elif kind is ast.Name:
                names += type(node.ctx) is ast.Store  # type: ignore[attr-defined]
            elif kind is ast.arg:
                names += 1
            elif kind is ast.match_case:
                found = _pattern(node.pattern)  # type: ignore[attr-defined]
                if found is not None:
                    return found
            elif kind in _FUNCTIONS:
                scopes += 1
                if kind is ast.ClassDef:
                    classes.append(node)
    if len(classes) > vocabulary.CLASSES:
        return Finding(
            "size",
            classes[vocabulary.CLASSES].lineno,  # type: ignore[attr-defined]
            f"more than {vocabulary.CLASSES} classes",
            "write one class for the rule and a few helpers",
        )
    if scopes * names > vocabulary.SCOPES_TIMES_NAMES:
        return Finding(
            "size",
            None,
            f"{names} names and {scopes} functions, classes and comprehensions",
            "write fewer small functions, and keep many values in one list or dict",
        )
    return None


def flow_too_large(flow: Flow) -> Finding | None:
    """The first limit on what the compiler makes of blocks that is passed over."""
    if flow.compiled > vocabulary.COMPILED_NODES:
        return Finding(
            "size",
            None,
            "finally blocks that are left in many places, or nested",
            "put one short finally around the whole, and return after it",
        )
    if flow.handlers > vocabulary.OPEN_HANDLERS:
        return Finding(
            "size",
            flow.deepest,
            f"try, with and comprehensions nested deeper than "
            f"{vocabulary.OPEN_HANDLERS} in all",
            "name the inner parts in variables, or use a helper function",
        )
    return None


def too_deep(line: int | None) -> Finding:
    """The finding for what is nested too deep."""
    return Finding(
        "size",
        line,
        f"expressions or blocks nested deeper than {vocabulary.TREE_DEPTH}",
        "name the inner parts in variables, or use a list and a loop",
    )


def _chain(node: ast.Attribute, chains: dict[int, int]) -> Finding | None:
    """Count `a.b.c`, from its last name on: nodes come from the top down."""
    length = chains.pop(id(node), 1)
    if length > vocabulary.ATTRIBUTE_CHAIN:
        return Finding(
            "size",
            node.lineno,
            f"more than {vocabulary.ATTRIBUTE_CHAIN} attributes in a row",
            "keep an inner one in a variable",
        )
    if type(node.value) is ast.Attribute:
        chains[id(node.value)] = length + 1
    return None


def _pattern(pattern: ast.pattern) -> Finding | None:
    """Each name that a pattern binds costs the compiler work for all the others."""
    bound = sum(
        isinstance(inner, (ast.MatchAs, ast.MatchStar, ast.MatchMapping))
        for inner in ast.walk(pattern)
    )
    if bound <= vocabulary.PATTERN_NAMES:
        return None
    return Finding(
        "size",
        pattern.lineno,
        f"a pattern that binds more than {vocabulary.PATTERN_NAMES} names",
        "use if and plain indexing",
    )

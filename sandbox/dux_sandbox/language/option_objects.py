"""Arguments that hold options, `cfg.OPTIMIZER.LR`: each option is its usual value."""

import ast
from collections.abc import Mapping

from dux_sandbox.language.placing import placed
from dux_sandbox.language.reads import Reads
from dux_sandbox.language.usual_names import usual
from dux_sandbox.language.values_by_use import told

_MOST_SHOWN = 3


def read_out(argument: ast.arg, init: ast.FunctionDef, reads: Reads) -> str | None:
    """Put usual values in place of what is read of an argument, in place.

    Only where it is asked for options, by name, and for nothing else: an object that
    is called, or that computes, is no such one.

    Args:
        argument: of `init`, the constructor of a class, without a default.
        reads: of that class.

    Returns:
        What was put, for a note; None where it was not.
    """
    places = _places(argument.arg, init, reads)
    if not places:
        return None
    put: list[tuple[ast.Attribute, ast.expr]] = []
    for place in places:
        chain = place
        while isinstance(reads.parents.get(chain), ast.Attribute):
            chain = reads.parents[chain]
        value = _value(chain, reads.parents) if chain is not place else None
        if value is None or not isinstance(chain, ast.Attribute):
            return None
        put.append((chain, value))
    said = list(dict.fromkeys(f"{ast.unparse(a)}={ast.unparse(b)}" for a, b in put))
    for chain, value in put:
        _replace(reads.parents[chain], chain, value)
    more = ", ..." if len(said) > _MOST_SHOWN else ""
    return ", ".join(said[:_MOST_SHOWN]) + more


def _places(name: str, init: ast.FunctionDef, reads: Reads) -> list[ast.AST]:
    """Where the object itself is read; [] where it is also handed on or written."""
    found: list[ast.AST] = []
    for node in reads.names.get((init, name), ()):
        parent = reads.parents.get(node)
        if isinstance(node.ctx, ast.Store):
            return []
        kept = isinstance(parent, ast.Assign) and parent.value is node
        target = parent.targets[0] if kept else None  # type: ignore[union-attr]
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
            found += reads.kept(reads.attributes.get(target.attr, []))
        else:
            found.append(node)
    return found


def _value(chain: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> ast.expr | None:
    if not isinstance(chain, ast.Attribute) or not isinstance(chain.ctx, ast.Load):
        return None
    parent = parents.get(chain)
    if isinstance(parent, ast.Call) and parent.func is chain:
        return None
    known = usual(ast.arg(chain.attr.lower()))
    text = told([chain], "", parents) if known is None else repr(known)
    # What only its use would tell to be a number may be anything.
    certain = known is not None or (text or "").startswith(("False", "None", "'", '"'))
    return ast.parse(text, mode="eval").body if text and certain else None


def _replace(parent: ast.AST, old: ast.expr, new: ast.expr) -> None:
    placed(new, old)
    for name, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, name, new)
        elif isinstance(value, list):
            value[:] = [new if each is old else each for each in value]

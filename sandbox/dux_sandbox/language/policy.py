"""The language policy: judges a syntax tree and turns it into its guarded form."""

import ast
from typing import Any

from dux_sandbox.language import (
    definitions,
    expressions,
    growing,
    names,
    never_reached,
    scoping,
    statements,
)
from dux_sandbox.language.decisions import GUARDED, PLAIN, REFUSED
from dux_sandbox.language.judging import Handlers, Judging

HANDLERS: Handlers = {
    **names.HANDLERS,
    **growing.HANDLERS,
    **expressions.HANDLERS,
    **statements.HANDLERS,
    **scoping.HANDLERS,
    **definitions.HANDLERS,
    **never_reached.HANDLERS,
}
"""What is called for each node that is turned into a guarded form."""

# Of the rest, those that somebody decided on are RestrictedPython's.
_ALL: Handlers = {
    kind: getattr(Judging, f"visit_{kind}", Judging.node_contents_visit)
    for kind in GUARDED | PLAIN
} | HANDLERS


class Policy(Judging):
    """Judge and rewrite a whole module; faults are collected in `findings`.

    A kind of node that nobody has decided on is refused.
    """

    def visit(self, node: ast.AST) -> Any:
        """Refuse nodes that are refused, and nodes that nobody has decided on."""
        name = type(node).__name__
        handler = _ALL.get(name)
        if handler is not None:
            return handler(self, node)
        message, instead = REFUSED.get(
            name, (f"the unknown syntax {name}", "write plain Python 3.11")
        )
        self.found("statement", node, message, instead)
        return node


def without_main(tree: ast.Module) -> None:
    """Drop `if __name__ == "__main__":` blocks of the top level, in place."""
    kept: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, ast.If) and is_main(statement.test):
            kept.extend(statement.orelse)
        else:
            kept.append(statement)
    tree.body = kept


def is_main(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )

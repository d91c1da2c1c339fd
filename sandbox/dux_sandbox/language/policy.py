"""The language policy: judges a syntax tree and turns it into its guarded form."""

import ast
import functools
from collections.abc import Callable, Collection
from typing import Any

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import Bindings
from dux_sandbox.language.decisions import GUARDED, PLAIN, REFUSED
from dux_sandbox.language.definitions import Definitions
from dux_sandbox.language.flow import Flow
from dux_sandbox.language.judging import located
from dux_sandbox.language.reached import NOTHING, Unreached, place_of
from dux_sandbox.language.usage import left_out, mentioned

# By the name of the node; filled as they are met.
_VISITORS: dict[str, Callable[[Any, Any], Any]] = {}
# What a statement at the top level is called, where it may be left out.
_NAMES = {
    "ClassDef": "a class",
    "FunctionDef": "a function",
    "Import": "an import",
    "ImportFrom": "an import",
}


class Policy(Definitions):
    """Judge and rewrite a whole module; faults are collected in `findings`.

    The upper classes say how single nodes are treated. Here stands what comes first:
    that the kind of node was decided on at all.

    Args:
        unused: definitions that the rule does not use: one that would be refused is
            left out, with a note.
        unreached: tells what no step of the rule comes to, of which the same is true;
            asked when something is refused, and once.
    """

    def __init__(
        self,
        bindings: Bindings,
        flow: Flow,
        unused: Collection[ast.stmt] = (),
        unreached: Callable[[], Unreached] = lambda: NOTHING,
    ) -> None:
        super().__init__(bindings, flow)
        self.unused = unused
        self.unreached = functools.cache(unreached)
        self.notes: list[Finding] = []

    def visit(self, node: ast.AST) -> Any:
        """Refuse nodes that are refused, and nodes that nobody has decided on."""
        name = type(node).__name__
        if name in GUARDED or name in PLAIN:
            if name not in _VISITORS:
                plain = Policy.node_contents_visit
                _VISITORS[name] = getattr(Policy, f"visit_{name}", plain)
            return _VISITORS[name](self, node)
        message, instead = REFUSED.get(
            name, (f"the unknown syntax {name}", "write plain Python 3.11")
        )
        self.found("statement", node, message, instead)
        return node

    def node_contents_visit(self, node: Any) -> Any:
        """Visit the parts of a node: NodeTransformer's, at half its cost."""
        for name in node._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                parts: list[Any] = []
                for item in value:
                    if not isinstance(item, ast.AST):
                        parts.append(item)
                        continue
                    made = self.visit(item)
                    if type(made) is list:
                        parts.extend(made)
                    elif made is not None:
                        parts.append(made)
                value[:] = parts
            elif isinstance(value, ast.AST) and (
                value._fields or type(value).__name__ not in PLAIN
            ):
                setattr(node, name, self.visit(value))
        return node

    def visit_Module(self, node: ast.Module) -> Any:
        """The top level; `if __name__ == "__main__":` has been dropped before."""
        self.check_finally()
        body: list[ast.stmt] = []
        gone: set[str] = set()
        for statement in node.body:
            before = len(self.findings)
            line, kind = statement.lineno, type(statement).__name__
            unused = statement in self.unused
            # What is built on something that was left out goes with it.
            lost = unused and bool(gone) and not gone.isdisjoint(mentioned(statement))
            made = self.visit(statement)
            if lost or (unused and len(self.findings) > before):
                del self.findings[before:]
                gone.add(statement.name)  # type: ignore[attr-defined]
                what = "class" if kind == "ClassDef" else "function"
                self.notes.append(left_out(line, 1, what))
            elif not self._in_vain(statement, before, "statements", _NAMES.get(kind)):
                body.extend(made if isinstance(made, list) else [made])
        node.body = body
        return node

    def _in_vain(
        self, statement: ast.stmt, before: int, which: str, what: str | None
    ) -> bool:
        """Whether a statement is to be left out: it was refused, and is not reached.

        Args:
            before: the number of findings before it was judged.
            which: the field of `Unreached` that it would be in.
            what: how it is called.
        """
        if len(self.findings) == before or what is None:
            return False
        if place_of(statement) not in getattr(self.unreached(), which):
            return False
        del self.findings[before:]
        message = f"{what}, which no step of the rule as it is built comes to"
        instead = "leave it out, or write it with what a rule may use"
        self.notes.append(Finding("left out", statement.lineno, message, instead))
        return True

    def judged_body(self, node: ast.ClassDef) -> list[ast.stmt]:
        """The body of a class, without refused methods that nobody names."""
        body: list[ast.stmt] = []
        for statement in node.body:
            before = len(self.findings)
            name = getattr(statement, "name", "")
            what = f"the method {name}" if name else None
            made = self.visit(statement)
            if not self._in_vain(statement, before, "methods", what):
                body.extend(made if isinstance(made, list) else [made])
        return body or [ast.copy_location(ast.Pass(), node)]

    def unread(self) -> frozenset[str]:
        """Names that imports bind and nothing mentions."""
        return self.unreached().unread

    def visit_If(self, node: ast.If) -> ast.AST:
        """A branch that no default takes, and that is refused, raises instead."""
        node.test = self.visit(node.test)
        for held in (node.body, node.orelse):
            if not held:
                continue
            before, first = len(self.findings), held[0]
            made: list[ast.stmt] = []
            for statement in held:
                done = self.visit(statement)
                made.extend(done if isinstance(done, list) else [done])
            if self._in_vain(first, before, "branches", "a branch"):
                made = [ast.Expr(self.call("@unreached", [], first), **located(first))]
            held[:] = made
        return node

    def visit_withitem(self, node: ast.withitem) -> Any:
        """The context and the name it is bound to."""
        return self.node_contents_visit(node)


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

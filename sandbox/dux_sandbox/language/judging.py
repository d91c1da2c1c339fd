"""What the judges of single nodes share: findings, guarded nodes, names and paths.

Guards are reached through names that no source can spell (`@getattr`), so no binding
position of any Python, known or to come, can shadow one.
"""

import ast
import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from RestrictedPython.transformer import RestrictingNodeTransformer

from dux_sandbox.findings import Finding
from dux_sandbox.language import constants, vocabulary
from dux_sandbox.language.bindings import Bindings
from dux_sandbox.language.decisions import PLAIN
from dux_sandbox.language.flow import Flow
from dux_sandbox.language.own_helpers import OwnHelpers
from dux_sandbox.language.reached import NOTHING, Unreached

_ANNOTATION_NODES = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Tuple,
    ast.List,
    ast.Constant,
    ast.BinOp,
    ast.BitOr,
    ast.expr_context,
    ast.UnaryOp,
    ast.USub,
)

Node = TypeVar("Node", bound=ast.AST)
_LOAD = ast.Load()
# Names that RestrictedPython gives to guards. Ours have others, which nobody can spell.
_RESTRICTED = frozenset(
    """_apply_ _getattr_ _getitem_ _getiter_ _inplacevar_ _iter_unpack_sequence_ _print
    _print_ _unpack_sequence_ _write_""".split()
)


def located(at: Any) -> dict[str, Any]:
    """The place of `at` in the source, for a node made in its stead."""
    return {
        "lineno": at.lineno,
        "col_offset": at.col_offset,
        "end_lineno": at.end_lineno,
        "end_col_offset": at.end_col_offset,
    }


class Judging(RestrictingNodeTransformer):
    """One source being judged: what is known of it, and what was found.

    Args:
        bindings: what its names stand for.
        flow: where its loops end and its `finally` blocks are left.
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
        super().__init__()
        self.bindings = bindings
        self.flow = flow
        self.unused = unused
        self.unreached = functools.cache(unreached)
        self.arithmetic = constants.Arithmetic()
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        # Kinds of the enclosing scopes, innermost last: "class" or "def".
        self.scopes: list[str] = []
        self.helpers = OwnHelpers.of(bindings.classes)
        self.inside = ""  # the class at the top level that is being judged
        self.inside_with = 0
        self.compared = 0  # names with those of the table

    # Reporting

    def found(self, rule: str, node: ast.AST, message: str, instead: str = "") -> None:
        """Record one fault at the line of `node`."""
        line = getattr(node, "lineno", None)
        self.findings.append(Finding(rule, line, message, instead))

    def error(self, node: ast.AST, info: str) -> None:
        """Faults that RestrictedPython itself finds."""
        self.found("statement", node, info, "leave it out")

    def warn(self, node: ast.AST, info: str) -> None:
        """RestrictedPython's warnings are about its own `print`: not used here."""

    def node_contents_visit(self, node: Node) -> Node:
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

    # Building nodes

    def load(self, name: str, at: ast.AST) -> ast.Name:
        """A read of the guarded global `name`, which begins with an at sign."""
        return ast.Name(name, _LOAD, **located(at))

    def call(self, name: str, arguments: list[Any], at: ast.AST) -> ast.Call:
        """A call of a guard with already transformed arguments."""
        place = located(at)
        return ast.Call(ast.Name(name, _LOAD, **place), arguments, [], **place)

    def text(self, value: Any, at: ast.AST) -> ast.Constant:
        """A constant made here, not by the source."""
        return ast.Constant(value, **located(at))

    # Names

    def check_name(
        self, node: ast.AST, name: str | None, allow_magic_methods: bool = False
    ) -> None:
        """Refuse names that look like Python's or a guard's own."""
        if name is None or name == "__all__":
            return
        if name in _RESTRICTED:
            self.found("name", node, f"the name {name}", "choose another name")
        if name.startswith("__") and name != "__":
            self.found(
                "name",
                node,
                f"the name {name}",
                vocabulary.instead_of(name, "begin names with at most one underscore"),
            )

    def path(self, node: ast.AST) -> str | None:
        """The dotted path that an expression on an imported name stands for.

        None where the root is not an import that stands for one thing everywhere.
        """
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.bindings.modules:
            return None
        return ".".join([self.bindings.modules[node.id], *reversed(names)])

    def check_annotation(self, node: ast.AST | None) -> None:
        """Annotations are left out of the rule; nothing may hide in them."""
        for inner in ast.walk(node) if node is not None else ():
            if not isinstance(inner, _ANNOTATION_NODES):
                self.found(
                    "annotation",
                    node or inner,
                    "an annotation that computes something",
                    "name a type, or leave the annotation out",
                )
                return


Handlers = dict[str, Callable[[Any, Any], Any]]
"""How a node is judged and rewritten, by the name of its kind.

Each is called with the `Judging` and the node, and gives what takes its place.
"""


def known_path(path: str) -> bool:
    """Whether a dotted path is a module or a name that a rule may use."""
    module, _, name = path.rpartition(".")
    return path in vocabulary.MODULES or name in vocabulary.MODULES.get(module, ())

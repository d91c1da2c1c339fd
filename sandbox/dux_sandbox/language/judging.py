"""How names and attributes are judged and rewritten: the ground of the policy.

Guards are reached through names that no source can spell (`@getattr`), so no binding
position of any Python, known or to come, can shadow one.
"""

import ast
from collections.abc import Iterable
from typing import Any

from RestrictedPython.transformer import RestrictingNodeTransformer

from dux_sandbox.findings import Finding
from dux_sandbox.language import constants, idiom_names, torch_names, vocabulary
from dux_sandbox.language.bindings import Bindings
from dux_sandbox.language.flow import Flow
from dux_sandbox.language.torch_names import global_of

_KEPT_DUNDERS = ("__init__", "__setstate__")
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


_MOST_COMPARED = 10
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
    """Reports faults, builds guarded nodes, knows names and attributes."""

    def __init__(self, bindings: Bindings, flow: Flow) -> None:
        super().__init__()
        self.bindings = bindings
        self.flow = flow
        self.arithmetic = constants.Arithmetic()
        self.findings: list[Finding] = []
        self.notes: list[Finding] = []
        # Kinds of the enclosing scopes, innermost last: "class" or "def".
        self.scopes: list[str] = []
        self.inside_with = 0
        self._compared = 0  # names with those of the table

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

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Imported names become guarded globals; unknown ones are reported."""
        if not isinstance(node.ctx, ast.Load):
            self.check_name(node, node.id)
            own = torch_names.OPTIMIZER_OWN - torch_names.OF_STOCK_OPTIMIZERS
            if self.scopes[-1:] == ["class"] and node.id in own:
                self._own_name(node, node.id)
            return node
        if node.id == "__name__":
            return self.text("rule", node)
        if node.id in idiom_names.MODULE_DUNDERS:
            return self.text("", node)  # left out, as what is written there
        known = self.bindings.modules.get(node.id)
        if known is not None:
            return self.load(global_of(known), node) if known_path(known) else node
        self.check_name(node, node.id)
        if node.id in self.bindings.names or node.id.startswith("__"):
            return node
        if node.id not in vocabulary.BUILTINS:
            default = "define it first"
            if node.id in vocabulary.MODULES:
                default = f"write import {node.id} at the top"
            instead = vocabulary.instead_of(node.id, default)
            self.found("name", node, f"the name {node.id} is not available", instead)
        return node

    def _own_name(self, node: ast.AST, name: str) -> None:
        self.found(
            "write",
            node,
            f"{name} belongs to torch's Optimizer",
            "choose another name; use self.state[p] and group[...] as they are",
        )

    # Attributes

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """`a.b` becomes a guarded read; a path into a module is resolved at once."""
        if not isinstance(node.ctx, ast.Load):
            self._check_written(node)
            value = self.visit(node.value)
            node.value = self.call("@write", [value], node)
            return node
        if node.attr == "__name__":
            inner = self._class_of(node.value)
            if inner is not None:
                return self.call("@class_name", [self.visit(inner)], node)
        if self.path(node) is not None:
            return self._resolved(node)
        self._check_read(node, node.attr)
        value = self.visit(node.value)
        return self.call("@getattr", [value, self.text(node.attr, node)], node)

    def _class_of(self, node: ast.AST) -> ast.expr | None:
        """x of `x.__class__` or `type(x)`, whose `.__name__` is a harmless string."""
        if isinstance(node, ast.Attribute) and node.attr == "__class__":
            return node.value
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "type"
            and len(node.args) == 1
            and not node.keywords
            and not isinstance(node.args[0], ast.Starred)
        ):
            return node.args[0]
        return None

    def _check_read(self, node: ast.AST, name: str) -> None:
        if name.startswith("__"):
            if name not in _KEPT_DUNDERS:
                default = "leave it out; names with two underscores are not available"
                instead = vocabulary.instead_of(name, default)
                self.found("attribute", node, f"the attribute {name}", instead)
            return
        allowed = name in vocabulary.ATTRIBUTES or name in self.bindings.attributes
        private = (
            name in torch_names.OPTIMIZER_OWN
            and name not in torch_names.OPTIMIZER_READABLE
        )
        if name in torch_names.OPTIMIZER_HELPERS:
            return
        if name in torch_names.OF_STOCK_OPTIMIZERS:
            private = False  # judged by what the class is built on, when it is made
        if private or not allowed:
            instead = vocabulary.instead_of(name) or self._nearest(
                name, vocabulary.ATTRIBUTES
            )
            self.found(
                "attribute", node, f"the attribute {name} is not available", instead
            )

    def _check_written(self, node: ast.Attribute) -> None:
        name = node.attr
        if name.startswith("__"):
            self.found(
                "write", node, f"writing {name}", "choose a name without underscores"
            )
        elif name in torch_names.OPTIMIZER_OWN - torch_names.OF_STOCK_OPTIMIZERS:
            self._own_name(node, name)
        elif name == "requires_grad":
            self.found(
                "write",
                node,
                "writing requires_grad",
                vocabulary.INSTEAD["requires_grad_"],
            )
        elif self.path(node.value) is not None:
            self.found(
                "write", node, f"writing {name} into a module", "keep it on self"
            )

    def _resolved(self, node: ast.Attribute) -> ast.AST:
        """Walk a dotted chain through the tables; what is left is read by guard."""
        chain: list[ast.Attribute] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            chain.append(root)
            root = root.value
        assert isinstance(root, ast.Name)
        found = self.bindings.modules[root.id]
        if not known_path(found):
            return node  # the import itself was reported
        made: ast.expr = self.load(global_of(found), root)
        for link in reversed(chain):
            if f"{found}.{link.attr}" == torch_names.VERSION:
                found = ""
                made = self.load(torch_names.global_of(torch_names.VERSION), link)
            elif found in vocabulary.MODULES:
                if not known_path(f"{found}.{link.attr}"):
                    self._not_in_module(link, found, link.attr)
                    return self.call(
                        "@getattr", [made, self.text(link.attr, link)], link
                    )
                found = f"{found}.{link.attr}"
                made = self.load(global_of(found), link)
            else:
                found = ""
                self._check_read(link, link.attr)
                made = self.call("@getattr", [made, self.text(link.attr, link)], link)
        return made

    def _not_in_module(self, node: ast.AST, module: str, name: str) -> None:
        self.found(
            "attribute",
            node,
            f"{module}.{name} is not available",
            vocabulary.instead_of(name)
            or vocabulary.instead_of(f"{module}.*")
            or self._nearest(name, vocabulary.MODULES[module], f" of {module}"),
        )

    def _nearest(self, name: str, known: Iterable[str], of: str = "") -> str:
        """The cure for a name that is not in the table; looked for a few times only."""
        self._compared += 1
        found = ""
        if self._compared <= _MOST_COMPARED:
            public = [each for each in known if not each.startswith("_")]
            found = vocabulary.nearest(name, public)
        if found:
            return f"{found}{of}, if that is meant"
        return "compute it from what a rule may use"

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


def known_path(path: str) -> bool:
    """Whether a dotted path is a module or a name that a rule may use."""
    module, _, name = path.rpartition(".")
    return path in vocabulary.MODULES or name in vocabulary.MODULES.get(module, ())

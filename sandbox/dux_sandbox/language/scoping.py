"""How names of other scopes, and names of no scope, are judged and rewritten."""

import ast
import builtins

from dux_sandbox.findings import Finding
from dux_sandbox.language import vocabulary
from dux_sandbox.language.statements import Statements


class Scoping(Statements):
    """`global`, `nonlocal`, and what is raised by a name that nothing binds."""

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        """Harmless: guards are no names of the source."""
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        """Of a variable of the module, with a note: nobody saves what it holds."""
        for name in node.names:
            self.check_name(node, name)
            if name in self.bindings.variables:
                self.notes.append(
                    Finding(
                        "not saved",
                        node.lineno,
                        f"{name} is kept by the module and begins anew with each rule",
                        "keep the value on self: it is saved with the rule",
                    )
                )
            else:
                instead = "keep the value on self: it is saved with the rule"
                found = f"global {name}, which no statement of the module assigns to"
                self.found("statement", node, found, instead)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """A name that nothing binds, in what is raised, is what Python would raise."""
        missing = [
            each
            for each in ast.walk(node)
            if isinstance(each, ast.Name) and self._is_nowhere(each.id)
        ]
        if not missing:
            return self.node_contents_visit(node)
        before = len(self.findings)
        made = self.node_contents_visit(node)
        told = self.findings[before:]
        if {each.rule for each in told} != {"name"} or len(told) != len(missing):
            return made
        del self.findings[before:]
        name = min(missing, key=lambda each: (each.lineno, each.col_offset)).id
        what = f"the name {name}, which nothing binds, in what is raised"
        self.notes.append(Finding("left out", node.lineno, what, "mend the name"))
        made.exc = self.call("@unbound", [self.text(name, node)], node)
        made.cause = None
        return made

    def _is_nowhere(self, name: str) -> bool:
        """Whether a name is neither a source's own nor Python's nor a module's."""
        return not (
            name in self.bindings.names
            or name.startswith("_")
            or hasattr(builtins, name)
            or name in vocabulary.MODULES
            or name in vocabulary.INSTEAD
        )

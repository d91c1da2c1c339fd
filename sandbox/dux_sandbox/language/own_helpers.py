"""Names of torch's Optimizer in classes that have nothing to do with one.

`step` and `state` are what a counter or an average calls its own as well: a helper may.
What is written while a rule runs is judged by exact type, whatever a text looks like
(`dux_sandbox.runtime.writing`, and `classes` for a helper that becomes a base).
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dux_sandbox.language.torch_names import OPTIMIZER_READABLE

_READABLE = frozenset(OPTIMIZER_READABLE)


@dataclass(frozen=True)
class OwnHelpers:
    """The helper classes of one source.

    Attributes:
        names: of the classes at the top level that are built on nothing, and that
            nothing is built on.
        attributes: names of torch's Optimizer that these define.
    """

    names: frozenset[str]
    attributes: frozenset[str]

    @classmethod
    def of(cls, classes: Mapping[str, ast.ClassDef]) -> "OwnHelpers":
        """Those among the classes of a source, by name."""
        bases = {
            node.id
            for each in classes.values()
            for base in each.bases
            for node in ast.walk(base)
            if isinstance(node, ast.Name)
        }
        helpers = [
            each
            for each in classes.values()
            if each.name not in bases and _on_nothing(each)
        ]
        defined = {name for each in helpers for name in _defined(each)}
        names = frozenset(each.name for each in helpers)
        return cls(names, frozenset(defined & _READABLE))

    def may_define(self, inside: str, name: str) -> bool:
        """Whether the body of a class of this name may bind a name of torch's."""
        return inside in self.names and name in _READABLE

    def may_write(self, inside: str, target: ast.Attribute) -> bool:
        """Whether an attribute of such a name may be written in a class."""
        if isinstance(target.value, ast.Name) and target.value.id == "self":
            return self.may_define(inside, target.attr)
        return target.attr in self.attributes


def _on_nothing(node: ast.ClassDef) -> bool:
    return all(isinstance(b, ast.Name) and b.id == "object" for b in node.bases)


def _defined(node: ast.ClassDef) -> Iterator[str]:
    """Names that a class binds, and those that anything in it writes on `self`."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            if isinstance(each.value, ast.Name) and each.value.id == "self":
                yield each.attr
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            yield each.name
        elif isinstance(each, (ast.Assign, ast.AnnAssign)):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))

"""Where the methods of a class read names, attributes of `self` and options."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

_READ = (ast.Name, ast.Attribute, ast.Subscript)
_Place = tuple[ast.FunctionDef, ast.AST]


@dataclass
class Reads:
    """What one look at a class finds: it is asked of each argument without a default.

    Attributes:
        parents: of each node of a method.
        names: every name in a method, read or bound, by that method and the name.
        attributes: reads of `self.name`, each with its method.
        keys: reads of `group["name"]`, each with its method.
    """

    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    names: dict[tuple[ast.FunctionDef, str], list[ast.Name]] = field(
        default_factory=dict
    )
    attributes: dict[str, list[_Place]] = field(default_factory=dict)
    keys: dict[object, list[_Place]] = field(default_factory=dict)

    @classmethod
    def of(cls, owner: ast.ClassDef) -> Reads:
        """Look at every method of a class, once."""
        made = cls()
        for method in owner.body:
            if type(method) is not ast.FunctionDef:
                continue
            left: list[ast.AST] = [method]
            for node in left:
                for child in ast.iter_child_nodes(node):
                    made.parents[child] = node
                    left.append(child)
                if type(node) in _READ:
                    made._note(node, method)
        return made

    def _note(self, node: ast.AST, method: ast.FunctionDef) -> None:
        kind = type(node)
        if kind is ast.Name:
            self.names.setdefault((method, node.id), []).append(node)  # type: ignore[attr-defined,arg-type]
        elif kind is ast.Attribute and type(node.ctx) is ast.Load:  # type: ignore[attr-defined]
            if getattr(node.value, "id", "") == "self":  # type: ignore[attr-defined]
                self.attributes.setdefault(node.attr, []).append((method, node))  # type: ignore[attr-defined]
        elif kind is ast.Subscript and type(node.ctx) is ast.Load:  # type: ignore[attr-defined]
            if type(node.slice) is ast.Constant:  # type: ignore[attr-defined]
                self.keys.setdefault(node.slice.value, []).append((method, node))  # type: ignore[attr-defined]

    def kept(self, places: list[_Place]) -> Iterator[ast.AST]:
        """Some reads, and for those that a variable gets, the reads of it."""
        seen: set[tuple[ast.FunctionDef, str]] = set()
        for method, node in places:
            given = self.parents.get(node)
            target = given.targets[0] if isinstance(given, ast.Assign) else None
            if not isinstance(target, ast.Name):
                yield node
            elif (method, target.id) not in seen:
                seen.add((method, target.id))
                for each in self.names.get((method, target.id), []):
                    if isinstance(each.ctx, ast.Load):
                        yield each

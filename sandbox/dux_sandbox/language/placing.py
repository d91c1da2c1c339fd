"""Syntax that is made, at a place of the source that it is made for."""

import ast
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)


def placed(made: Node, at: ast.AST) -> Node:
    """The same node, all of which stands where `at` stands now."""
    for part in ast.walk(made):
        ast.copy_location(part, at)
    return made

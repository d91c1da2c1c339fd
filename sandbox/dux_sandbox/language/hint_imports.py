"""Imports whose names only type hints read: they go, as the hints do.

`from .types import OptFloat` is needed for `def step(self) -> OptFloat` and for nothing
that a rule does, whether that file is at hand or not. So are modules that Python
brings. Of other packages it stays a finding: the file wants them where it is imported.
"""

import ast
import sys
from collections.abc import Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import bound_names
from dux_sandbox.language.vocabulary import MODULES

_IMPORTS = (ast.Import, ast.ImportFrom)


def leave_out(tree: ast.Module) -> list[Finding]:
    """Take out of the imports at the top what hints alone read, in place.

    Returns:
        A note on each import of a module that rules have not.
    """
    imports = [each for each in tree.body if isinstance(each, _IMPORTS)]
    strange = [each for each in imports if _strange(each)]
    if not strange:
        return []
    hints = {part for hint in _hints(tree) for part in ast.walk(hint)}
    hinted, used = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (hinted if node in hints else used).add(node.id)
        elif node not in strange:
            used.update(bound_names(node))
    notes = []
    for node in strange:
        gone = [each for each in node.names if _bound(each) in hinted - used]
        node.names = [each for each in node.names if each not in gone]
        if not node.names:
            tree.body.remove(node)
        if gone:
            names = ", ".join(map(_bound, gone))[:80]
            message = f"the import of {names}: nothing but type hints names it"
            notes.append(Finding("left out", node.lineno, message, "leave it out"))
    return notes


def _strange(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.Import):
        return all(_brought(each.name) for each in node.names)
    star = node.names[0].name == "*"
    return not star and (bool(node.level) or _brought(node.module or ""))


def _brought(module: str) -> bool:
    """Whether Python brings a module that rules have not."""
    top = module.partition(".")[0]
    return module not in MODULES and top in sys.stdlib_module_names


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _hints(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        hint = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if isinstance(hint, ast.expr):
            yield hint

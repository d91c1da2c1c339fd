"""Enumerations: their members become plain values of a plain class."""

import ast
from collections.abc import Iterable, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language.bindings import aliases_in, path_of
from dux_sandbox.mending.draft import Draft, Rewrite
from dux_sandbox.mending.signatures import in_hints

_KINDS = frozenset(["enum.Enum", "enum.IntEnum", "enum.StrEnum"])


def plain(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`class Kind(Enum):` becomes `class Kind:`, and `auto()` a number.

    Only where nothing is done with the class but to read its members.
    """
    lines = {finding.line for finding in findings}
    aliases = aliases_in(draft.tree)
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for node in draft.tree.body:
        if not isinstance(node, ast.ClassDef) or not lines & set(lines_of(node)):
            continue
        bases = [path_of(base, aliases) for base in node.bases]
        if not _KINDS & set(bases) or not draft.may_touch(node.lineno):
            continue
        members = list(_members(node))
        if len(members) < len(node.body) or _used_otherwise(draft.tree, node.name):
            continue
        line = draft.source.lines[node.lineno - 1].encode()
        begin, end = line.find(b"("), line.find(b")")
        if begin < 0 or end < begin:
            continue
        edits.append(Edit((node.lineno, begin), (node.lineno, end + 1), ""))
        values = [each for each in members if each is not None]
        for number, each in enumerate(values, 1):
            if not isinstance(each.value, ast.Constant):
                edits.append(Edit.of(each.value, str(number)))
        told.append((node.lineno, f"{node.name} is a class of plain values", None))
    return Rewrite(tuple(edits), (), tuple(told))


def _members(node: ast.ClassDef) -> Iterator[ast.Assign | None]:
    """The assignments of members, and None for a docstring."""
    for each in node.body:
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            yield None
        elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            called = each.value.func if isinstance(each.value, ast.Call) else None
            numbered = called is not None and ast.unparse(called).endswith("auto")
            if numbered or isinstance(each.value, ast.Constant):
                yield each


def _used_otherwise(tree: ast.Module, name: str) -> bool:
    """Whether a class is used but for its members, and in hints."""
    read = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and not node.attr.startswith("_")
    }
    hinted = in_hints(tree)
    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and node not in read
        and node not in hinted
        for node in ast.walk(tree)
    )

"""Joins the text of a rule and an experiment to a script that runs as it stands."""

import ast
import textwrap

_SCOPES = ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def joined(before: str, rule: str, after: str) -> str:
    """One script of three texts.

    `from __future__` goes to the top, where Python wants it. Where the rule's own
    names are among those of the experiment, the experiment becomes a function: there
    its names hide the rule's from nobody.

    Args:
        before: imports of the experiment.
        rule: the text of the rule, with whatever header it has.
        after: the factory, definitions, and the experiment.
    """
    tops, rule = _without_futures(rule)
    if names_bound(rule) & (names_bound(before) | names_bound(after)) - {"torch"}:
        others = "\n".join(line for line in before.splitlines() if not _torch(line))
        inner = textwrap.indent(f"{others}\n\n{after}".strip(), "    ")
        before = "import torch"
        after = f"\n\ndef show():\n{inner}\n\n\nshow()"
    parts = [tops, before.strip(), rule.strip(), after.rstrip()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _torch(line: str) -> bool:
    return line.strip() == "import torch"


def _without_futures(rule: str) -> tuple[str, str]:
    """The imports from `__future__` at its top level, and the rest of the text."""
    try:
        tree = ast.parse(rule)
    except SyntaxError:
        return "", rule
    lines, taken = rule.splitlines(), []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            taken.append(ast.unparse(node))
            for at in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[at] = ""
    return "\n".join(dict.fromkeys(taken)), "\n".join(lines)


def names_bound(text: str) -> frozenset[str]:
    """The names that a text binds at its top level; none where it does not parse."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return frozenset()
    return frozenset(name for node in tree.body for name in bound_by(node))


def bound_by(node: ast.AST) -> list[str]:
    """The names that a statement binds in the scope it stands in.

    A statement that changes what a name holds (`table[0] = 1`, `Rule.step = step`)
    counts among those that bind it.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store) else []
    if isinstance(node, ast.Attribute | ast.Subscript):
        if not isinstance(node.ctx, ast.Store):
            return []
        root: ast.AST = node
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        return [root.id] if isinstance(root, ast.Name) else []
    if isinstance(node, _SCOPES):
        return []
    return [name for each in ast.iter_child_nodes(node) for name in bound_by(each)]

"""What nobody uses: imports, methods, statements beside the optimizers."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language import torch_names
from dux_sandbox.language.reached import mentions
from dux_sandbox.mending.draft import Draft, Rewrite

_Import = ast.Import | ast.ImportFrom


def imports(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Imports whose names are read nowhere, in no hint and in no `__all__`."""
    read = {
        node.id
        for node in ast.walk(draft.tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    read |= set(_in_texts(draft.tree))
    edits: list[Edit] = []
    gone: list[ast.stmt] = []
    told: list[tuple[int, str, int | None]] = []
    for node in ast.walk(draft.tree):
        if not isinstance(node, _Import) or not draft.may_touch(node.lineno):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        unused = [
            each
            for each in node.names
            if each.name != "*"
            and (each.asname or each.name.partition(".")[0]) not in read
        ]
        if not unused:
            continue
        names = ", ".join(each.asname or each.name for each in unused)
        what = f"the import of {names} is taken out: nothing uses it"
        told.append((node.lineno, what, None))
        if len(unused) == len(node.names):
            gone.append(node)
        else:
            node_left = ast.unparse(
                _with(node, [e for e in node.names if e not in unused])
            )
            edits.append(Edit.of(node, node_left))
    return Rewrite(tuple(edits), tuple(gone), tuple(told))


def _with(node: _Import, names: list[ast.alias]) -> _Import:
    if isinstance(node, ast.Import):
        return ast.Import(names)
    return ast.ImportFrom(node.module, names, node.level)


def _in_texts(tree: ast.Module) -> Iterator[str]:
    """Names in hints that are written as text, and in `__all__`."""
    for node in ast.walk(tree):
        hints: list[ast.expr | None] = []
        if isinstance(node, ast.arg):
            hints.append(node.annotation)
        elif isinstance(node, ast.AnnAssign):
            hints.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            hints.append(node.returns)
        elif isinstance(node, ast.Assign):
            named = [each.id for each in node.targets if isinstance(each, ast.Name)]
            hints.append(node.value if "__all__" in named else None)
        for hint in filter(None, hints):
            yield from names_in(hint)


def names_in(hint: ast.expr) -> Iterator[str]:
    """The names in a hint, and in what of it is written as text."""
    for each in ast.walk(hint):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield from _words(each.value)


def _words(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id


def beside(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Statements at the top level that findings are about and no optimizer uses."""
    lines = draft.at(findings)
    needed = draft.about.needed(draft.rules)
    gone = [
        each
        for each in draft.tree.body
        if each not in needed
        and lines & set(lines_of(each))
        and draft.may_touch(each.lineno)
        and not isinstance(each, _Import)
    ]
    told = [
        (each.lineno, f"{_called(each)}, which no optimizer uses, is left out", None)
        for each in gone
    ]
    return Rewrite((), tuple(gone), tuple(told))


def idle(draft: Draft, raised: Mapping[str, str]) -> Rewrite:
    """Classes that take no step under plain torch, by what they raise.

    Nothing else of the source may be built on them, or name them.
    """
    classes = [
        each
        for each in draft.tree.body
        if isinstance(each, ast.ClassDef) and each.name in raised
    ]
    gone = [
        each
        for each in classes
        if draft.may_touch(each.lineno)
        and not any(
            each.name in mentions(node)
            for other in draft.tree.body
            if other is not each
            for node in ast.walk(other)
        )
    ]
    told = [
        (
            each.lineno,
            f"the class {each.name} is taken out: under plain torch it takes no step, "
            f"it raises {raised[each.name]}",
            None,
        )
        for each in gone
    ]
    return Rewrite((), tuple(gone), tuple(told))


def script(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """All of a script that no optimizer uses."""
    needed = draft.about.needed(draft.rules)
    gone = [
        each
        for at, each in enumerate(draft.tree.body)
        if each not in needed and not _stays(at, each)
    ]
    told = [
        (each.lineno, f"{_called(each)}, which no optimizer uses, is left out", None)
        for each in gone
    ]
    return Rewrite((), tuple(gone), tuple(told))


def _stays(at: int, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or statement.names[0].name == "*"
    text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return at == 0 and text


def _called(statement: ast.stmt) -> str:
    if isinstance(statement, ast.ClassDef):
        return f"the class {statement.name}"
    if isinstance(statement, ast.FunctionDef):
        return f"the function {statement.name}"
    if isinstance(statement, _Import):
        return "an import"
    return "a statement"


def methods(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Methods that findings are about and nobody calls by name.

    What Python calls by itself (`__str__`, `__getstate__`) goes as well: no step
    needs it.
    """
    lines = draft.at(findings)
    named = {name for node in ast.walk(draft.tree) for name in mentions(node)}
    gone: list[ast.stmt] = []
    told: list[tuple[int, str, int | None]] = []
    for node in ast.walk(draft.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for each in node.body:
            if not isinstance(each, ast.FunctionDef) or not lines & set(lines_of(each)):
                continue
            magic = each.name.startswith("__") and each.name != "__init__"
            own = each.name in torch_names.OPTIMIZER_OVERRIDABLE or each.name in (
                "__init__",
                "__call__",
                "__setstate__",
                "step",
            )
            if (each.name not in named or magic) and not own:
                if draft.may_touch(each.lineno):
                    gone.append(each)
                    what = f"the method {each.name}, which no step calls, is left out"
                    told.append((each.lineno, what, None))
    return Rewrite((), tuple(gone), tuple(told))

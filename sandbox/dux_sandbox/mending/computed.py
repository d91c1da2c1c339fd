"""Constants of a module that are computed by what a rule may not use."""

import ast
import sys
from collections.abc import Iterable, Mapping

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import Outline, lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.mending.draft import Draft, Rewrite

# What these give hangs on their arguments alone, and on what is installed.
_PURE = frozenset(
    """collections dataclasses enum fractions functools itertools math numbers numpy
    operator packaging re string typing typing_extensions""".split()
)
_INSTALLED = frozenset(
    """sys.version_info sys.version sys.hexversion sys.maxsize sys.float_info
    torch.__version__ torch.version torch.finfo torch.iinfo torch.float16
    torch.bfloat16 torch.float32 torch.float64""".split()
)
# By these a text tells where it runs, or does what its words do not show.
_TELLING = frozenset(
    """__builtins__ __file__ __import__ __loader__ __name__ __spec__ breakpoint compile
    dir eval exec globals hash id input locals open vars""".split()
)


def constants_of(about: Outline) -> list[str]:
    """Names that a source computes once at its top level, and does not write down.

    Only where they are the same wherever this Python and these packages are: in its
    process a file meets no environment, no device and no arguments, and another clock.
    """
    return [
        name
        for statement in about.tree.body
        for name, value in _bound(statement)
        if not isinstance(value, ast.Constant)
        and len(about.binders[name]) == 1
        and _same_everywhere(about, statement, value)
    ]


def _same_everywhere(about: Outline, statement: ast.stmt, value: ast.expr) -> bool:
    used = [each.id for each in ast.walk(value) if isinstance(each, ast.Name)]
    needed = {*about.needed(used), statement}
    binds = (ast.Import, ast.ImportFrom)
    return all(
        _pure(node, about.bindings.modules)
        for each in needed
        if not isinstance(each, binds)
        for node in _outermost(each)
    )


def _outermost(statement: ast.stmt) -> Iterable[ast.AST]:
    """Every node, but for names that an attribute is read off."""
    read_off = {
        node.value for node in ast.walk(statement) if isinstance(node, ast.Attribute)
    }
    return (
        node
        for node in ast.walk(statement)
        if node not in read_off or not isinstance(node, ast.Name)
    )


def _pure(node: ast.AST, modules: Mapping[str, str]) -> bool:
    if isinstance(node, ast.Import):
        return all(each.name.partition(".")[0] in _PURE for each in node.names)
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").partition(".")[0] in _PURE
    if isinstance(node, ast.Name):
        return node.id not in _TELLING and _harmless(modules.get(node.id, "math"))
    if not isinstance(node, ast.Attribute):
        return True
    if node.attr.startswith("__") and node.attr != "__version__":
        return False
    if not isinstance(node.value, ast.Name):
        return True
    if node.value.id not in modules:
        return node.value.id not in _TELLING
    # `re.enum.sys` leads out of what is harmless.
    inner = node.attr in sys.stdlib_module_names
    return not inner and _harmless(f"{modules[node.value.id]}.{node.attr}")


def _harmless(path: str) -> bool:
    return path in _INSTALLED or path.partition(".")[0] in _PURE


def written_down(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """`NEW = at_least(torch.__version__, "2.4")` becomes `NEW = True`.

    Where a finding is about the statement, or about a function that it calls, and what
    it gives is known.
    """
    lines = draft.at(findings)
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for statement in draft.tree.body:
        for name, value in _bound(statement):
            known = draft.values.get(name)
            if known is None or isinstance(value, ast.Constant):
                continue
            used = [each.id for each in ast.walk(value) if isinstance(each, ast.Name)]
            about = {*draft.about.needed(used), statement}
            if not lines & {line for each in about for line in lines_of(each)}:
                continue
            if draft.may_touch(statement.lineno):
                edits.append(Edit.of(value, known))
                what = (
                    f"{draft.written(value)[:60]} is written as {known}, as it is here"
                )
                told.append((statement.lineno, what, statement.lineno))
    return Rewrite(tuple(edits), (), tuple(told))


def _bound(statement: ast.stmt) -> list[tuple[str, ast.expr]]:
    """The name that a statement binds to a value, and the value."""
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return []
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return []
    assert statement.value is not None
    return [(targets[0].id, statement.value)]

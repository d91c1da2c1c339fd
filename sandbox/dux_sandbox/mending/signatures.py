"""Signatures: hints that cannot be read, and what a constructor has to be given."""

import ast
import re
from collections.abc import Iterable, Iterator

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language.contract import demanded
from dux_sandbox.language.reads import Reads
from dux_sandbox.language.several_lists import lists_of
from dux_sandbox.language.usual_values import BESIDE, WRAPPED, calls
from dux_sandbox.language.values_by_use import BESIDE_PARAMETERS, value_of
from dux_sandbox.language.wrapped import handed_optimizer
from dux_sandbox.mending.draft import Draft, Rewrite
from dux_sandbox.mending.unused import names_in

# What stands for an optimizer that another one is to wrap, as a class or built over the
# same parameters, and for a part of the parameters.
A_CLASS = "torch.optim.SGD"
AN_OPTIMIZER = "torch.optim.SGD(params)"
MATRICES, OTHERS, ALL = "matrices", "other parameters", "all parameters"
# The name of the first argument, where that is such an optimizer.
FIRST = ""


def usual_of(node: ast.ClassDef) -> dict[str, str] | None:
    """Usual values for what the constructor of a class wants; None without one.

    Also for arguments beside others that have no usual value: they are missing then.
    """
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            bare = [*demanded(statement.args, given=2), *_required(statement.args)]
            reads = Reads.of(node)
            found = {each.arg: _usual(each, statement, reads) for each in bare}
            lists = lists_of(statement.args)
            parts = [MATRICES, OTHERS] if lists[1:] else [ALL]
            wraps = {} if handed_optimizer(node) is None else {FIRST: AN_OPTIMIZER}
            known = {name: value for name, value in found.items() if value is not None}
            return {**wraps, **dict(zip(lists, parts, strict=False)), **known}
    return None


def _usual(argument: ast.arg, init: ast.FunctionDef, reads: Reads) -> str | None:
    name, known = argument.arg, value_of(argument, init, reads)
    if name in BESIDE and not calls(init, name):
        return AN_OPTIMIZER
    if name in WRAPPED:
        return A_CLASS
    return None if known == BESIDE_PARAMETERS else known


def hints(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Hints that findings are about, or that name what a refused import brings."""
    lines = {finding.line for finding in findings}
    refused = draft.refused(findings)
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for owner, begin, hint in _hints(draft.tree):
        names = set(names_in(hint))
        strange = set(lines_of(owner)) & lines and hint.lineno in lines
        if not (names & refused or (strange and _alone(hint, findings))):
            continue
        if draft.may_touch(hint.lineno):
            end = (hint.end_lineno or hint.lineno, hint.end_col_offset or 0)
            after = draft.source.lines[end[0] - 1].encode()[end[1] :].decode()
            default = re.match(r"\s*=\s*", after)
            if default is not None:
                end = (end[0], end[1] + default.end())
            edits.append(Edit(begin, end, "" if default is None else "="))
            told.append(
                (hint.lineno, f"the hint {ast.unparse(hint)[:60]} is left out", None)
            )
    return Rewrite(tuple(edits), (), tuple(told))


def _alone(hint: ast.expr, findings: Iterable[Finding]) -> bool:
    """Whether a finding on the line of a hint is about hints."""
    return any(
        finding.line == hint.lineno and "annotation" in finding.message
        for finding in findings
    )


def _hints(
    tree: ast.Module,
) -> Iterator[tuple[ast.stmt, tuple[int, int], ast.expr]]:
    """(function, where the hint begins with its colon, the hint)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        for argument in every:
            if argument.annotation is not None:
                begin = argument.col_offset + len(argument.arg.encode())
                yield node, (argument.lineno, begin), argument.annotation


def in_hints(tree: ast.Module) -> set[ast.AST]:
    """Every node of a hint: of an argument, a result or a variable."""
    hints: list[ast.expr | None] = [hint for _, _, hint in _hints(tree)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            hints.append(node.returns)
        elif isinstance(node, ast.AnnAssign):
            hints.append(node.annotation)
    return {each for hint in filter(None, hints) for each in ast.walk(hint)}


def _required(arguments: ast.arguments) -> Iterator[ast.arg]:
    """Arguments whose default is torch's `required`, which stands for none."""
    positional = [*arguments.posonlyargs, *arguments.args]
    named = positional[len(positional) - len(arguments.defaults) :]
    for argument, default in zip(named, arguments.defaults, strict=True):
        if ast.unparse(default).rpartition(".")[2] == "required":
            yield argument

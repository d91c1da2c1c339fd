"""The part of a source that one of its classes needs, as it is written there."""

import ast

from dux_sandbox.gathering.gathered import Gathered
from dux_sandbox.gathering.outline import Outline, lines_of
from dux_sandbox.language.usage import mentioned, touched


def part_of(whole: Gathered, about: Outline, rule: str) -> Gathered:
    """The source without what only its other optimizers need.

    What no optimizer needs stays: it is judged with every class. The class comes last
    among the optimizers, where the contract looks for it.

    Args:
        whole: the source.
        about: its outline.
        rule: the name of one of its classes.
    """
    others = [each for each in (*about.rules, *about.bases) if each != rule]
    kept = about.needed([rule])
    gone = about.needed(others) - kept
    lost = _names(gone, about) - _names(kept, about)
    left = [each for each in about.tree.body if each not in gone | kept]
    while True:
        more = {each for each in left if lost & set(mentioned(each))}
        if not more:
            break
        gone |= more
        left = [each for each in left if each not in more]
        lost |= _names(more, about) - _names({*kept, *left}, about)
    return _without(whole, about, gone, rule)


def only_needed(whole: Gathered, about: Outline, rules: list[str]) -> Gathered:
    """The source without anything that these classes do not use.

    Imports from `__future__`, the docstring and what the source says of itself stay.
    """
    kept = about.needed(rules)
    gone = {
        each
        for at, each in enumerate(about.tree.body)
        if each not in kept and not _stays(at, each)
    }
    return _without(whole, about, gone, rules[-1] if len(rules) == 1 else None)


def _stays(at: int, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or statement.names[0].name == "*"
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id in ("__version__", "__author__", "__license__")
    documents = isinstance(statement, ast.Expr) and isinstance(
        statement.value, ast.Constant
    )
    return at == 0 and documents


def _names(statements: set[ast.stmt], about: Outline) -> set[str]:
    return {
        name for each in statements for name in touched(each, about.bindings.modules)
    }


def _without(
    whole: Gathered, about: Outline, gone: set[ast.stmt], rule: str | None
) -> Gathered:
    """The lines of everything else; those of the class last, where others follow it."""
    stay = [each for each in about.tree.body if each not in gone]
    held = {line for each in stay for line in lines_of(each)}
    out = {line for each in gone for line in lines_of(each)} - held
    numbers = [at for at in range(1, len(whole.lines) + 1) if at not in out]
    if rule is not None:
        own = [each for each in stay if isinstance(each, ast.ClassDef)]
        optimizers = {*about.rules, *about.bases}
        last = [each for each in own if each.name in optimizers]
        mine = [each for each in last if each.name == rule]
        if mine and last[-1] is not mine[-1]:
            moved = set(lines_of(mine[-1]))
            numbers = [at for at in numbers if at not in moved] + sorted(moved)
    return whole.only(numbers)

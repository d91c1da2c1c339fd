"""Tells a whole script, which trains something, from a file that holds an optimizer."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from dux_sandbox.gathering.outline import Outline, is_main_block
from dux_sandbox.language.usage import mentioned

_COMMAND_LINES = frozenset(
    "absl argparse click configargparse docopt fire getopt hydra simple_parsing tap "
    "typer tyro".split()
)
_STARTS = frozenset("main run train train_model cli app".split())
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LOOPS = (ast.For, ast.While, ast.AsyncFor)


@dataclass(frozen=True)
class Sign:
    """Something that only a script does.

    Attributes:
        line: where it is done.
        what: for a sentence: "a training loop".
    """

    line: int
    what: str


def signs_of(about: Outline) -> list[Sign]:
    """What a file does beside defining optimizers; empty where it is no script.

    A block under `if __name__ == "__main__":` makes none by itself, and nor does a
    function that nobody calls: both are left out of a rule.
    """
    optimizers = {*about.rules, *about.bases}
    runs = [each for each in about.tree.body if not isinstance(each, _DEFINITIONS)]
    called = about.needed(name for each in runs for name in mentioned(each))
    found: dict[str, Sign] = {}
    for statement in about.tree.body:
        if statement not in called and statement not in runs:
            continue
        if isinstance(statement, ast.ClassDef) and statement.name in optimizers:
            continue
        for sign in _signs(statement):
            found.setdefault(sign.what, sign)
    return sorted(found.values(), key=lambda sign: sign.line)


def _signs(statement: ast.stmt) -> Iterator[Sign]:
    if not isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.If)):
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            if call.func.id in _STARTS:
                yield Sign(statement.lineno, f"a call of {call.func.id}()")
    if is_main_block(statement) and len(list(ast.walk(statement))) > 40:
        yield Sign(statement.lineno, "a long main block")
    for node in ast.walk(statement):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [] if node.level else [node.module or ""]
            if any(name.partition(".")[0] in _COMMAND_LINES for name in names):
                yield Sign(node.lineno, "arguments of a command line")
        else:
            yield from _done_by(node)


def _done_by(node: ast.AST) -> Iterator[Sign]:
    if isinstance(node, _LOOPS):
        called = {
            each.func.attr
            for each in ast.walk(node)
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)
        }
        if {"backward", "step"} <= called:
            yield Sign(node.lineno, "a training loop")
    elif isinstance(node, ast.Attribute) and node.attr == "argv":
        yield Sign(node.lineno, "arguments of a command line")
    elif isinstance(node, ast.Call):
        called_as = node.func
        name = getattr(called_as, "attr", getattr(called_as, "id", ""))
        if name == "DataLoader":
            yield Sign(node.lineno, "a data loader")


def told(signs: list[Sign]) -> str:
    """The signs in one phrase: "a training loop (line 40)".

    >>> told([Sign(3, "a data loader"), Sign(9, "a training loop")])
    'a data loader (line 3) and a training loop (line 9)'
    """
    named = [f"{sign.what} (line {sign.line})" for sign in signs]
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))

"""What a rule can do without: statements, terms and options are left out one by one.

What is left out changes nothing: with it and without it the rule takes the same steps,
to the last bit, in a jailed process, on gradients that are drawn in the shapes of the
run, for as many steps as the run gave it. Larger parts are tried before smaller ones.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from dux_sandbox import check
from dux_sandbox.dry_runs.drawn_steps import Shapes, cut_down, drawn_steps
from dux_sandbox.findings import RuleFailed, SourceRejected

_MOST_TRIES = 300
_MOST_STEPS = 300

Edit = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Smaller:
    """A rule, and the same without what changes nothing.

    Attributes:
        source: the smaller one; it has no comments.
        dropped: what was left out, each as its first line of code.
        steps: for how many both take the same ones.
    """

    source: str
    dropped: tuple[str, ...]
    steps: int


def ablate(source: str, shapes: Shapes, steps: int) -> Smaller:
    """The source without whatever changes none of its steps.

    Args:
        source: of a rule that the static check passes.
        shapes: of the parameters of the run; those that are large are cut down.
        steps: that it took live; 300 are tried at most.

    Raises:
        RuleFailed: it takes no steps on such gradients.
        SourceRejected: the static check refuses it.
    """
    steps = max(1, min(steps, _MOST_STEPS))
    trial = _Trial(source, cut_down(shapes), steps)
    tree = ast.parse(source)
    _without_texts(tree)
    dropped: list[str] = []
    place, since = 0, 0  # how many parts were tried since one was left out
    for _ in range(_MOST_TRIES):
        parts = list(_parts(tree))
        if since > len(parts) or not parts:
            break
        what, smaller = _without(tree, parts[place % len(parts)])
        if trial.passes(_text(smaller)):
            tree, since = smaller, 0
            dropped.append(what)
        else:
            place, since = place + 1, since + 1
    return Smaller(_text(tree), tuple(dropped), steps)


def _text(tree: ast.AST) -> str:
    return ast.unparse(tree) + "\n"


class _Trial:
    """The steps of a rule, which another is to take."""

    def __init__(self, source: str, shapes: Shapes, steps: int) -> None:
        self._given = shapes, steps, _scale(gaps=True)
        try:
            self._wanted = list(drawn_steps(source, *self._given))
        except RuleFailed:  # it wants every gradient
            self._given = shapes, steps, _scale(gaps=False)
            self._wanted = list(drawn_steps(source, *self._given))

    def passes(self, source: str) -> bool:
        """Whether it takes the same ones, to the last bit."""
        if not check(source).ok:
            return False
        try:
            found = list(drawn_steps(source, *self._given))
        except (RuleFailed, SourceRejected):
            return False
        return all(map(torch.equal, self._wanted, found))


def _scale(gaps: bool) -> Callable[[int, int], float | None]:
    """Of every size, so that what hangs on a norm is met; none now and then."""

    def scale(step: int, at: int) -> float | None:
        if gaps and step % 3 == 1 and step % 2 == at % 2:
            return None
        return float(10.0 ** (4 * ((0.618 * step) % 1.0) - 3))

    return scale


def _without_texts(tree: ast.Module) -> None:
    """Docstrings are no statements that anything could hang on."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            rest = [each for each in body if not _is_text(each)]
            node.body = rest or [ast.Pass()]  # type: ignore[attr-defined]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _parts(tree: ast.Module) -> Iterator[tuple[str, int, Edit]]:
    """What might be left out, larger parts first: in words, below which node, how."""
    for number, node in enumerate(ast.walk(tree)):
        for what, edit in _edits_of(node):
            yield what, number, edit


def _without(tree: ast.Module, part: tuple[str, int, Edit]) -> tuple[str, ast.Module]:
    """A copy of the tree without a part, and what that is."""
    what, number, edit = part
    other = copy.deepcopy(tree)
    edit(next(node for at, node in enumerate(ast.walk(other)) if at == number))
    return what, other


def _edits_of(node: ast.AST) -> Iterator[tuple[str, Edit]]:
    """What can be left out directly below a node."""
    for field in ("body", "orelse"):
        block = getattr(node, field, None)
        for at, statement in enumerate(block if isinstance(block, list) else ()):
            if not isinstance(statement, ast.Pass | ast.ClassDef):
                yield _line(statement), _statement_dropper(field, at)
    if isinstance(node, ast.arguments):
        first = len(node.args) - len(node.defaults)
        for at, argument in enumerate(node.args[first:]):
            if argument.arg != "closure":
                yield f"option {argument.arg}", _option_dropper(first + at, at)
    if isinstance(node, ast.Call) and len(node.keywords) > 1:
        for at, keyword in enumerate(node.keywords):
            yield ast.unparse(keyword), _keyword_dropper(at)
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.BinOp):
            for side in ("left", "right"):
                left_out = "right" if side == "left" else "left"
                what = f"{_line(getattr(value, left_out))} in {_line(value)}"
                yield what, _term_taker(name, side)


def _line(node: ast.AST) -> str:
    return ast.unparse(node).split("\n")[0]


def _statement_dropper(field: str, at: int) -> Edit:
    def edit(node: ast.AST) -> None:
        block = getattr(node, field)
        del block[at]
        if field == "body" and not block:
            block.append(ast.Pass())

    return edit


def _option_dropper(at: int, default: int) -> Edit:
    def edit(node: ast.AST) -> None:
        assert isinstance(node, ast.arguments)
        del node.args[at], node.defaults[default]

    return edit


def _keyword_dropper(at: int) -> Edit:
    def edit(node: ast.AST) -> None:
        assert isinstance(node, ast.Call)
        del node.keywords[at]

    return edit


def _term_taker(field: str, side: str) -> Edit:
    def edit(node: ast.AST) -> None:
        setattr(node, field, getattr(getattr(node, field), side))

    return edit

"""Reads a space that is written as text, and runs none of it."""

import ast
from collections.abc import Callable, Sequence
from typing import Any

from dux_prompts.tuning.hyperparameters import Hyperparameter, one_of, real, whole
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.values import SpaceError

_MAKERS: dict[str, Callable[..., Hyperparameter]] = {
    "real": real,
    "whole": whole,
    "one_of": one_of,
}
_NAMES = ("space", "SPACE")


def space_of_texts(written: Sequence[str]) -> Space:
    """The space of several `name=real(1e-5, 1, log=True)`.

    Raises:
        SpaceError: one of them is none.

    >>> space_of_texts(["depth=whole(1, 3)"]).start()
    {'depth': 2}
    """
    held: dict[str, Hyperparameter] = {}
    for each in written:
        name, sign, text = each.partition("=")
        try:
            if not sign or not name.strip():
                raise SyntaxError
            held[name.strip()] = _made(ast.parse(text.strip(), mode="eval").body)
        except (SyntaxError, ValueError, TypeError) as error:
            if isinstance(error, SpaceError):
                raise SpaceError(f"{name.strip()}: {error}") from None
            raise SpaceError(
                f"a hyperparameter is {each[:80]!r}; NAME=real(LOW, HIGH), whole(...) "
                f"or one_of(...) was wanted; write for instance "
                f"'lr=real(1e-5, 1, log=True)'."
            ) from None
    return Space(held)


def space_in_source(source: str) -> Space | None:
    """The space that a script assigns to `space`, which is read and not run, if any.

    Raises:
        SpaceError: it says more than names and real(), whole() and one_of() of plain
            values.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(each, ast.Name) and each.id in _NAMES for each in targets):
            assert isinstance(node, ast.Assign)
            return _dict(node.value)
    return None


def _dict(node: ast.expr) -> Space:
    try:
        if not isinstance(node, ast.Dict) or None in node.keys:
            raise TypeError
        names = [ast.literal_eval(key) for key in node.keys if key is not None]
        return Space(dict(zip(names, map(_made, node.values), strict=True)))
    except (TypeError, ValueError) as error:
        if isinstance(error, SpaceError):
            raise
        raise SpaceError(
            "space is written in a way that cannot be read without running it; a dict "
            "of real(), whole() and one_of() with plain values was wanted; write it so."
        ) from None


def _made(node: ast.expr) -> Hyperparameter:
    if not isinstance(node, ast.Call):
        raise TypeError
    name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
    values = [_value(each) for each in node.args]
    named = {str(each.arg): _value(each.value) for each in node.keywords}
    if name not in _MAKERS:
        raise TypeError
    return _MAKERS[name](*values, **named)


def _value(node: ast.expr) -> Any:
    """A plain value; a power of numbers, such as 2**-10, is one too."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        base, exponent = _value(node.left), _value(node.right)
        if not all(
            isinstance(e, int | float) and abs(e) < 1000 for e in (base, exponent)
        ):
            raise ValueError
        return base**exponent
    return ast.literal_eval(node)

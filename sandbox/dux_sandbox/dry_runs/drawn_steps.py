"""Steps of a rule on gradients that are drawn, in a jailed process, without a model."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence

import torch

from dux_sandbox.process.isolated import IsolatedRule

Shapes = Sequence[Sequence[int]]

_MOST_ELEMENTS = 20_000
_SHAPES = [[8, 4], [4]]
_BEGIN = 3
_JUMP = 3.0
_MATTERS = 1e-4
_MOST_TOLD = 8


def cut_down(shapes: Shapes) -> list[list[int]]:
    """One of each shape, no larger than is quickly stepped; ours where none is."""
    kept: list[list[int]] = []
    for shape in shapes:
        small = list(shape)
        while math.prod(small) > _MOST_ELEMENTS:
            longest = small.index(max(small))
            small[longest] = math.ceil(small[longest] / 2)
        if small not in kept and all(small):
            kept.append(small)
    return kept or _SHAPES


def drawn_steps(
    source: str, shapes: Shapes, steps: int, scale: Callable[[int, int], float | None]
) -> Iterator[torch.Tensor]:
    """The weights after each step, all in one, float32 `(elements,)`.

    Args:
        source: of the rule.
        shapes: of the parameters; they and their gradients are drawn with one seed.
        steps: to take.
        scale: of a step, from 1, and a parameter, from 0: by what its gradient is
            multiplied; None: it has none.

    Raises:
        SourceRejected: the static check refuses the source.
        RuleFailed: a step failed.
    """
    draw = torch.Generator().manual_seed(0)
    weights = [
        torch.nn.Parameter(torch.randn(tuple(s), generator=draw, device="cpu"))
        for s in shapes
    ]
    rule = IsolatedRule.build(source, [{"params": weights}])
    try:
        rule.bind([{"params": weights, **options} for options in rule.options])
        for step in range(1, steps + 1):
            for at, weight in enumerate(weights):
                drawn = torch.randn(weight.shape, generator=draw, device="cpu")
                by = scale(step, at)
                weight.grad = None if by is None else by * drawn
            rule.step()
            yield torch.cat([each.detach().reshape(-1) for each in weights])
    finally:
        rule.close()


def steps_by_itself(source: str, shapes: Shapes, steps: int) -> tuple[int, ...]:
    """Steps in which a rule moves weights without a gradient, at most eight, from 1.

    Its gradients are zero from the fourth step on. What momentum and weight decay do
    then goes on evenly; a step that moves the weights three times as far as the one
    before it does something else: puts an average in their place, rescales, resets.

    Args:
        source: of the rule; one that compares no numbers does the same in every step,
            and is not run.
        shapes: of the parameters.
        steps: to look at.

    Raises:
        SourceRejected, RuleFailed: as for `drawn_steps`.
    """
    if not _tells_steps_apart(ast.parse(source)):
        return ()
    found: list[int] = []
    before: torch.Tensor | None = None
    length = math.inf
    taken = drawn_steps(
        source, cut_down(shapes), steps, lambda step, _: float(step <= _BEGIN)
    )
    for step, weights in enumerate(taken, start=1):
        last, length = length, math.inf
        if before is not None:
            length = float((weights - before).norm())
            if (
                step > _BEGIN + 1
                and length > _JUMP * last
                and length > _MATTERS * float(before.norm())
            ):
                found.append(step)
        before = weights
    return tuple(found[:_MOST_TOLD])


def _tells_steps_apart(node: ast.AST) -> bool:
    """Whether it compares numbers, but for what a rule checks of its options, and for
    `len(state) == 0`, which is so in the first step alone."""
    if isinstance(node, ast.If) and all(isinstance(x, ast.Raise) for x in node.body):
        return any(map(_tells_steps_apart, node.orelse))
    if isinstance(node, ast.Compare) and ast.unparse(node).startswith("len("):
        if ast.unparse(node).endswith(" 0"):
            return False
    compares = ast.Mod | ast.Eq | ast.NotEq | ast.Gt | ast.GtE | ast.Lt | ast.LtE
    children = ast.iter_child_nodes(node)
    return isinstance(node, compares) or any(map(_tells_steps_apart, children))

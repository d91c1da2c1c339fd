"""Rows of weights that no gradient has reached: a rule has no reason to move them far.

An embedding's row is used once in a while. A rule that spoils the rows that are not
in use is not seen by any loss until they are; by then the spoilt rows may be in the
very snapshot that a rollback restores. So before a snapshot is renewed, the rows
whose gradient was zero at every step that was looked at are compared with the last.

    allowed(row) = largest weight of the row + 4 x the largest move of a row in use

The first term leaves room for weight decay, which can take a weight to zero and no
further; the second for gradients at the steps in between, and for momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch

from dux_sandbox.laws.traits import UnknownTrait, declared_by
from dux_sandbox.shards import own_part

# One look reads the gradients once: a sixteenth of 4 bytes a weight and step.
LOOK_EVERY = 16
_TIMES_FURTHER = 4.0
# What a rule may declare of itself that moves rows without a gradient.
_MOVES_ROWS = {
    "stochastic": "it draws random numbers",
    "averages-weights": "it averages weights",
}


def exemption(source: str | None) -> str:
    """Why the rows of a rule are not watched; "" where they are."""
    if source is None:
        return ""
    try:
        declared = declared_by(source)
    except (UnknownTrait, SyntaxError):
        return ""
    for trait, reason in _MOVES_ROWS.items():
        if trait in declared:
            return f"it declares `dux: {trait}`: {reason}"
    return ""


class UntouchedRows:
    """Which rows of which parameters have had a gradient since it was made.

    A row is what lies under one index of the first dimension; parameters of fewer than
    two dimensions are not watched.

    >>> weight = torch.nn.Parameter(torch.zeros(3, 2))
    >>> rows = UntouchedRows([weight])
    >>> weight.grad = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    >>> rows.look([weight])
    >>> before = [weight.detach().clone()]
    >>> weight.data = torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0]])
    >>> rows.fault(before, [weight])
    'a row of parameter 0 without a gradient moved by 9, and rows with one by 0.1'
    """

    def __init__(
        self, parameters: Sequence[torch.Tensor], reached: Sequence[Any] | None = None
    ) -> None:
        """Nothing has had a gradient yet.

        Args:
            parameters: whose rows.
            reached: what `state_dict` gave of the same parameters.

        Raises:
            ValueError: it is of others.
        """
        self._reached = [
            torch.zeros(p.shape[0], dtype=torch.bool, device=p.device)
            if p.ndim >= 2 and p.numel() and p.is_floating_point()
            else None
            for p in map(own_part, parameters)
        ]
        if reached is None:
            return
        for known, mine in zip(reached, self._reached, strict=True):
            if _make(known) != _make(mine):
                raise ValueError("rows with gradients of other parameters than these")
            if mine is not None:
                mine.copy_(known)

    def state_dict(self) -> list[torch.Tensor | None]:
        """For each parameter which rows had a gradient, `(rows,)` of bool, or None."""
        return [None if each is None else each.clone() for each in self._reached]

    def with_those_of(self, other: UntouchedRows) -> UntouchedRows:
        """What has had a gradient here or there; of the same parameters."""
        both = copy(self)
        both._reached = [
            None if mine is None or its is None else mine | its
            for mine, its in zip(self._reached, other._reached, strict=True)
        ]
        return both

    @torch.no_grad()
    def look(self, parameters: Sequence[torch.Tensor]) -> None:
        """Take note of the gradients as they are now."""
        for reached, parameter in zip(self._reached, parameters, strict=False):
            gradient = parameter.grad
            if reached is None or gradient is None:
                continue
            gradient = own_part(gradient)
            if gradient.layout is torch.strided:
                flat = gradient.detach().reshape(len(reached), -1)
                reached |= torch.linalg.vector_norm(flat, torch.inf, dim=1) != 0
            else:
                reached[gradient.detach().coalesce().indices()[0]] = True

    @torch.no_grad()
    def fault(
        self, before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]
    ) -> str | None:
        """What speaks against how far rows without a gradient have moved, or None.

        Args:
            before, after: values of the parameters then and now, each `(rows, ...)`.
        """
        moves = [
            None if reached is None else _largest(then.to(now.device), now)
            for reached, then, now in zip(self._reached, before, after, strict=False)
        ]
        usual = max(
            (
                float(move[0][reached].max())
                for move, reached in zip(moves, self._reached, strict=False)
                if move is not None and reached is not None and bool(reached.any())
            ),
            default=0.0,
        )
        for index, (move, reached) in enumerate(
            zip(moves, self._reached, strict=False)
        ):
            if move is None or reached is None or bool(reached.all()):
                continue
            moved, weights = move[0][~reached], move[1][~reached]
            # Not a number counts as far.
            far = ~(moved <= weights + _TIMES_FURTHER * usual)
            if bool(far.any()):
                return (
                    f"a row of parameter {index} without a gradient moved by "
                    f"{float(moved[far].max()):.4g}, and rows with one by {usual:.4g}"
                )
        return None


def _make(value: Any) -> Any:
    return (value.shape, value.dtype) if isinstance(value, torch.Tensor) else value


def _largest(
    then: torch.Tensor, now: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each row the largest move and the largest weight before it, `(rows,)`."""
    then, now = own_part(then), own_part(now)
    old = then.detach().reshape(len(then), -1).float()
    move = now.detach().reshape(len(now), -1).float() - old
    largest = torch.linalg.vector_norm
    return largest(move, torch.inf, dim=1), largest(old, torch.inf, dim=1)

"""How large the products of tensors are, and how much work it is to make them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from dux_sandbox.language import vocabulary
from dux_sandbox.runtime.dimensions import check_dimensions
from dux_sandbox.runtime.shapes import broadcast_shape

_MOST_OPERANDS = 64


def check_elements(total: float, name: str) -> None:
    """Refuse a tensor of more than `vocabulary.ELEMENTS` elements.

    Raises:
        ValueError: `total` is over the cap.
    """
    if total > vocabulary.ELEMENTS:
        raise ValueError(
            f"{name} would make {total:.0f} elements; at most "
            f"{vocabulary.ELEMENTS}; build tensors of a parameter's own shape"
        )


def check_work(multiplications: float, name: str) -> None:
    """Refuse what would keep the processor busy for minutes in one call.

    Raises:
        ValueError: more than `vocabulary.MULTIPLICATIONS`.
    """
    if multiplications > vocabulary.MULTIPLICATIONS:
        raise ValueError(
            f"{name} would take {multiplications:.0e} multiplications; at most "
            f"{vocabulary.MULTIPLICATIONS:.0e}; use smaller matrices"
        )


def check_product(left: torch.Tensor, right: torch.Tensor, name: str = "@") -> None:
    """Refuse `left @ right` where its result or its work is over the cap.

    Raises:
        ValueError: it is.
    """
    if left.numel() * right.numel() <= vocabulary.ELEMENTS:
        return  # neither can be larger than the two together
    rows = left.shape[-2] if left.ndim > 1 else 1
    columns = right.shape[-1] if right.ndim > 1 else 1
    inner = left.shape[-1] if left.ndim else 1
    try:
        batch = math.prod(broadcast_shape(left.shape[:-2], right.shape[:-2]))
    except RuntimeError:
        return  # torch will say that they do not fit
    made = batch * rows * columns
    if made > max(left.numel(), right.numel()):
        check_elements(made, name)
    if left.is_cpu:
        # torch multiplies whole numbers and halves without the help of a library.
        slow = 1 if left.dtype.itemsize >= 4 and left.is_floating_point() else 16
        check_work(made * inner * slow, name)


def check_decomposition(matrices: torch.Tensor, name: str, factor: float = 10) -> None:
    """Refuse a decomposition, inverse or exponential that would take too much work.

    Raises:
        ValueError: it would.
    """
    if matrices.ndim < 2 or matrices.numel() <= 1 << 20 or not matrices.is_cpu:
        return
    rows, columns = matrices.shape[-2:]
    check_work(factor * matrices.numel() * min(rows, columns), name)


def check_einsum(equation: str, shapes: Sequence[torch.Size]) -> None:
    """Refuse an einsum that makes too much, at its end or on its way from the left.

    Raises:
        ValueError: it would; or the equation is not `"ab,bc->ac"`, dots included.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) > _MOST_OPERANDS:
        raise ValueError(f"einsum of {len(terms)} tensors; at most {_MOST_OPERANDS}")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum of {len(shapes)} tensors with {equation!r:.60}")
    named = [_labelled(term, shape) for term, shape in zip(terms, shapes, strict=True)]
    sizes: dict[str, int] = {}
    for labels, shape in zip(named, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    dots = [label for label in sizes if label[0] == "."]
    kept = [*output.replace("...", ""), *(dots if "..." in output else ())]
    if not arrow:
        every = [label for labels in named for label in labels]
        kept = [label for label in sizes if every.count(label) == 1 or label[0] == "."]
    held = set(named[0])
    for index, labels in enumerate(named):
        together = held | set(labels)
        check_dimensions(len(together))
        later = {label for each in named[index + 1 :] for label in each}
        held = {label for label in together if label in later or label in kept}
        check_work(math.prod(sizes[label] for label in together), "einsum")
        check_elements(math.prod(sizes[label] for label in held), "einsum")


def _labelled(term: str, shape: torch.Size) -> list[str]:
    """A label for each dimension; those behind the dots are counted from the last."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        raise ValueError(f"einsum term {term!r:.60} for {len(shape)} dimensions")
    return [*before, *(f".{place}" for place in range(hidden, 0, -1)), *after]

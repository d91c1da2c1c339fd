"""Arguments that torch's C code takes on trust, looked at before it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Check = Callable[..., None]


def interleaved(*arguments: Any, output_size: Any = None, **_: Any) -> None:
    """Refuse the size of a result that torch would allocate, and then overrun."""
    if output_size is not None:
        raise TypeError("repeat_interleave: leave output_size out; torch computes it")


def pivots(factors: Any, pivots: Any = None, *_: Any, **options: Any) -> None:
    """Refuse row exchanges of rows that a matrix does not have.

    Raises:
        ValueError: LAPACK would exchange memory that lies elsewhere.
    """
    given = options.get("pivots", pivots)
    if isinstance(given, torch.Tensor) and given.numel():
        rows = factors.shape[-1] if factors.ndim else 0
        if int(given.min()) < 1 or int(given.max()) > rows:
            raise ValueError(f"pivots of no row from 1 to {rows}; take lu_factor's")


def viewed(tensor: Any, *sizes: Any, **options: Any) -> None:
    """Refuse a view as booleans of bytes that are neither 0 nor 1: C counts on it."""
    if any(each is torch.bool for each in (*sizes, *options.values())):
        raise TypeError("view(torch.bool) is not available; use x != 0")


def spread_out(tensor: Any, *_: Any, **__: Any) -> None:
    """Refuse the median along what lies in one place: torch 2.13 crashes (found by
    `tests/native_fuzz.py`)."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    if any(size > 1 and not stride for size, stride in sizes):
        raise ValueError("the median of an expanded tensor; call .contiguous() first")


def finite(matrices: Any, *_: Any, **__: Any) -> None:
    """Refuse eigenvalues of what is not finite: LAPACK's search for them crashes.

    `torch.linalg.eig` asks this itself. Found by `tests/native_fuzz.py`.
    """
    if not bool(matrices.isfinite().all()):
        raise ValueError("eigenvalues of infs or NaNs; look at the matrix first")


def both(first: Check, second: Check) -> Check:
    """One check after the other."""

    def check(*arguments: Any, **options: Any) -> None:
        first(*arguments, **options)
        second(*arguments, **options)

    return check


METHODS: dict[str, Check] = {
    "median": spread_out,
    "nanmedian": spread_out,
    "repeat_interleave": interleaved,
    "view": viewed,
}
FUNCTIONS: dict[str, Check] = {
    "torch.linalg.eigvals": finite,
    "torch.linalg.lu_solve": pivots,
    "torch.median": spread_out,
    "torch.nanmedian": spread_out,
    "torch.repeat_interleave": interleaved,
}

"""How much work an operation is: no program may hold up the trainer for long."""

from __future__ import annotations

import math

from dux_sandbox.recorded.program import TensorType, TupleType, ValueType

_EACH = 1_000.0
"""What the call of any operation costs, in multiplications: about a microsecond."""
_CUBED = {"eigh": 30.0, "svd": 60.0, "qr": 10.0, "inv": 4.0, "cholesky": 2.0}


def work_of(name: str, arguments: tuple[ValueType, ...], made: ValueType) -> float:
    """About how many multiplications an operation is.

    >>> matrix = TensorType("float32", (100, 100))
    >>> work_of("mm", (matrix, matrix), matrix)
    1001000.0
    """
    tensors = [each for each in arguments if isinstance(each, TensorType)]
    parts = made.parts if isinstance(made, TupleType) else (made,)
    touched = [*tensors, *(each for each in parts if isinstance(each, TensorType))]
    moved = float(sum(each.elements for each in touched))
    if name in _CUBED and tensors:
        shape = tensors[0].shape[-2:]
        batch = tensors[0].elements / max(1, math.prod(shape))
        return _EACH + _CUBED[name] * batch * math.prod(shape) * max(shape, default=1)
    if name in ("solve", "solve_triangular"):
        return _EACH + 4.0 * moved * max(tensors[0].shape, default=1)
    if name in ("mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm"):
        inner = tensors[-2].shape[-1] if tensors[-2].shape else 1
        outer = sum(each.elements for each in parts if isinstance(each, TensorType))
        batch = tensors[-2].shape[0] if name == "addbmm" else 1
        return _EACH + float(inner) * outer * batch
    if name in ("sort", "topk", "median", "median_along"):
        return _EACH + 20.0 * moved
    return _EACH + moved if touched else 1.0
